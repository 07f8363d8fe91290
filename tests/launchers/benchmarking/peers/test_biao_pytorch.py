"""CoNet in PyTorch has the size of the port."""

import sys

import pytest

from launchers.benchmarking import line_up
from launchers.benchmarking.contender_process import ContenderProcess
from launchers.benchmarking.generated.generator import DataSizes
from launchers.benchmarking.line_up import Plan
from tfcdr.systems.biao.config import BiaoConfig
from tfcdr.systems.biao.model import BiaoModel
from tfcdr.systems.biao.tables import TableSizes


def test_conet_in_pytorch_has_the_same_parameters(tmp_path):
    pytest.importorskip("torch", reason="the contender is a model of PyTorch")
    config = BiaoConfig(source_loss="uniform", embedding_size=4, hidden_widths=(6, 5), batch_size=8)
    plan = Plan("biao", "train", config, DataSizes(items=100, users=120), True)
    started = line_up.parse(plan, "pytorch").start(tmp_path, sys.executable)
    process = ContenderProcess(*started)
    try:
        assert process.seconds("step", 1) > 0
    finally:
        process.kill()
    sizes = TableSizes(
        user=120, target_item=100, target_category=20, source_item=100, source_category=20
    )
    ours = BiaoModel(config, sizes, 6)
    assert process.facts["parameters"] == sum(
        weight.shape.num_elements() for weight in ours.trainable_variables
    )
