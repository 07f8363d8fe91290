"""The full softmax in pieces: a plain NumPy softmax, and that no scores of all items are held."""

import numpy as np
import pytest
import tensorflow as tf

from tests.graph_sizes import tensor_sizes
from tfcdr.ranking.catalogue_softmax import ItemRange, full_softmax

ROWS, ITEMS, CHANNELS = 5, 23, 4


def problem(seed=0):
    """Returns users, labels, vectors of more rows than items, biases, and what a loss is worth."""
    random = np.random.default_rng(seed)
    users = random.normal(size=(ROWS, CHANNELS)).astype(np.float32)
    vectors = random.normal(size=(ITEMS + 3, CHANNELS)).astype(np.float32)
    bias = random.normal(size=ITEMS + 3).astype(np.float32)
    labels = np.array([1, 7, 23, 12, 7], np.int32)
    return users, labels, vectors, bias, random.normal(size=ROWS).astype(np.float32)


def plain(users, labels, vectors, bias, slope, first=None, last=None):
    """The losses, and the gradients of their sum times `slope`, in float64."""
    users, vectors = users.astype(np.float64), vectors.astype(np.float64)
    scores = users @ vectors.T + bias
    ids = np.arange(len(vectors))
    first = np.ones(ROWS) if first is None else first
    last = np.full(ROWS, ITEMS) if last is None else last
    competes = (ids >= first[:, None]) & (ids <= last[:, None])
    weights = np.exp(scores - scores.max()) * competes
    probability = weights / weights.sum(1, keepdims=True)
    losses = -np.log(probability[np.arange(ROWS), labels])
    change = probability * slope[:, None]
    change[np.arange(ROWS), labels] -= slope
    return losses, change @ vectors, change.T @ users, change.sum(0)


def computed(jit_compile, most_scores, users, labels, vectors, bias, slope, chosen_from=None):
    vectors, bias = tf.Variable(vectors), None if bias is None else tf.Variable(bias)
    users = tf.constant(users)

    @tf.function(jit_compile=jit_compile)
    def run():
        with tf.GradientTape() as tape:
            tape.watch(users)
            loss = full_softmax(users, labels, vectors, bias, ITEMS, chosen_from, most_scores)
            worth = tf.reduce_sum(loss * slope)
        watched = [users, vectors] + ([] if bias is None else [bias])
        gradients = tape.gradient(worth, watched)
        return loss, *(tf.convert_to_tensor(gradient) for gradient in gradients)

    return [part.numpy() for part in run()]


# One piece; five pieces of four and a rest; pieces of one item.
@pytest.mark.parametrize("most_scores", [10**6, 25, 1])
@pytest.mark.parametrize("has_bias", [True, False])
def test_pieces_agree_with_numpy(most_scores, has_bias, jit_compile):
    users, labels, vectors, bias, slope = problem()
    bias = bias if has_bias else 0 * bias
    expected = plain(users, labels, vectors, bias, slope)
    given = bias if has_bias else None
    came = computed(jit_compile, most_scores, users, labels, vectors, given, slope)
    for ours, wanted in zip(came, expected, strict=False):
        np.testing.assert_allclose(ours, wanted, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("most_scores", [10**6, 25])
def test_a_row_chooses_among_its_own_items(most_scores, jit_compile):
    users, labels, vectors, bias, slope = problem()
    first, last = np.array([1, 5, 20, 12, 7]), np.array([4, 9, 23, 12, 23])
    expected = plain(users, labels, vectors, bias, slope, first, last)
    chosen = ItemRange(tf.constant(first, tf.int32), tf.constant(last, tf.int32))
    came = computed(jit_compile, most_scores, users, labels, vectors, bias, slope, chosen)
    for ours, wanted in zip(came, expected, strict=True):
        np.testing.assert_allclose(ours, wanted, rtol=2e-5, atol=2e-6)


def test_scores_that_overflow_alone_do_not_together(jit_compile):
    users, labels, vectors, bias, slope = problem()
    came = computed(jit_compile, 25, 200 * users, labels, vectors, bias, slope)
    assert all(np.isfinite(part).all() for part in came)


def test_a_row_without_a_label_has_a_finite_loss(jit_compile):
    users, labels, vectors, bias, slope = problem()
    none = np.zeros_like(labels)
    came = computed(jit_compile, 25, users, none, vectors, bias, slope)
    assert all(np.isfinite(part).all() for part in came)


def test_no_tensor_holds_a_score_for_each_user_and_item():
    users, labels, vectors, bias, _ = problem()
    vectors = tf.Variable(vectors)

    @tf.function
    def run():
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(
                full_softmax(tf.constant(users), labels, vectors, bias, ITEMS, None, 25)
            )
        return tape.gradient(loss, vectors)

    # The table is the largest thing.
    assert max(tensor_sizes(run.get_concrete_function())) <= (ITEMS + 3) * CHANNELS
