"""Tokens of several kinds in blocks: each in one of its kind, there and back, gradients, too."""

import numpy as np
import pytest
import tensorflow as tf

from tests.compilation import compiled_or_plain
from tests.tfcdr.systems.syncrec.small_models import batch, make
from tfcdr.systems.syncrec.draws import NoDraws
from tfcdr.systems.syncrec.token_blocks import TokenBlocks

KINDS = {
    "mixed": np.random.default_rng(0).integers(0, 4, 600),
    "one kind alone": np.full(600, 3),
    "a kind without a token": np.repeat([0, 2, 3], 200),
    "few tokens": np.array([2, 0, 2]),
}


@pytest.mark.parametrize("kinds", KINDS.values(), ids=list(KINDS))
def test_there_and_back(kinds, jit_compile):
    tokens = np.random.default_rng(1).normal(size=(len(kinds), 3)).astype(np.float32)
    factors = tf.constant([[2.0], [3.0], [5.0], [7.0]])

    def scaled_by_kind(values):
        blocks = TokenBlocks(tf.constant(kinds, tf.int32), 4)
        return blocks.take(blocks.put(values) * tf.gather(factors, blocks.kinds)[:, tf.newaxis])

    def compute():
        values = tf.constant(tokens)
        with tf.GradientTape() as tape:
            tape.watch(values)
            outputs = scaled_by_kind(values)
            total = tf.reduce_sum(tf.sin(outputs))
        return outputs, tape.gradient(total, values)

    outputs, slopes = compiled_or_plain(compute, jit_compile)()
    own = factors.numpy()[kinds]
    np.testing.assert_allclose(outputs, tokens * own, rtol=1e-6)
    np.testing.assert_allclose(slopes, own * np.cos(tokens * own), rtol=1e-5, atol=1e-6)


def test_slots_without_a_token_are_zero():
    blocks = TokenBlocks(tf.constant([1, 1, 0], tf.int32), 2)
    put = blocks.put(tf.ones([3, 2])).numpy()
    assert put.sum() == 6
    assert set(put.ravel()) <= {0, 1}


def test_towers_of_tokens_are_the_towers_of_their_domains():
    model, rows = make(), batch()
    towers = model.network.single_towers
    hidden = tf.random.stateless_normal((5, 6, 8), (1, 2))
    kinds = tf.maximum(rows["domains"] - 1, 0)
    came = towers.of_tokens(hidden, kinds, NoDraws())
    every = towers(tf.repeat(hidden[tf.newaxis, tf.newaxis], 3, 0), NoDraws())[:, 0]
    expected = tf.gather(tf.transpose(every, (1, 2, 0, 3)), kinds, batch_dims=2)
    np.testing.assert_allclose(came, expected, atol=1e-5)
