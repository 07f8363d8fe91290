"""Impression logs: rows of shown items with a click and a conversion, streamed, never all held."""
