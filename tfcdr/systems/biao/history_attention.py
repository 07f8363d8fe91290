"""Self-attention over a history beside a candidate, averaged over the history: SPEC section 3."""

import functools
from collections.abc import Callable

import tensorflow as tf

from tfcdr.systems.biao.config import BiaoConfig
from tfcdr.systems.biao.linear import linear

# Beyond so many XLA on CPU reduces in steps of its own.
_MOST_KEYS_AT_ONCE = 32


class HistoryAttention(tf.keras.layers.Layer):
    """Multi-head attention without biases among x_j = [item_j ; candidate], as one vector.

    A layer's answer is the mean of all places' outputs, which is linear in the attention weights
    and in the values. So the weights are averaged over the places first, and then items, instead of
    their values: nothing of size [T, T, e] is made, and no output of a place is.

    Attributes:
      query, key_value, output_projection: the maps W_q, [W_k | W_v] and W_o.
    """

    def __init__(self, config: BiaoConfig, name: str) -> None:
        """Creates the weights; a head is `embedding_size` wide."""
        super().__init__(name=name)
        self._heads, self._size = config.attention_heads, config.embedding_size
        self._masked = config.padding == "masked"
        inputs, inner = 4 * self._size, self._heads * self._size
        self.query = linear(inputs, inner, "query", use_bias=False)
        self.key_value = linear(inputs, 2 * inner, "key_value", use_bias=False)
        self.output_projection = linear(inner, inputs, "output", use_bias=False)

    def call(self, history: tf.Tensor, lengths: tf.Tensor, candidate: tf.Tensor) -> tf.Tensor:
        """Returns float [batch, 4e].

        Args:
          history: float [batch, T, 2e], the items, padding behind them.
          lengths: int [batch], how many items each history has.
          candidate: float [batch, 2e].
        """
        inner = self._heads * self._size
        counts = self._counts(history, lengths, candidate)
        # A column of ones gives what all items count together.
        with_ones = tf.concat([history, tf.ones_like(history[..., :1])], 2)
        pooled, total = tf.split(tf.matmul(counts, with_ones), [history.shape[2], 1], 2)
        pooled = tf.concat([pooled, total * candidate[:, tf.newaxis]], 2)
        kernel = tf.reshape(self.key_value.kernel[:, inner:], (-1, self._heads, self._size))
        values = tf.einsum("bhi,ihe->bhe", pooled, kernel)
        return self.output_projection(tf.reshape(values, (-1, inner)))

    def _counts(self, history: tf.Tensor, lengths: tf.Tensor, candidate: tf.Tensor) -> tf.Tensor:
        """Returns float [batch, heads, T], how much each item counts in the mean of all places.

        What is summed over the queries, the last axis, is a product.
        """
        logits = self._logits(history, lengths, candidate)
        # The softmax over keys, axis 2, without a pass that divides.
        largest = tf.stop_gradient(_reduced_over_keys(tf.reduce_max, tf.maximum, logits))
        unscaled = tf.exp(logits - largest[:, :, tf.newaxis])
        total = _reduced_over_keys(tf.reduce_sum, tf.add, unscaled)
        share = self._shares(history, lengths)[:, tf.newaxis] / total
        return tf.squeeze(tf.matmul(unscaled, share[..., tf.newaxis]), 3)

    def _logits(self, history: tf.Tensor, lengths: tf.Tensor, candidate: tf.Tensor) -> tf.Tensor:
        """Returns float [batch, heads, keys T, queries T].

        The keys come first, since XLA on CPU reduces over the last axis one number at a time.
        """
        inner, width = self._heads * self._size, history.shape[1]
        rows = tf.reshape(history, (-1, history.shape[2]))
        items, beside = tf.split(self.query.kernel, 2)
        queries = tf.reshape(tf.matmul(rows, items), (-1, width, inner))
        queries += tf.matmul(candidate, beside)[:, tf.newaxis]
        # What the candidate adds to every key alike, the softmax over keys takes away again.
        keys = tf.matmul(rows, self.key_value.kernel[: history.shape[2], :inner])
        shape = (-1, width, self._heads, self._size)
        queries, keys = tf.reshape(queries, shape), tf.reshape(keys, shape)
        # With a key too many, logits are a slice and smaller than the product: over an input of
        # their own size XLA on CPU writes exponentials in place, and then computes them one by one.
        keys = tf.pad(keys, [[0, 0], [0, 1], [0, 0], [0, 0]])
        products = tf.einsum("bkhe,bqhe->bhkq", keys, queries)
        logits = products[:, :, :width] * self._size**-0.5
        if not self._masked:
            return logits
        present = tf.sequence_mask(lengths, width)[:, tf.newaxis, :, tf.newaxis]
        return tf.where(present, logits, logits.dtype.min)

    def _shares(self, history: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
        """Returns float [batch, T], the part of each place in the mean; padding has none."""
        width = history.shape[1]
        present = tf.sequence_mask(lengths, width, history.dtype)
        if not self._masked:
            return present / width
        return present / tf.cast(tf.maximum(lengths, 1), history.dtype)[:, tf.newaxis]


def _reduced_over_keys(
    reduction: Callable[[tf.Tensor, int], tf.Tensor],
    combination: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
    values: tf.Tensor,
) -> tf.Tensor:
    """Reduces float [batch, heads, keys, queries] to [batch, heads, queries].

    Some keys at a time, and then these: the steps that XLA on CPU makes of a longer reduction are
    not joined with what makes its input, nor done for several queries at once.
    """
    keys = values.shape[2]
    sizes = [min(_MOST_KEYS_AT_ONCE, keys - start) for start in range(0, keys, _MOST_KEYS_AT_ONCE)]
    return functools.reduce(
        combination, [reduction(piece, 2) for piece in tf.split(values, sizes, 2)]
    )
