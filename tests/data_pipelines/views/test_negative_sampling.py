import numpy as np
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipelines.views import negative_sampling as sampling


def chi_square_per_degree(observed, expected):
    return ((observed - expected) ** 2 / expected).sum() / (len(observed) - 1)


@st.composite
def weighted_exclusions(draw):
    weights = draw(st.lists(st.integers(1, 6), min_size=2, max_size=9))
    ids = st.integers(0, len(weights))
    excluded = draw(st.lists(ids, min_size=1, max_size=12))
    if set(range(1, len(weights) + 1)) <= set(excluded):
        excluded = [item for item in excluded if item != 1] or [0]
    return weights, excluded


@settings(max_examples=60, deadline=None)
@given(weighted_exclusions())
def test_every_place_of_the_shortened_line_is_drawn_as_often_as_its_weight(case):
    """Feeds all possible random numbers once: each id left must come out weight times."""
    weights, excluded = case
    wanted = np.array([0, *weights])
    wanted[excluded] = 0
    places = tf.range(wanted.sum(), dtype=tf.int64)[tf.newaxis]
    drawn = sampling.draw_excluding(
        tf.constant(np.cumsum(weights)), tf.constant([excluded], tf.int64), places
    )
    counts = np.bincount(drawn.numpy()[0], minlength=len(wanted))
    np.testing.assert_array_equal(counts, wanted)


def test_draws_are_distributed_as_the_weights_without_the_excluded():
    weights = np.array([3, 1, 4, 1, 5, 9, 2, 6])
    excluded = tf.constant([[2, 6, 0], [0, 0, 0], [8, 8, 1]], tf.int64)
    bits = sampling.random_bits(3, 20_000, [3, 4])
    drawn = sampling.draw_excluding(tf.constant(np.cumsum(weights)), excluded, bits)
    for row, out in zip(drawn.numpy(), excluded.numpy(), strict=True):
        counts = np.bincount(row, minlength=9)[1:]
        left = np.setdiff1d(np.arange(1, 9), out)
        assert counts.sum() == counts[left - 1].sum()
        expected = weights[left - 1] / weights[left - 1].sum() * 20_000
        assert chi_square_per_degree(counts[left - 1], expected) < 3


def test_same_seed_same_draw_other_seed_other_draw():
    cumulative = tf.range(1, 1001, dtype=tf.int64)
    excluded = tf.zeros([4, 1], tf.int64)
    first, again, other = (
        sampling.draw_excluding(cumulative, excluded, sampling.random_bits(4, 8, seed)).numpy()
        for seed in ([1, 2], [1, 2], [1, 3])
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).mean() > 0.9


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 30), st.data())
def test_distinct_draws_exhaust_what_is_left(items, data):
    excluded = data.draw(st.lists(st.integers(0, items), min_size=1, max_size=items - 1))
    left = sorted(set(range(1, items + 1)) - set(excluded))
    drawn = sampling.draw_distinct(
        items, tf.constant([excluded], tf.int64), len(left), tf.constant([[7, 9]], tf.int64)
    )
    assert sorted(drawn.numpy()[0].tolist()) == left


def test_distinct_draws_are_uniform_at_every_place_and_neighbours_independent():
    rows, items = 4000, 41
    seeds = np.stack([np.full(rows, 5), np.arange(rows)], axis=1)
    excluded = tf.tile(tf.constant([[1, 20, 20]], tf.int64), [rows, 1])
    drawn = sampling.draw_distinct(items, excluded, 10, tf.constant(seeds, tf.int64)).numpy()
    assert not np.isin(drawn, [1, 20]).any()
    left = np.setdiff1d(np.arange(1, items + 1), [1, 20])
    for place in range(10):
        counts = np.bincount(drawn[:, place], minlength=items + 1)[left]
        assert chi_square_per_degree(counts, rows / len(left)) < 2
    ranks = np.searchsorted(left, drawn)
    steps = (ranks[:, 1:] - ranks[:, :-1]) % len(left)
    counts = np.bincount(steps.ravel(), minlength=len(left))[1:]
    assert chi_square_per_degree(counts, rows * 9 / (len(left) - 1)) < 2


def test_weights():
    counts = np.array([5, 1, 0])
    np.testing.assert_array_equal(sampling.uniform_weights(counts), [1, 1, 1])
    np.testing.assert_array_equal(sampling.popularity_weights(counts), [6, 2, 1])
    # p(r) ~ exp(-(r + 1) / (rho * N)) with N = 4, which counts the padding id.
    expected = np.exp(-np.array([1, 2, 3]) / (0.5 * 4))
    weights = sampling.lambdafm_weights(counts, 0.5)
    np.testing.assert_allclose(weights / weights.sum(), expected / expected.sum(), rtol=1e-8)
