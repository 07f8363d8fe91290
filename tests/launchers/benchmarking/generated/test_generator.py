"""The kind of log that a system reads chooses the generator."""

from launchers.benchmarking.generated import GENERATORS
from launchers.benchmarking.generated.generator import DataSizes
from tfcdr.benchmark import HistorySizes, ImpressionSizes
from tfcdr.systems.registry import SYSTEMS


def test_histories_and_impressions():
    sizes = DataSizes(items=150, length=7, users=130)
    assert {system.log for system in SYSTEMS.values()} <= GENERATORS.keys()
    of_histories = GENERATORS["interactions"].input_sizes(sizes)
    assert of_histories == HistorySizes(items=150, length=7, users=130, categories=20)
    of_impressions = GENERATORS["impressions"].input_sizes(sizes)
    assert isinstance(of_impressions, ImpressionSizes)
    assert of_impressions.numerical == 63
