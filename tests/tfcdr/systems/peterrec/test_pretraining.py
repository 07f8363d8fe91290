"""Pre-training: which positions count, what the heads read, what a train step does."""

import numpy as np
import pytest
import tensorflow as tf

from tests.compilation import compiled_or_plain
from tests.tfcdr.memory_data import (
    LENGTH,
    MASK,
    ROWS,
    SOURCES,
    MemoryData,
    training_batch,
)
from tfcdr import optimizers
from tfcdr.data_source import check_batch
from tfcdr.stage_model import MODEL_OPTIMIZER
from tfcdr.systems.peterrec.config import PeterRecConfig
from tfcdr.systems.peterrec.model import PretrainingModel
from tfcdr.systems.peterrec.system import PeterRec

COUNTS = np.arange(SOURCES, 0, -1)
LN2 = np.log(2.0)
LEARNING_RATE = 0.01


def make(seed=0, **fields):
    config = PeterRecConfig(
        **{"channels": 8, "dilations": (1,), "pretrain_loss": "full_softmax", **fields}
    )
    model = PretrainingModel(config, LENGTH, ROWS, COUNTS, seed=seed)
    model.compile({MODEL_OPTIMIZER: optimizers.adam(LEARNING_RATE)})
    return model


def loss_of(model, batch, jit_compile=False):
    batch = {key: tf.constant(value) for key, value in batch.items()}
    return float(compiled_or_plain(model.compute_losses, jit_compile)(batch).losses["loss"])


def constant_head(model):
    """Makes logits the same at every position: shares 1/16 (ids 0, 1), 1/8 (id 2), 1/4 (id 3)."""
    shares = np.full(ROWS, 0.5 / (ROWS - 4))
    shares[:4] = [1 / 16, 1 / 16, 1 / 8, 1 / 4]
    model.output_vectors.assign(tf.zeros_like(model.output_vectors))
    model.output_bias.assign(np.log(shares))
    return model


# Labels 0, 1, 2, 3 and 3: -ln of their shares is 4, 4, 3, 2 and 2 times ln 2.
ROW = [0, 0, 1, 2, 3, 3]


@pytest.mark.parametrize(
    ("loss_on_padding", "expected"),
    [(False, (4 + 3 + 2 + 2) / 4 * LN2), (True, (4 + 4 + 3 + 2 + 2) / 5 * LN2)],
)
def test_padding_labels_count_only_if_asked_for(loss_on_padding, expected, jit_compile):
    model = constant_head(make(loss_on_padding=loss_on_padding))
    batch = {"items": np.array([ROW], np.int32), "example_weight": np.ones(1, np.float32)}
    assert loss_of(model, batch, jit_compile) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("loss_on_padding", [False, True])
def test_rows_that_fill_a_batch_up_do_not_count(loss_on_padding, jit_compile):
    model = make(loss_on_padding=loss_on_padding)
    row = np.array([ROW], np.int32)
    alone = {"items": row, "example_weight": np.ones(1, np.float32)}
    filled = {
        "items": np.concatenate([row, np.zeros_like(row)]),
        "example_weight": np.array([1, 0], np.float32),
    }
    expected = loss_of(model, alone, jit_compile)
    assert loss_of(model, filled, jit_compile) == pytest.approx(expected, rel=1e-5)


def test_masked_positions_count_by_their_weight(jit_compile):
    model = constant_head(make(causal=False))
    batch = {
        "masked_items": np.array([[0, 1, MASK, MASK, 2], [1, 1, MASK, 2, 1]], np.int32),
        "positions": np.array([[2, 3], [2, 0]], np.int32),
        "labels": np.array([[1, 2], [3, 0]], np.int32),
        "label_weight": np.array([[1, 1], [1, 0]], np.float32),
        "example_weight": np.ones(2, np.float32),
    }
    # 4, 3 and 2 times ln 2; the fourth position only fills the row up.
    assert loss_of(model, batch, jit_compile) == pytest.approx(3 * LN2, rel=1e-5)


