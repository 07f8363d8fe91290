"""Tokens of several kinds put into blocks of one kind each, so that few products serve all kinds.

Each token goes through the layer of its kind alone. Blocks have one size and their number is the
most that any mixture of kinds can fill, so that shapes are static; slots without a token are 0.
"""

import tensorflow as tf

_MOST_OF_A_BLOCK = 256


class TokenBlocks:
    """How n tokens of `number` kinds are laid out in blocks.

    Both directions gather, and so do their gradients: on CPU, XLA would scatter row by row.

    Attributes:
      kinds: int32 [blocks], from 0, the kind of each block's tokens.
    """

    def __init__(self, kinds: tf.Tensor, number: int) -> None:
        """Lays tokens out.

        Args:
          kinds: int32 [n], from 0; n must be static.
          number: of kinds.
        """
        tokens = kinds.shape[0]
        # A kind wastes half a block; blocks must not be smaller than products like them.
        self._size = size = max(1, min(_MOST_OF_A_BLOCK, tokens // (4 * number)))
        blocks = (tokens + number * (size - 1)) // size
        order = tf.argsort(kinds, stable=True)
        is_kind = tf.cast(kinds == tf.range(number)[:, tf.newaxis], tf.int32)
        counts = tf.reduce_sum(is_kind, 1)
        starts = tf.cumsum(counts, exclusive=True)
        block_ends = tf.cumsum(-(-counts // size))
        block_starts = tf.concat([[0], block_ends[:-1]], 0)
        # Blocks behind the last one in use are empty ones of the last kind.
        past = tf.cast(tf.range(blocks)[:, tf.newaxis] >= block_ends, tf.int32)
        self.kinds = tf.minimum(tf.reduce_sum(past, 1), number - 1)
        in_kind = (tf.range(blocks) - tf.gather(block_starts, self.kinds)) * size
        places = in_kind[:, tf.newaxis] + tf.range(size)
        is_token = places < tf.gather(counts, self.kinds)[:, tf.newaxis]
        places += tf.gather(starts, self.kinds)[:, tf.newaxis]
        places = tf.reshape(tf.where(is_token, places, 0), [-1])
        self._token_of_slot = tf.gather(order, places)
        self._is_token = tf.reshape(is_token, [-1, 1])
        place_of_token = tf.argsort(order)
        self._slot_of_token = place_of_token + tf.gather(block_starts * size - starts, kinds)

    def put(self, tokens: tf.Tensor) -> tf.Tensor:
        """Moves float [n, H] into blocks, [blocks, size, H]."""

        @tf.custom_gradient
        def moved(values: tf.Tensor) -> tuple[tf.Tensor, object]:
            return self._to_slots(values), self._to_tokens

        return tf.reshape(moved(tokens), (-1, self._size, tokens.shape[-1]))

    def take(self, blocks: tf.Tensor) -> tf.Tensor:
        """Moves float [blocks, size, H] back to the tokens, [n, H]."""

        @tf.custom_gradient
        def moved(values: tf.Tensor) -> tuple[tf.Tensor, object]:
            return self._to_tokens(values), self._to_slots

        return moved(tf.reshape(blocks, (-1, blocks.shape[-1])))

    def _to_slots(self, values: tf.Tensor) -> tf.Tensor:
        found = tf.gather(values, self._token_of_slot)
        return tf.where(self._is_token, found, tf.zeros_like(found))

    def _to_tokens(self, values: tf.Tensor) -> tf.Tensor:
        return tf.gather(values, self._slot_of_token)
