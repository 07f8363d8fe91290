"""Blocks of the experts, stacked: self-attention and feed-forward, both post-norm: SPEC section 2.

Hidden states are float [E, P, B, T, H]: E stacked blocks, each of which reads P tasks' sequences.
"""

import math
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfcdr.systems.syncrec.draws import Draws
from tfcdr.systems.syncrec.embedding import FoldedSequences, Sequences
from tfcdr.systems.syncrec.stacked import StackedDense, StackedLayerNorm
from tfcdr.systems.syncrec.token_blocks import TokenBlocks

# Where the batch is in hidden states.
_ROW_AXIS = 2
# The score of keys that are not seen.
_UNSEEN = -10000.0


class Dropouts(NamedTuple):
    """Shares that training drops.

    Attributes:
      hidden: of a block's output.
      attention: of attention weights.
    """

    hidden: float
    attention: float


def gelu(inputs: tf.Tensor) -> tf.Tensor:
    """Returns x (1 + erf(x / sqrt(2))) / 2 of float [...], computed in float32, as PyTorch does.

    TensorFlow's own is by erfc, for which XLA computes both of its branches.
    """
    values = tf.cast(inputs, tf.float32)
    return tf.cast(0.5 * values * (1 + tf.math.erf(values * math.sqrt(0.5))), inputs.dtype)


def causal_mask(is_key: tf.Tensor) -> tf.Tensor:
    """Returns which keys a query sees, bool [..., T, T]: those of bool [..., T] up to its place."""
    time = is_key.shape[-1]
    earlier = tf.constant(np.tri(time, dtype=bool))
    return is_key[..., tf.newaxis, :] & earlier


class AttentionBlock(tf.keras.layers.Layer):
    """LN(W_o MHA(x) + b_o + x), `count` of them side by side."""

    def __init__(
        self, count: int, size: int, heads: int, dropouts: Dropouts, **kwargs: object
    ) -> None:
        """Creates the blocks.

        Args:
          count: E, or 1 for one block with which all of the input's stack are read.
          size: H.
          heads: they share H.
          dropouts: what training drops.
          **kwargs: of the Keras layer.
        """
        super().__init__(**kwargs)
        self._heads = heads
        self._dropouts = dropouts
        self.query_key_value = StackedDense(count, 3 * size, name="query_key_value")
        self.output_layer = StackedDense(count, size, name="output")
        self.norm = StackedLayerNorm(count, name="norm")

    def call(self, hidden: tf.Tensor, mask: tf.Tensor, draws: Draws) -> tf.Tensor:
        """Attends; see the module's docstring.

        Args:
          hidden: float [E or 1, P, B, T, H].
          mask: bool, of `causal_mask`, that broadcasts to [E, P, B, T, T]; with fewer keys, these
            are the first places.
          draws: the dropout.
        """
        keys, size = mask.shape[-1], hidden.shape[-1]
        if keys == hidden.shape[-2]:
            projected = tf.split(self.query_key_value(hidden), 3, -1)
        else:
            query = self.query_key_value(hidden, columns=slice(size))
            rest = self.query_key_value(hidden[..., :keys, :], columns=slice(size, None))
            projected = [query, *tf.split(rest, 2, -1)]
        return self._attend(projected, hidden, mask, draws)

    def read(
        self, sequences: Sequences | FoldedSequences, count: int, mask: tf.Tensor, draws: Draws
    ) -> tf.Tensor:
        """Attends to the tasks' sequences, whose common positions are projected only once.

        Args:
          sequences: of P tasks.
          count: E; more than the blocks, if these are one that all share.
          mask: as in `call`.
          draws: the dropout.
        """
        values = self.query_key_value(sequences.values[tf.newaxis])[:, tf.newaxis]
        padding = self.query_key_value(sequences.padding[tf.newaxis])[:, tf.newaxis, tf.newaxis]
        if isinstance(sequences, FoldedSequences):
            query, *rest = tf.split(values, 3, -1)
            query = sequences.unfolded(query, tf.split(padding, 3, -1)[0])
            projected = [query, *rest]
        else:
            kept = sequences.kept[..., tf.newaxis]
            projected = tf.split(tf.where(kept, values, padding), 3, -1)
        if count > values.shape[0]:
            projected = [tf.repeat(part, count, 0) for part in projected]
        return self._attend(projected, sequences.of_tasks()[tf.newaxis], mask, draws)

    def _attend(
        self, projected: list[tf.Tensor], residual: tf.Tensor, mask: tf.Tensor, draws: Draws
    ) -> tf.Tensor:
        query, key, value = (self._by_head(part) for part in projected)
        query *= query.shape[-1] ** -0.5
        # Heads are a part of the stack, so that one mask fits all.
        scores = tf.cast(tf.matmul(query, key, transpose_b=True), tf.float32)
        weights = tf.nn.softmax(tf.where(mask, scores, _UNSEEN))
        # A query that sees nothing gets nothing, rather than a mean over what comes later.
        weights = tf.cast(tf.where(mask, weights, 0.0), value.dtype)
        weights = draws.dropout(weights, self._dropouts.attention, _ROW_AXIS)
        context = self._together(tf.matmul(weights, value))
        output = draws.dropout(self.output_layer(context), self._dropouts.hidden, _ROW_AXIS)
        return self.norm(output + residual)

    def _by_head(self, hidden: tf.Tensor) -> tf.Tensor:
        """[E, P, B, T, H] -> [heads * E, P, B, T, H / heads]."""
        return tf.concat(tf.split(hidden, self._heads, -1), 0)

    def _together(self, by_head: tf.Tensor) -> tf.Tensor:
        return tf.concat(tf.split(by_head, self._heads, 0), -1)


