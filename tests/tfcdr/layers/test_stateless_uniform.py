"""Draws are uniform, and the same with and without XLA."""

import numpy as np
import pytest
import tensorflow as tf

from tfcdr.layers.stateless_uniform import dropout, uniform

SEED = tf.constant([3, 4])


@pytest.mark.parametrize("dtype", [tf.float32, tf.float64])
def test_compiled_draws_are_the_same(dtype):
    compiled = tf.function(lambda: uniform((50, 3), SEED, dtype), jit_compile=True)
    np.testing.assert_array_equal(compiled(), uniform((50, 3), SEED, dtype))


@pytest.mark.parametrize("dtype", [tf.float32, tf.float64])
def test_draws_fill_the_unit_interval(dtype):
    drawn = uniform((100_000,), SEED, dtype).numpy()
    assert drawn.dtype == dtype.as_numpy_dtype
    assert drawn.min() >= 0
    assert drawn.max() < 1
    counts, _ = np.histogram(drawn, bins=20, range=(0, 1))
    np.testing.assert_allclose(counts, 5000, atol=6 * np.sqrt(5000))


def test_compiled_dropout_drops_the_same():
    values = tf.ones((7, 3))  # an odd number
    compiled = tf.function(lambda: dropout(values, 0.4, SEED), jit_compile=True)
    np.testing.assert_allclose(compiled(), dropout(values, 0.4, SEED), rtol=1e-6)


@pytest.mark.parametrize("rate", [0.0, 0.2, 0.5, 0.9])
def test_dropout_keeps_the_expectation(rate):
    values = tf.fill((400, 500), 3.0)
    dropped = dropout(values, rate, SEED).numpy()
    share = np.mean(dropped == 0)
    assert share == pytest.approx(rate, abs=0.005)
    np.testing.assert_allclose(dropped[dropped != 0], 3 / (1 - rate), rtol=2e-4)
    # Neither rows nor columns nor neighbours hang together.
    kept = dropped > 0
    np.testing.assert_allclose(kept.mean(0), 1 - rate, atol=0.15)
    np.testing.assert_allclose(kept.mean(1), 1 - rate, atol=0.15)
    if rate:
        pairs = np.corrcoef(kept[:, 0::2].ravel(), kept[:, 1::2].ravel())[0, 1]
        assert abs(pairs) < 0.015
