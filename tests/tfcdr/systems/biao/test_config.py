"""Values that the configuration refuses."""

import pytest

from tfcdr.systems.biao.config import BiaoConfig
from tfcdr.systems.biao.system import Biao


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("backbone", "mlp"),
        ("source_loss", "learned"),
        ("padding", "left"),
        ("prior_gate", "exp"),
        ("normalisation", "max"),
        ("outer_batch_size", -1),
        ("hidden_widths", ()),
        ("hidden_widths", (8, 0)),
        ("interval", 0),
        ("neumann_terms", -1),
        ("learning_rate", float("nan")),
    ],
)
def test_refuses_naming_field_and_value(field, value):
    with pytest.raises(ValueError, match=f"{field} must be"):
        BiaoConfig(**{field: value})


def test_outer_steps_come_with_learned_weights_alone():
    (stage,) = Biao().stages(BiaoConfig(interval=7, warm_up_epochs=2, descent_steps=3))
    (step,) = stage.periodic_steps
    assert (step.every, step.first_epoch) == (7, 2)
    assert step.feeds["descent"].batches == 3
    assert step.feeds["training"].batch_size == 64
    (stage,) = Biao().stages(BiaoConfig(outer_batch_size=512))
    assert stage.periodic_steps[0].feeds["training"].batch_size == 512
    for source_loss in ("uniform", "none"):
        (stage,) = Biao().stages(BiaoConfig(source_loss=source_loss))
        assert not stage.periodic_steps
