"""BIAO's benchmark."""

from tfcdr.benchmark import Benchmark


class BiaoBenchmark(Benchmark):
    """TODO."""
