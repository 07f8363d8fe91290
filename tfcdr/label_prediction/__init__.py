"""Systems that predict labels, such as clicks: their models, evaluation and metrics."""
