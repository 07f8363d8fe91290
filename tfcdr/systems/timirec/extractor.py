"""The self-attentive extractor of several interests from one history."""

from typing import NamedTuple

import tensorflow as tf

from tfcdr.layers.row_dropout import UnitDropout
from tfcdr.systems.timirec import initialization

# Uses of dropout within a step, apart from those of the predictor's few layers.
_EMBEDDING, _ATTENTION, _FEED_FORWARD = 1000, 1001, 1002


class Extraction(NamedTuple):
    """What the extractor makes of a batch of histories.

    Attributes:
      hidden: float [batch, time, d], the items in their context.
      attention_logits: float [batch, time, K]; of padding they mean nothing.
      attention: float32 [batch, time, K], each interest's weights, which sum to 1 over time.
      interests: float32 [batch, K, d].
    """

    hidden: tf.Tensor
    attention_logits: tf.Tensor
    attention: tf.Tensor
    interests: tf.Tensor


class TransformerLayer(tf.keras.layers.Layer):
    """One post-norm transformer layer of a single head, without an output projection.

    c = LN(softmax(Q K^T / sqrt(d)) V + x), then LN(W_b relu(W_a c + b_a) + b_b + c).

    Input and output: float [batch, time, d]; every item sees every item, earlier and later.

    Source: SPEC section 2, step 2.
    """

    def __init__(self, size: int, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.size = size
        self.query_key_value = initialization.dense(3 * size, "query_key_value")
        self.norm1 = tf.keras.layers.LayerNormalization(epsilon=1e-5, name="norm1")
        self.feed_forward1 = initialization.dense(size, "feed_forward1")
        self.feed_forward2 = initialization.dense(size, "feed_forward2")
        self.norm2 = tf.keras.layers.LayerNormalization(epsilon=1e-5, name="norm2")

    def call(
        self, inputs: tf.Tensor, mask: tf.Tensor, dropout: UnitDropout | None = None
    ) -> tf.Tensor:
        """Reads a history; `mask` is bool [batch, time], false for padding."""
        query, key, value = tf.split(self.query_key_value(inputs), 3, -1)
        logits = tf.matmul(query, key, transpose_b=True) * self.size**-0.5
        attention = masked_softmax(logits, mask[:, tf.newaxis], axis=-1)
        attended = tf.matmul(tf.cast(attention, value.dtype), value)
        if dropout is not None:
            attended = dropout(attended, _ATTENTION)
        context = self.norm1(attended + inputs)
        hidden = self.feed_forward2(tf.nn.relu(self.feed_forward1(context)))
        if dropout is not None:
            hidden = dropout(hidden, _FEED_FORWARD)
        return self.norm2(hidden + context)


class InterestExtractor(tf.keras.layers.Layer):
    """Reads K interest vectors from a history: SPEC section 2.

    Input int [batch, time], at most `max_length` ids below `rows`, oldest first, left-padded with
    0; output float32 [batch, K, d]. A history without items gives finite vectors that mean
    nothing.
    """

    def __init__(
        self,
        rows: int,
        max_length: int,
        size: int,
        attention_size: int,
        interests: int,
        position_embedding: bool,
        transformer_layer: bool,
        positions_in_values: bool,
        **kwargs: object,
    ) -> None:
        """Creates the extractor.

        Args:
          rows: rows of the item table, padding included.
          max_length: most items of a history.
          size: width d.
          attention_size: width a of the attention.
          interests: K.
          position_embedding: whether items know their position.
          transformer_layer: whether items see each other before interests are formed.
          positions_in_values: whether interests sum what the attention read (TiMiRec), or item
            embeddings without positions (ComiRec).
          **kwargs: Keras layer arguments.
        """
        super().__init__(**kwargs)
        self.positions_in_values = positions_in_values
        self.item_embedding = initialization.item_table(rows, size, "item_embedding")
        self.position_embedding = None
        if position_embedding:
            self.position_embedding = initialization.item_table(
                max_length + 1, size, "position_embedding"
            )
        self.transformer = TransformerLayer(size, name="transformer") if transformer_layer else None
        self.attention1 = initialization.dense(attention_size, "attention1")
        self.attention2 = initialization.dense(interests, "attention2")

    def call(self, history: tf.Tensor, dropout: UnitDropout | None = None) -> tf.Tensor:
        return self.extract(history, dropout).interests

    def extract(self, history: tf.Tensor, dropout: UnitDropout | None = None) -> Extraction:
        """Extracts interests and tells how; `dropout` is training's, None drops nothing."""
        mask = history > 0
        items = self.item_embedding(history)
        if dropout is not None:
            items = dropout(items, _EMBEDDING)
        hidden = self._with_positions(items, mask)
        if self.transformer is not None:
            hidden = self.transformer(hidden, mask, dropout)
            hidden *= tf.cast(mask, hidden.dtype)[..., tf.newaxis]
        logits = self.attention2(tf.nn.tanh(self.attention1(hidden)))
        attention = masked_softmax(logits, mask[..., tf.newaxis], axis=1)
        values = hidden if self.positions_in_values else items
        interests = tf.matmul(tf.cast(attention, values.dtype), values, transpose_a=True)
        return Extraction(hidden, logits, attention, tf.cast(interests, tf.float32))

    def _with_positions(self, items: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        if self.position_embedding is None:
            return items
        # Counted from the newest item, which has position 1; position 0 is padding's.
        time = tf.shape(items)[1]
        positions = self.position_embedding(tf.range(time, 0, -1))
        padding = self.position_embedding(tf.zeros((1,), tf.int32))
        return items + tf.where(mask[..., tf.newaxis], positions, padding)


def masked_softmax(logits: tf.Tensor, mask: tf.Tensor, axis: int) -> tf.Tensor:
    """Softmax over an axis without the masked entries; uniform where all are masked.

    Args:
      logits: float, any shape.
      mask: bool that broadcasts to it, false for what gets no weight.
      axis: summed to 1.

    Returns:
      Float32, of the logits' shape.
    """
    logits = tf.cast(logits, tf.float32)
    return tf.nn.softmax(tf.where(mask, logits, logits.dtype.min), axis)
