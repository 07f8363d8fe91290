"""Dropout by what a row is about: its share, and what it does and does not depend on."""

import numpy as np
import pytest
import tensorflow as tf

from tests.compilation import compiled_or_plain
from tfcdr.layers.row_dropout import RowDropout


def drop(jit_compile, users, items, rate=0.25, seed=1, step=2, layer=0, units=64):
    """Drops from ones: float [batch, units]."""

    def call(users, items, step):
        ones = tf.ones((users.shape[0], units))
        return RowDropout(seed, step, users, items)(ones, rate, layer)

    constants = [tf.constant(ids, tf.int32) for ids in (users, items)]
    call = compiled_or_plain(call, jit_compile)
    return call(*constants, tf.constant(step, tf.int64)).numpy()


def test_keeps_the_mean_and_drops_a_share(jit_compile):
    came = drop(jit_compile, np.arange(300), np.arange(300) % 7)
    # 19,200 units: the share deviates by 0.003.
    assert np.mean(came == 0) == pytest.approx(0.25, abs=0.015)
    assert set(np.unique(came)) == {0, np.float32(1 / 0.75)}
    # Rows and units drop alike: deviations 0.054 and 0.025.
    assert np.abs(np.mean(came == 0, 1) - 0.25).max() < 0.27
    assert np.abs(np.mean(came == 0, 0) - 0.25).max() < 0.13


def test_a_row_drops_the_same_wherever_it_stands(jit_compile):
    users, items = np.arange(10, 40), np.arange(30) * 3
    order = np.random.default_rng(0).permutation(30)
    np.testing.assert_array_equal(
        drop(jit_compile, users[order], items[order]), drop(jit_compile, users, items)[order]
    )


@pytest.mark.parametrize("change", [{"seed": 2}, {"step": 3}, {"layer": 1}, {"items": [6] * 50}])
def test_draws_differ_between_seeds_steps_layers_and_items(change):
    draw = {"users": np.arange(50), "items": [5] * 50}
    first, second = drop(False, **draw) == 0, drop(False, **{**draw, **change}) == 0
    # Independent: both drop 1/16 of 3,200 units, with a deviation of 0.004.
    assert np.mean(first & second) == pytest.approx(1 / 16, abs=0.02)


def test_units_and_rows_are_independent():
    dropped = drop(False, np.arange(200), np.arange(200), rate=0.5) == 0
    between_units = np.corrcoef(dropped.T) - np.eye(64)
    assert np.abs(between_units).max() < 0.35  # of 4,032 with a deviation of 0.071
    assert np.abs(between_units).mean() < 0.1


def test_rate_zero_drops_nothing():
    assert (drop(False, [0, 1], [0, 0], rate=0.0) == 1).all()
