"""DAA's configuration: what it refuses and what follows from it."""

import pytest

from tfcdr.systems.daa.config import DaaConfig


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("backbone", "esmm"),
        ("critic_mixture", "sum"),
        ("adaptation", "dann"),
        ("critic", "paper"),
        ("fake_features", "both"),
        ("embedding_size", 0),
        ("experts", -1),
        ("mixture_critics", 0),
        ("meta_batches", 0),
        ("local_learning_rate", float("nan")),
        ("source_learning_rate", 0.0),
        ("source_epochs", 0),
        ("critic_hidden", 0),
        ("critic_steps", 0),
        ("critic_learning_rate", -1.0),
        ("adapt_learning_rate", float("nan")),
        ("adapt_epochs", 0),
        ("patience", 0),
        ("source_l2", -1e-6),
        ("adapt_l2", float("nan")),
        ("gradient_penalty", -1.0),
        ("click_weight", -1.0),
        ("conversion_weight", -1.0),
        ("adversarial_weight", -1.0),
        ("reversal_ramp_steps", -1),
        ("bottom_widths", ()),
        ("tower_widths", (8, 0)),
        ("dropout", 1.0),
        ("dropout", float("nan")),
        ("real_weights", (1.0,)),
        ("real_weights", (1.0, -1.0)),
        ("real_weights", (float("nan"), 1.0)),
        ("source_batch_size", 1),
        ("adapt_batch_size", 1),
    ],
)
def test_refuses_naming_field_and_value(field, value):
    with pytest.raises(ValueError) as raised:
        DaaConfig(**{field: value})
    message = str(raised.value)
    assert message.startswith(f"{field} must be")
    assert str(value) in message
    assert "\n" not in message


def test_ple_needs_as_many_shared_experts_as_a_task_has():
    with pytest.raises(ValueError, match=r"experts must be even for backbone=ple.*7"):
        DaaConfig(backbone="ple", experts=7)
    DaaConfig(backbone="mmoe", experts=7)


@pytest.mark.parametrize("size", [10, 4])
def test_metaheac_needs_batches_that_split_into_support_and_query(size):
    with pytest.raises(ValueError, match="source_batch_size must be a multiple of 4, at least 8"):
        DaaConfig(backbone="metaheac", source_batch_size=size)
    DaaConfig(backbone="mmoe", source_batch_size=size)


def test_the_default_critic_works_and_is_balanced():
    config = DaaConfig()
    assert config.critic == "wasserstein"
    assert sum(config.real_weights) == 1.0
