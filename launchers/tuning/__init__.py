"""Searching for the settings of a system that validate best on one data set."""

try:
    import optuna  # noqa: F401
except ImportError:
    raise SystemExit("error: a search needs Optuna: pip install 'tfcdr[tune]'") from None
