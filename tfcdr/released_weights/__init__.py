"""Weights of the papers' own code: where they live in our models, and how files hold them."""
