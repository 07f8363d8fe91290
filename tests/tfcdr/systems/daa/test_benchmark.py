"""What DAA's peer is told, the measure of its products, and the phases of its steps."""

import dataclasses
import types

import pytest

from tests.tfcdr.systems.daa import small
from tfcdr.benchmark import ImpressionSizes
from tfcdr.systems.daa.system import Daa


def stages(config):
    return {stage.name: stage for stage in Daa().stages(config)}


def test_pytorch_is_told_the_configuration_and_the_columns():
    config = small.config()
    (peer,) = Daa.benchmark.peers
    told = peer.invoke(stages(config)["source"], config, ImpressionSizes((3, 4), 2), {})
    assert told.settings == {
        "config": dataclasses.asdict(config),
        "field_sizes": (3, 4),
        "numerical": 2,
    }
    assert not told.environment


def test_the_first_layer_of_all_experts_is_the_measure_of_products():
    config = small.config(embedding_size=4, experts=3, bottom_widths=(6, 5), source_batch_size=8)
    data = types.SimpleNamespace(field_sizes=(2,) * 16)
    (kernel,) = Daa.benchmark.kernels(config, data, stages(config)["source"]).values()
    # [8, (16 + 1) * 4] by [68, 3 * 6], forward and twice backward.
    assert kernel.flops == 3 * 2 * 8 * 68 * 18
    kernel.run()


@pytest.mark.parametrize(
    ("stage", "adaptation", "expected"),
    [
        ("source", "alternating", {"forward": 1, "gradients": 1}),
        ("adapt", "alternating", {"critics": 1, "gradients": 3}),
        ("adapt", "gradient_reversal", {"forward": 1, "gradients": 1}),
        ("adapt", "fine_tune", {"forward": 1, "gradients": 1}),
    ],
)
def test_the_phases_are_what_the_model_does(stage, adaptation, expected):
    config = small.config(adaptation=adaptation, critic_steps=3)
    data = types.SimpleNamespace(
        field_sizes=small.FIELD_SIZES,
        numerical_columns=("a",) * small.NUMERICAL,
        labels=("click", "conversion"),
    )
    model = small.compiled(Daa().build(stage, config, data, seed=0))
    batch = small.pairs() if config.is_adversarial and stage == "adapt" else small.labelled()
    phases = Daa.benchmark.phases(config, stages(config)[stage])
    assert {phase.name: phase.every for phase in phases} == expected
    for phase in phases:
        assert getattr(model, phase.method)(batch)
