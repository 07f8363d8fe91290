"""DAA in PyTorch has the size of the port."""

import sys

import pytest

from data_pipelines.impressions.aliexpress import COLUMNS
from data_pipelines.impressions.synthetic import FIELD_SIZES
from launchers.benchmarking import line_up
from launchers.benchmarking.contender_process import ContenderProcess
from launchers.benchmarking.generated.generator import DataSizes
from launchers.benchmarking.line_up import Plan
from tfcdr.systems.daa.config import DaaConfig
from tfcdr.systems.daa.task_model import TaskModel


@pytest.mark.parametrize("backbone", ["sharedbottom", "mmoe"])
def test_daa_in_pytorch_has_the_same_parameters(backbone, tmp_path):
    pytest.importorskip("torch", reason="the contender is a model of PyTorch")
    config = DaaConfig(
        backbone=backbone,
        embedding_size=4,
        experts=3,
        bottom_widths=(6, 5),
        tower_widths=(4, 3),
        source_batch_size=8,
    )
    plan = Plan("daa", "source", config, DataSizes(), True)
    started = line_up.parse(plan, "pytorch").start(tmp_path, sys.executable)
    process = ContenderProcess(*started)
    try:
        assert process.seconds("step", 1) > 0
    finally:
        process.kill()
    ours = TaskModel(config, FIELD_SIZES, len(COLUMNS.numerical))
    assert process.facts["parameters"] == sum(
        w.shape.num_elements() for w in ours.trainable_variables
    )