@pytest.mark.parametrize("pretrain_loss", ["full_softmax", "sampled_softmax"])
def test_only_the_full_softmax_reads_the_relu(pretrain_loss):
    model = make(pretrain_loss=pretrain_loss)
    features = model.output_features(tf.constant([-1.0, 2.0])).numpy().tolist()
    assert features == ([0.0, 2.0] if pretrain_loss == "full_softmax" else [-1.0, 2.0])


@pytest.mark.parametrize("pretrain_loss", ["full_softmax", "sampled_softmax"])
def test_heads_start_as_in_the_release(pretrain_loss):
    model = make(pretrain_loss=pretrain_loss, channels=64)
    deviation, bias = {"full_softmax": (0.02 * 0.88, 0.0), "sampled_softmax": (0.01, 0.1)}[
        pretrain_loss
    ]
    assert np.std(model.output_vectors) == pytest.approx(deviation, rel=0.1)
    assert np.unique(model.output_bias).tolist() == pytest.approx([bias])


@pytest.mark.parametrize("sampler", ["log_uniform", "popularity"])
def test_sampler_decides_what_is_drawn(sampler):
    probabilities = make(pretrain_loss="sampled_softmax", sampler=sampler).sampler.probabilities
    if sampler == "popularity":
        expected = COUNTS / COUNTS.sum()
    else:  # P(1) = ln(2 / 1) / ln(n + 1)
        expected = np.log(np.arange(2, 16) / np.arange(1, 15)) / np.log(15)
    np.testing.assert_allclose(probabilities, expected)


def test_sampled_share_decides_how_many_are_drawn():
    for share, distinct in ((0.2, 2), (0.5, 7)):  # int(share * 14)
        sampler = make(pretrain_loss="sampled_softmax", sampled_share=share).sampler
        expected = np.exp(sampler.log_expected_count(tf.range(1, SOURCES + 1))).sum()
        assert distinct <= expected < distinct + 1


@pytest.mark.parametrize("share", [0.01, 1.0])
def test_a_sample_of_nothing_or_everything_is_refused(share):
    with pytest.raises(ValueError, match="full softmax"):
        make(pretrain_loss="sampled_softmax", sampled_share=share)


def test_every_step_and_seed_draws_another_sample(jit_compile):
    batch = training_batch(MemoryData(), "next_item")
    model = make(pretrain_loss="sampled_softmax")
    other = make(pretrain_loss="sampled_softmax", seed=1)
    other.set_weights(model.get_weights())
    first, again = (loss_of(model, batch, jit_compile) for _ in range(2))
    assert first == again
    assert first != loss_of(other, batch, jit_compile)
    model.optimizer.iterations.assign_add(1)
    assert first != loss_of(model, batch, jit_compile)


VIEWS = {True: "next_item", False: "masked_item"}


@pytest.mark.parametrize("pretrain_loss", ["full_softmax", "sampled_softmax"])
@pytest.mark.parametrize("causal", [True, False])
def test_train_step_learns_a_batch_compiled_as_plain(causal, pretrain_loss):
    after_two_steps = []
    for jit_compile in (False, True):
        tf.keras.utils.set_random_seed(3)
        model = make(causal=causal, pretrain_loss=pretrain_loss, position_embedding=True)
        model.optimizer.build(model.trainable_variables)
        batch = training_batch(MemoryData(), VIEWS[causal])
        specs = {key: tf.TensorSpec(tensor.shape, tensor.dtype) for key, tensor in batch.items()}
        check_batch(specs, model.batch_spec, model.name)
        before = model.get_weights()
        step = compiled_or_plain(model.train_step, jit_compile)
        for _ in range(2):
            step(batch)
        after_two_steps.append(model.get_weights())
        for variable, start in zip(model.variables, before, strict=True):
            assert not np.array_equal(variable, start), variable.name
    losses = [float(step(batch).losses["loss"]) for _ in range(150)]
    # A sampled loss jumps with its sample.
    assert np.mean(losses[-20:]) < 0.8 * np.mean(losses[:20])
    if pretrain_loss == "full_softmax":  # XLA draws other samples from the same seed
        for plain, compiled in zip(*after_two_steps, strict=True):
            np.testing.assert_allclose(plain, compiled, atol=0.02 * LEARNING_RATE)


