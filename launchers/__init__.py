"""Command-line programs: convert, train, evaluate, export."""
