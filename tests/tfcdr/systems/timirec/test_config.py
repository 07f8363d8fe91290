"""TiMiRec's configuration: what it refuses and what follows from it."""

import pytest

from tfcdr.systems.timirec.config import TiMiRecConfig


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("variant", "mind"),
        ("stages", "finetune"),
        ("history_domains", "source"),
        ("negative_sampler", "log_uniform"),
        ("negatives_exclude", "all"),
        ("table_update", "rows"),
        ("embedding_size", 0),
        ("attention_size", 0),
        ("interests", 0),
        ("layers", 0),
        ("ensemble_members", 0),
        ("ensemble_members", 3),  # without a blend
        ("blend_neighbours", "all"),
        ("temperature", 0.0),
        ("temperature", float("nan")),
        ("negatives", 0),
        ("lambdafm_rho", -0.3),
        ("pretrain_learning_rate", 0.0),
        ("pretrain_batch_size", 0),
        ("pretrain_epochs", 0),
        ("finetune_learning_rate", float("nan")),
        ("finetune_batch_size", -256),
        ("finetune_epochs", 0),
        ("patience", 0),
        ("projection_dropout", 1.0),
        ("projection_dropout", float("nan")),
        ("l2", -1e-6),
        ("l2", float("nan")),
    ],
)
def test_refuses_naming_field_and_value(field, value):
    with pytest.raises(ValueError) as raised:
        TiMiRecConfig(**{field: value})
    message = str(raised.value)
    assert message.startswith(f"{field} must be")
    assert str(value) in message


def test_comirec_has_no_transformer_layer():
    with pytest.raises(ValueError, match=r"^transformer_layer must be false for variant=comirec"):
        TiMiRecConfig(variant="comirec")
    assert not TiMiRecConfig(variant="comirec", transformer_layer=False).has_finetuning


@pytest.mark.parametrize(
    "fields", [{"stages": "pretrain"}, {"variant": "comirec", "transformer_layer": False}]
)
def test_from_scratch_needs_a_second_stage(fields):
    with pytest.raises(ValueError, match=r"^from_scratch must be false"):
        TiMiRecConfig(from_scratch=True, **fields)
