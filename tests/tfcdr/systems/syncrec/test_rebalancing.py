"""The memory of what domains gain: by hand, saved, and the weights that follow."""

import numpy as np
import tensorflow as tf

from tests.compilation import compiled_or_plain
from tfcdr.systems.syncrec.rebalancing import LossRebalancing


def call(layer, single, cross, jit_compile):
    function = compiled_or_plain(layer.__call__, jit_compile)
    return function(tf.constant(single, tf.float32), tf.constant(cross, tf.float32)).numpy()


def test_two_steps_by_hand(jit_compile):
    layer = LossRebalancing(2, decay=0.5, rate=2.0, temperature=0.5)
    np.testing.assert_array_equal(layer.delta, [0.5, 0.5])
    # Gains 0.25 and -0.5: delta 0.25 + 0.5, 0.25 - 1.
    weights = call(layer, [1.0, 1.0], [0.75, 1.5], jit_compile)
    np.testing.assert_allclose(layer.delta, [0.75, -0.75])
    odds = np.exp(1.5 / 0.5)
    np.testing.assert_allclose(weights, [odds / (1 + odds), 1 / (1 + odds)], rtol=1e-5)
    # No gain: half of it is forgotten.
    call(layer, [1.0, 1.0], [1.0, 1.0], jit_compile)
    np.testing.assert_allclose(layer.delta, [0.375, -0.375])


def test_a_domain_that_suffers_weighs_least():
    layer = LossRebalancing(3, decay=0.5, rate=0.5, temperature=0.1)
    for _ in range(5):
        weights = call(layer, [1.3, 1.2, 1.1], [1.1, 1.2, 1.3], False)
    assert weights.argsort().tolist() == [2, 1, 0]
    np.testing.assert_allclose(weights.sum(), 1, rtol=1e-6)


def test_weights_are_constants_for_the_gradient():
    layer = LossRebalancing(2, decay=0.5, rate=0.5, temperature=1.0)
    losses = tf.constant([1.0, 2.0])
    with tf.GradientTape() as tape:
        tape.watch(losses)
        weights = layer(losses, 2 * losses)
    assert tape.gradient(weights, losses) is None


def test_it_is_saved_and_restored(tmp_path):
    layers = [LossRebalancing(2, 0.5, 0.5, 1.0) for _ in range(2)]
    call(layers[0], [1.0, 3.0], [2.0, 1.0], False)
    path = tf.train.Checkpoint(layer=layers[0]).write(str(tmp_path / "delta"))
    tf.train.Checkpoint(layer=layers[1]).read(path).assert_consumed()
    np.testing.assert_array_equal(layers[0].delta, layers[1].delta)
    assert not layers[0].trainable_variables
