"""Launchers' tests read the runs that end-to-end tests read."""

from tests.end_to_end.conftest import finished, finished_timirec, reproducible, small_data

__all__ = ["finished", "finished_timirec", "reproducible", "small_data"]
