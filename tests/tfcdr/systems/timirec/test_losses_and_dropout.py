"""What TiMiRec adds to the paper: any loss of the family, and dropout in the extractor."""

import numpy as np
import pytest
import tensorflow as tf

from tests.tfcdr.systems.timirec.small_models import ITEMS, batch, make
from tfcdr.systems.timirec.config import TiMiRecConfig

ROWS = batch([[3, 4, 9], [1], [2, 5, 8, 7, 12]])
NAMES = {"pretrain": "loss", "finetune": "ranking_loss"}


def losses_of(stage, rows=ROWS, **fields):
    model = make(stage, **fields)
    report = model.loss_and_gradients(rows)[0]
    return model, float(report.losses[NAMES[stage]])


def users_of(model, rows):
    """The vectors that are compared with items, by the model's inference."""
    interests = model.interests(rows["history"])
    if model.name == "finetuning":
        return model.encode_history(rows["history"]).numpy()
    target = tf.gather(model.item_factors()[0], rows["target_item"])
    return model.nearest_interest(interests, target).numpy()


@pytest.mark.parametrize("stage", ["pretrain", "finetune"])
def test_full_softmax_is_over_the_ranked_items_alone(stage):
    model, loss = losses_of(stage, loss="softmax", layers=1)
    scores = users_of(model, ROWS) @ model.item_factors()[0].numpy()[1 : ITEMS + 1].T
    labels = ROWS["target_item"].numpy() - 1
    expected = np.log(np.exp(scores).sum(1)) - scores[np.arange(len(labels)), labels]
    assert loss == pytest.approx(expected.mean(), rel=1e-5)
    assert "negative_items" not in model.batch_spec


@pytest.mark.parametrize("stage", ["pretrain", "finetune"])
@pytest.mark.parametrize(
    ("loss", "shared"),
    [("bce", 0), ("gbce", 0), ("bpr", 4), ("bpr_softmax", 4), ("sampled_softmax", 0)],
)
def test_every_loss_trains_both_stages(stage, loss, shared):
    model, value = losses_of(stage, loss=loss, shared_negatives=shared)
    assert np.isfinite(value)
    assert ("negative_items" in model.batch_spec) == (loss in ("bce", "gbce"))
    _, default = losses_of(stage)
    assert value != pytest.approx(default)


def test_a_step_by_the_full_softmax_compiles():
    model = make("pretrain", jit_compile=True, loss="softmax", extractor_dropout=0.5)
    model.build_optimizers()
    before = model.item_factors()[0].numpy()
    report = tf.function(model.train_step)(ROWS)
    assert np.isfinite(float(report.losses["loss"]))
    # Every ranked item is pushed.
    assert (model.item_factors()[0].numpy() != before)[1 : ITEMS + 1].all()


@pytest.mark.parametrize("stage", ["pretrain", "finetune"])
@pytest.mark.parametrize("transformer_layer", [True, False])
def test_dropout_changes_training_and_nothing_else(stage, transformer_layer):
    fields = {"layers": 1, "transformer_layer": transformer_layer}
    plain, without = losses_of(stage, **fields)
    dropping, dropped = losses_of(stage, extractor_dropout=0.5, **fields)
    assert dropped != pytest.approx(without, rel=1e-3)
    np.testing.assert_array_equal(
        plain.encode_history(ROWS["history"]), dropping.encode_history(ROWS["history"])
    )
    # What is dropped follows from the step and the row, not from the place in the batch.
    turned = {name: values[::-1] for name, values in ROWS.items()}
    assert losses_of(stage, turned, extractor_dropout=0.5, **fields)[1] == pytest.approx(dropped)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"loss": "hinge"}, "loss must be one of .*'hinge'"),
        ({"extractor_dropout": 1.0}, "extractor_dropout"),
        ({"own_share": 1.5}, "own_share"),
        ({"cold_history": "target"}, "cold_history"),
        ({"untrained_items": "learned"}, "untrained_items"),
        ({"own_share": 0.5, "history_domains": "target"}, "own_share must be 0"),
        ({"loss": "gbce", "negative_sampler": "popularity"}, "loss=gbce"),
    ],
)
def test_what_cannot_be_is_refused_by_name(fields, message):
    with pytest.raises(ValueError, match=message):
        TiMiRecConfig(**fields)
