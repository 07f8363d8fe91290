"""What is measured of a stage that updates its model behind several batches, or behind each."""

import pytest

from launchers.benchmarking import line_up, training
from launchers.benchmarking.generated.generator import DataSizes
from launchers.benchmarking.line_up import Plan
from tfcdr.systems.daa.config import DaaConfig

CONFIG = DaaConfig(
    backbone="sharedbottom",
    embedding_size=4,
    bottom_widths=(6,),
    tower_widths=(4,),
    critic_hidden=4,
    adapt_batch_size=16,
)
SIZES = DataSizes(items=100, length=6, users=120, impressions=200)


@pytest.mark.slow
def test_adaptation_beside_plain_training(tmp_path):
    ours = Plan("daa", "adapt", CONFIG, SIZES, jit_compile=False)
    rival = line_up.parse(ours, "tfcdr daa.adaptation=fine_tune")
    adapting, plain = (
        training.set_up(entry.start(tmp_path, "python")[1])
        for entry in (line_up.tfcdr(ours), rival)
    )
    assert {"step", "critics", "gradients"} <= set(adapting.parts)
    assert adapting.facts["batches_per_update"] == 5
    assert plain.facts["batches_per_update"] == 1
    # Three more forward passes a batch, and a whole step at every fifth.
    flops = [workload.facts["product_flops"] for workload in (plain, adapting)]
    assert flops[0] < flops[1] < 3 * flops[0]
