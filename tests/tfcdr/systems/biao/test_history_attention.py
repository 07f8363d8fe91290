"""Attention over a history as one vector, against attention as BIAO SPEC section 3 writes it."""

import numpy as np
import pytest
import tensorflow as tf

from tests.compilation import compiled_or_plain
from tfcdr.systems.biao.config import BiaoConfig
from tfcdr.systems.biao.history_attention import HistoryAttention

SIZE, HEADS = 3, 2


def plain(layer, history, lengths, candidate, masked):
    """The mean of all places' outputs, each of which is computed."""
    width = history.shape[1]
    beside = tf.repeat(candidate[:, tf.newaxis], width, 1)
    inputs = tf.concat([history, beside], 2)

    def by_head(values):
        return tf.transpose(tf.reshape(values, (*values.shape[:2], HEADS, SIZE)), (0, 2, 1, 3))

    keys, values = (by_head(half) for half in tf.split(layer.key_value(inputs), 2, 2))
    logits = tf.matmul(by_head(layer.query(inputs)), keys, transpose_b=True) / SIZE**0.5
    present = tf.sequence_mask(lengths, width)
    if masked:
        logits = tf.where(present[:, tf.newaxis, tf.newaxis], logits, -1e9)
    outputs = tf.transpose(tf.matmul(tf.nn.softmax(logits), values), (0, 2, 1, 3))
    outputs = layer.output_projection(tf.reshape(outputs, (*outputs.shape[:2], -1)))
    places = tf.cast(tf.maximum(lengths, 1), tf.float32) if masked else tf.constant(float(width))
    shares = tf.cast(present, tf.float32) / tf.reshape(places, (-1, 1))
    return tf.reduce_sum(outputs * shares[..., tf.newaxis], 1)


# Around the pieces of 32 keys that are reduced at once.
@pytest.mark.parametrize("width", [5, 32, 70])
@pytest.mark.parametrize("padding", ["masked", "attended"])
def test_is_the_mean_of_all_places_outputs(width, padding, jit_compile):
    config = BiaoConfig(embedding_size=SIZE, attention_heads=HEADS, padding=padding)
    layer = HistoryAttention(config, "attention")
    random = np.random.default_rng(0)
    history = tf.constant(random.normal(size=(4, width, 2 * SIZE)), tf.float32)
    candidate = tf.constant(random.normal(size=(4, 2 * SIZE)), tf.float32)
    lengths = tf.constant([0, 1, width - 1, width])
    for weight in layer.trainable_variables:
        weight.assign(random.normal(size=weight.shape))

    def with_slopes(function):
        with tf.GradientTape() as tape:
            vectors = function()
            total = tf.reduce_sum(tf.sin(vectors))
        return [vectors, *tape.gradient(total, layer.trainable_variables)]

    def made():
        return with_slopes(lambda: layer(history, lengths, candidate))

    expected = with_slopes(lambda: plain(layer, history, lengths, candidate, padding == "masked"))
    for found, wanted in zip(compiled_or_plain(made, jit_compile)(), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-4)
