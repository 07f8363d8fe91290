"""Systems that rank items for a user: their models, evaluation, retrieval and export."""