@pytest.mark.parametrize("causal", [True, False])
def test_ranks_the_last_item_of_a_row(causal):
    model = make(causal=causal)
    data = MemoryData()
    evaluation = next(iter(data.batches(VIEWS[causal], "test", batch_size=22, seed=0, epoch=0)))
    query = model.query(evaluation)
    last = next(iter(data.batches("next_item", "test", batch_size=22, seed=0)))["items"][:, -1]
    np.testing.assert_array_equal(query.positive, last)
    assert not query.excluded.numpy().any()
    assert query.candidates is None
    scores = model.score_candidates(query.user, query.positive[:, tf.newaxis])
    everything = model.score_catalogue(query.user)
    expected = tf.gather(everything, query.positive, batch_dims=1)
    np.testing.assert_allclose(scores[:, 0], expected, rtol=1e-4, atol=1e-6)


def test_the_ranked_item_is_not_seen():
    model = make()
    rows = np.array([[0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 4, 9]], np.int32)
    users = model.query({"items": tf.constant(rows), "example_weight": tf.ones(2)}).user.numpy()
    assert np.array_equal(users[0], users[1])


@pytest.mark.parametrize("causal", [True, False])
def test_a_served_history_is_read_as_in_evaluation(causal):
    model = make(causal=causal)
    history = np.array([[0, 1, 2, 3, 4]], np.int32)
    if causal:
        batch = {"items": np.append(history, [[7]], 1), "example_weight": np.ones(1, np.float32)}
    else:
        batch = {
            "masked_items": np.array([[1, 2, 3, 4, MASK]], np.int32),
            "positions": np.array([[4, 4]], np.int32),
            "labels": np.array([[7, 0]], np.int32),
            "label_weight": np.array([[1, 0]], np.float32),
            "example_weight": np.ones(1, np.float32),
        }
    expected = model.query({key: tf.constant(value) for key, value in batch.items()}).user
    np.testing.assert_allclose(model.encode_history(tf.constant(history)), expected, rtol=1e-5)


@pytest.mark.parametrize("sampler", ["log_uniform", "popularity"])
def test_a_step_can_leave_the_rows_alone_that_it_does_not_read(sampler, jit_compile):
    config = PeterRecConfig(
        channels=8, dilations=(1,), sampler=sampler, sampled_share=0.1, table_update="touched_rows"
    )
    model = PretrainingModel(config, LENGTH, 203, np.arange(200, 0, -1))
    model.compile(PeterRec().optimizers("pretrain", config))
    batch = training_batch(MemoryData(), "next_item", 8)
    _, gradients = model.loss_and_gradients(batch)
    embedding = model.trunk.item_embedding.embeddings
    sparse = {
        variable.ref()
        for variable, gradient in zip(model.trainable_variables, gradients, strict=True)
        if isinstance(gradient, tf.IndexedSlices)
    }
    # No dense gradient of a table: it alone would cost as much as the table.
    tables = (embedding, model.output_vectors, model.output_bias)
    assert sparse == {table.ref() for table in tables}
    before = embedding.numpy(), model.output_vectors.numpy()
    compiled_or_plain(model.train_step, jit_compile)(batch)
    moved = [
        set(np.flatnonzero(np.any(table.numpy() != old, axis=1)))
        for table, old in zip(tables, before, strict=False)
    ]
    items = batch["items"].numpy()
    assert moved[0] <= set(items[:, :-1].ravel())
    assert set(items[:, 1:].ravel()) - {0} <= moved[1]
    assert len(moved[1]) < 100
