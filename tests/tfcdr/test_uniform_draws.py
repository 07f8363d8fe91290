"""Draws are uniform, and the same with and without XLA."""

import numpy as np
import pytest
import tensorflow as tf

from tfcdr.uniform_draws import uniform

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