class FeedForward(tf.keras.layers.Layer):
    """LN(W_2 gelu(W_1 a + b_1) + b_2 + a), `count` of them side by side; W_1 widens four times."""

    def __init__(self, count: int, size: int, dropout: float, **kwargs: object) -> None:
        """Creates the blocks.

        Args:
          count: as in `AttentionBlock`.
          size: H.
          dropout: share of the output that training drops.
          **kwargs: of the Keras layer.
        """
        super().__init__(**kwargs)
        self._dropout = dropout
        self.widening = StackedDense(count, 4 * size, name="widening")
        self.narrowing = StackedDense(count, size, name="narrowing")
        self.norm = StackedLayerNorm(count, name="norm")

    def call(self, hidden: tf.Tensor, draws: Draws) -> tf.Tensor:
        """[E or 1, P, B, T, H] -> [E, P, B, T, H]; gelu is exact, by erf."""
        output = self.narrowing(gelu(self.widening(hidden)))
        return self.norm(draws.dropout(output, self._dropout, _ROW_AXIS) + hidden)

    def of_tokens(self, hidden: tf.Tensor, kinds: tf.Tensor, draws: Draws) -> tf.Tensor:
        """Lets every token go through one of the blocks: float [B, N, H], of the same shape.

        Args:
          hidden: float [B, N, H]; B and N must be static.
          kinds: int32 [B, N], from 0, the block of each token.
          draws: the dropout.
        """
        if self.widening.count == 1:
            return self(hidden[tf.newaxis, tf.newaxis], draws)[0, 0]
        number, flat = self.widening.count, tf.reshape(kinds, [-1])
        blocks = TokenBlocks(flat, number)
        which = tf.one_hot(blocks.kinds, number, dtype=hidden.dtype)
        inputs = blocks.put(tf.reshape(hidden, (-1, hidden.shape[-1])))
        widened = gelu(self.widening(inputs, which=which))
        output = blocks.take(self.narrowing(widened, which=which))
        output = draws.dropout(tf.reshape(output, hidden.shape), self._dropout, row_axis=0)
        return self.norm(output + hidden, which=tf.one_hot(kinds, number, dtype=hidden.dtype))
