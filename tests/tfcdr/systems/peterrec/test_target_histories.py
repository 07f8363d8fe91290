"""PeterRec on histories of all domains, and the losses that fine-tuning takes."""

import numpy as np
import pytest
import tensorflow as tf

from tests.tfcdr.memory_data import SOURCES, TARGETS, MemoryData, training_batch
from tfcdr.errors import RunError
from tfcdr.stage_model import MODEL_OPTIMIZER
from tfcdr.systems.peterrec.config import PeterRecConfig
from tfcdr.systems.peterrec.system import PeterRec

SMALL = {"channels": 8, "dilations": (1,)}
ALL = {"history_domains": "all", "pretrain_loss": "full_softmax", **SMALL}


def build(stage, **fields):
    config = PeterRecConfig(**{**SMALL, **fields})
    model = PeterRec().build(stage, config, MemoryData(), seed=0)
    model.compile({MODEL_OPTIMIZER: PeterRec().optimizers(stage, config)[MODEL_OPTIMIZER]})
    return model


def test_both_stages_read_all_domains():
    config = PeterRecConfig(own_share=0.5, **ALL)
    pretrain, finetune = PeterRec().stages(config)
    assert pretrain.training.view == "joint_next_item"
    assert pretrain.catalogue == "joint"
    # What reads a target's items cannot serve another target.
    assert not pretrain.shared
    for request in (finetune.training, finetune.evaluation):
        assert request.view == "leave_one_out"
        assert request.options["history_domains"] == "all"
        assert request.options["own_share"] == 0.5
    assert PeterRec().history_space(config) == "joint"
    assert PeterRec().stages(PeterRecConfig(causal=False, **ALL))[0].training.view == (
        "joint_masked_item"
    )


@pytest.mark.parametrize("causal", [True, False])
def test_a_target_item_of_the_history_moves_the_user(causal):
    model = build("finetune", causal=causal, **ALL)
    assert model.trunk.item_embedding.input_dim == SOURCES + TARGETS + 3
    rows = training_batch(MemoryData(), "leave_one_out", history_domains="all", negatives=1)
    before = model.users(rows).numpy()
    history = rows["history"].numpy()
    history[:, -1] = 1  # a target's item
    after = model.users({**rows, "history": tf.constant(history)}).numpy()
    assert (np.abs(after - before).max(1) > 0).all()
    np.testing.assert_array_equal(after, model.encode_history(tf.constant(history)))


@pytest.mark.parametrize("start", ["independent", "pretrained"])
def test_target_table_starts_where_the_configuration_says(start):
    previous, model = build("pretrain", **ALL), build("finetune", target_start=start, **ALL)
    fresh = model.target_embedding.numpy()
    PeterRec().warm_start(model, previous)
    expected = fresh if start == "independent" else previous.output_vectors[: TARGETS + 1].numpy()
    np.testing.assert_array_equal(model.target_embedding, expected)


@pytest.mark.parametrize("history_domains", ["source", "all"])
@pytest.mark.parametrize(
    ("loss", "shared"),
    [("gbce", 0), ("bpr_softmax", 0), ("bce", 4), ("sampled_softmax", 4), ("softmax", 0)],
)
def test_every_loss_trains(history_domains, loss, shared):
    fields = {"loss": loss, "shared_negatives": shared, "history_domains": history_domains}
    model = build("finetune", **fields)
    stage = PeterRec().stages(model.config)[-1]
    rows = next(iter(stage.training.batches(MemoryData(), "train", 22, 0)))
    report, gradients = model.loss_and_gradients(rows)
    assert np.isfinite(float(report.losses["loss"]))
    assert any(np.abs(tf.convert_to_tensor(gradient)).max() > 0 for gradient in gradients)
    assert ("negative_items" in model.batch_spec) == (loss in ("gbce", "bpr_softmax"))


def test_too_many_shared_negatives_are_one_line():
    with pytest.raises(RunError, match=r"--peterrec\.\*: .*fewer than all items"):
        build("finetune", loss="bpr", shared_negatives=TARGETS)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"loss": "hinge"}, "loss must be one of .*'hinge'"),
        ({"pretrain_loss": "bce"}, "pretrain_loss must be one of .*'bce'"),
        ({"own_share": 0.5}, "own_share must be 0 for history_domains=source"),
        ({"target_start": "pretrained"}, "target_start=pretrained needs history_domains=all"),
        (
            {"target_start": "pretrained", "history_domains": "all", "adaptation": "from_scratch"},
            "adaptation=from_scratch",
        ),
    ],
)
def test_what_cannot_be_is_refused_by_name(fields, message):
    with pytest.raises(ValueError, match=message):
        PeterRecConfig(**fields)
