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
# One table for what is read and what is predicted, read at the last item.
SHARED = {"target_table": "histories", "user_position": "last_item", "loss": "softmax", "l2": 0.5}
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


@pytest.mark.parametrize("history_domains", ["all", "target"])
def test_a_shared_table_is_read_and_predicts(history_domains):
    fields = {"history_domains": history_domains, "adaptation": "from_scratch", **SHARED}
    model = build("finetune", **fields)
    (table,) = (weight for weight in model.trainable_variables if weight.shape[0] > TARGETS)
    assert table is model.trunk.item_embedding.embeddings
    vectors, biases = model.item_factors()
    assert biases is None
    np.testing.assert_array_equal(vectors, table[: TARGETS + 1])
    stage = PeterRec().stages(model.config)[-1]
    rows = next(iter(stage.training.batches(MemoryData(), "train", 22, 0)))
    before = table.numpy()
    model.build_optimizers()
    report = tf.function(model.train_step, jit_compile=True)(rows)
    # The penalty is the target's rows'.
    penalty = 0.5 * (before[: TARGETS + 1] ** 2).sum() / 2
    assert float(report.losses["loss"] - report.losses["data_loss"]) == pytest.approx(
        penalty, abs=1e-6
    )
    # As what is predicted, every target moves, whether a history holds it or not.
    assert (table.numpy() != before)[1 : TARGETS + 1].any(1).all()


def test_the_last_item_reaches_the_user_past_all_convolutions():
    fields = {"history_domains": "all", "adaptation": "from_scratch"}
    at_item, at_cls = (
        build("finetune", user_position=position, **fields) for position in ("last_item", "cls")
    )
    rows = training_batch(MemoryData(), "leave_one_out", history_domains="all", negatives=1)
    for model in (at_item, at_cls):
        for block in model.trunk.blocks:  # which then add nothing
            block.norm2.gamma.assign(tf.zeros_like(block.norm2.gamma))
    table = at_item.trunk.item_embedding.embeddings.numpy()
    np.testing.assert_array_equal(at_item.users(rows), table[rows["history"][:, -1]])
    assert np.ptp(at_cls.users(rows).numpy(), axis=0).max() == 0


def test_the_last_item_of_a_source_history_is_read_in_front_of_its_cls():
    model = build("finetune", user_position="last_item")
    rows = training_batch(MemoryData(), "transfer", cls="last", negatives=1)
    np.testing.assert_array_equal(model.users(rows), model.encode_history(rows["context"][:, :-1]))


@pytest.mark.parametrize("history_domains", ["source", "all"])
def test_dropout_changes_training_and_nothing_else(history_domains):
    def loss_of(rate, order=1):
        tf.keras.utils.set_random_seed(0)
        model = build("finetune", history_domains=history_domains, finetune_dropout=rate)
        stage = PeterRec().stages(model.config)[-1]
        rows = next(iter(stage.training.batches(MemoryData(), "train", 22, 0)))
        rows = {name: values[::order] for name, values in rows.items()}
        return model, rows, float(model.compute_losses(rows).losses["data_loss"])

    plain, rows, without = loss_of(0.0)
    dropping, _, dropped = loss_of(0.5)
    assert dropped != pytest.approx(without, rel=1e-3)
    np.testing.assert_array_equal(plain.users(rows), dropping.users(rows))
    # What is dropped follows from the step and the row, not from the place in the batch.
    assert loss_of(0.5, order=-1)[2] == pytest.approx(dropped)


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
        ({"finetune_dropout": 1.0}, r"finetune_dropout must be in \[0, 1\)"),
        ({"user_position": "last_item", "causal": False}, "user_position=last_item needs causal"),
        ({"target_table": "histories"}, "target_table=histories needs history_domains=all or"),
        (
            {"target_table": "histories", "history_domains": "all"},
            "adaptation=fine_tune_all or .* adaptation=adapters",
        ),
        (
            {
                "target_table": "histories",
                "history_domains": "all",
                "adaptation": "fine_tune_all",
                "target_start": "pretrained",
            },
            "target_start=pretrained .* target_table=own",
        ),
        (
            {
                "target_table": "histories",
                "history_domains": "target",
                "adaptation": "from_scratch",
                "table_update": "touched_rows",
            },
            "target_table=histories needs table_update=all_rows",
        ),
    ],
)
def test_what_cannot_be_is_refused_by_name(fields, message):
    with pytest.raises(ValueError, match=message):
        PeterRecConfig(**fields)
