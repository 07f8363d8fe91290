"""The recurrent network: a loop over a long history is the unrolled network."""

import numpy as np
import tensorflow as tf

from tfcdr.systems.timirec import predictor


def test_a_loop_and_unrolled_steps_agree(monkeypatch, jit_compile):
    random = np.random.default_rng(0)
    inputs = tf.constant(random.normal(size=(7, 3, 4)), tf.float32)
    mask = tf.constant(random.random((7, 3)) < 0.6)
    network = predictor.GatedRecurrentUnit(4)
    network(inputs, mask)

    def differentiate():
        with tf.GradientTape() as tape:
            value = tf.reduce_sum(network(inputs, mask) ** 2)
        return [value, *tape.gradient(value, network.trainable_variables)]

    unrolled = tf.function(differentiate)()
    monkeypatch.setattr(predictor, "MOST_UNROLLED", 2)
    looped = tf.function(differentiate, jit_compile=jit_compile)()
    for ours, expected in zip(looped, unrolled, strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-6)
