"""A run as a page to look at, one file that can be mailed: WORKDIR/report/index.html."""

from tfcdr.runs.report.page import write

__all__ = ["write"]
