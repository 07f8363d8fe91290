"""PeterRec's configuration: what it refuses and what follows from it."""

import pytest

from tfcdr.systems.peterrec.config import PeterRecConfig


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("stages", "finetune"),
        ("initialization", "zeros"),
        ("pretrain_loss", "softmax"),
        ("sampler", "uniform"),
        ("adaptation", "adapter"),
        ("insertion", "none"),
        ("loss", "hinge"),
        ("negative_sampler", "log_uniform"),
        ("negatives_exclude", "all"),
        ("table_update", "rows"),
        ("channels", 0),
        ("kernel_size", -1),
        ("max_masked", 0),
        ("pretrain_learning_rate", 0.0),
        ("pretrain_learning_rate", float("nan")),
        ("pretrain_batch_size", 0),
        ("pretrain_epochs", 0),
        ("cardinality", 0),
        ("negatives", 0),
        ("lambdafm_rho", -0.3),
        ("finetune_learning_rate", -1e-3),
        ("finetune_learning_rate", float("nan")),
        ("finetune_batch_size", -512),
        ("finetune_epochs", 0),
        ("patience", 0),
        ("dilations", ()),
        ("dilations", (1, 0)),
        ("sampled_share", 0.0),
        ("sampled_share", 1.5),
        ("mask_share", -0.1),
        ("mask_share", float("nan")),
        ("l2", -0.02),
        ("l2", float("nan")),
    ],
)
def test_refuses_naming_field_and_value(field, value):
    with pytest.raises(ValueError) as raised:
        PeterRecConfig(**{field: value})
    message = str(raised.value)
    assert message.startswith(f"{field} must be")
    assert str(value) in message


def test_refuses_an_adapter_width_that_is_not_whole():
    with pytest.raises(ValueError, match="channels=24, cardinality=4"):
        PeterRecConfig(channels=24, cardinality=4)


def test_width_matters_only_where_there_are_adapters():
    config = PeterRecConfig(channels=6, adaptation="fine_tune_all")
    assert not config.has_adapters


@pytest.mark.parametrize(
    ("adaptation", "has_adapters", "is_pretrained"),
    [
        ("adapters", True, True),
        ("fine_tune_all", False, True),
        ("last_layer", False, True),
        ("from_scratch", False, False),
        ("no_pretraining", True, False),
    ],
)
def test_what_an_adaptation_needs(adaptation, has_adapters, is_pretrained):
    config = PeterRecConfig(adaptation=adaptation)
    assert (config.has_adapters, config.is_pretrained) == (has_adapters, is_pretrained)
