"""SyNCRec's configuration: what it refuses and what follows from it."""

import pytest

from tfcdr.systems.syncrec.config import SyncRecConfig


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("training", "alone"),
        ("modules", "shared"),
        ("expert_layer", "cnn"),
        ("cross_expert_rounding", "up"),
        ("cross_gate_in_training", "first"),
        ("blanked_positions", "none"),
        ("loss_weighting", "learned"),
        ("loss_reduction", "none"),
        ("mutual_information_negatives", "own"),
        ("negative_domains", "source"),
        ("candidate_domains", "source"),
        ("table_update", "rows"),
        ("hidden_size", 0),
        ("layers", 0),
        ("heads", 0),
        ("negatives", 0),
        ("rebalancing_temperature", 0.0),
        ("rebalancing_temperature", float("nan")),
        ("learning_rate", -1e-3),
        ("batch_size", 0),
        ("epochs", 0),
        ("patience", 0),
        ("hidden_dropout", 1.0),
        ("attention_dropout", float("nan")),
        ("rebalancing_decay", float("nan")),
        ("rebalancing_rate", float("inf")),
        ("experts", 1),
    ],
)
def test_refuses_naming_field_and_value(field, value):
    with pytest.raises(ValueError) as raised:
        SyncRecConfig(**{field: value})
    message = str(raised.value)
    assert message.startswith(f"{field} must be")
    assert str(value) in message


@pytest.mark.parametrize("ratio", [0.0, 0.05, 0.99, 1.0, float("nan")])
def test_both_groups_of_experts_have_one(ratio):
    with pytest.raises(ValueError, match=r"^cross_expert_ratio must leave"):
        SyncRecConfig(cross_expert_ratio=ratio)


def test_heads_share_the_width():
    with pytest.raises(ValueError, match=r"^hidden_size must be a multiple of heads=3"):
        SyncRecConfig(hidden_size=64, heads=3)


@pytest.mark.parametrize(("rounding", "cross"), [("nearest", 57), ("truncated", 56)])
def test_the_number_of_cross_experts_is_rounded(rounding, cross):
    config = SyncRecConfig(experts=100, cross_expert_ratio=0.57, cross_expert_rounding=rounding)
    assert (config.cross_experts, config.single_experts) == (cross, 100 - cross)
