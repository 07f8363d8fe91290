"""The views that a stage reads choose the generator."""

import pytest

from launchers.benchmarking import generated
from launchers.benchmarking.generated.generator import DataSizes
from tfcdr.benchmark import HistorySizes, ImpressionSizes
from tfcdr.errors import RunError


def test_views_of_histories_and_of_impressions():
    sizes = DataSizes(items=150, length=7)
    of_histories = generated.generator(["transfer", "next_item"])
    assert of_histories.input_sizes(sizes) == HistorySizes(items=150, length=7)
    of_impressions = generated.generator(("impression", "impression")).input_sizes(sizes)
    assert isinstance(of_impressions, ImpressionSizes)
    assert of_impressions.numerical == 63


def test_views_of_two_kinds_of_log_together():
    with pytest.raises(RunError, match="impression, transfer together"):
        generated.generator(["transfer", "impression"])
