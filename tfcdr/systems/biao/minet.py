"""MiNet: a target tower that attends to the user's recent behaviours of both domains.

Ouyang et al., "MiNet: Mixed Interest Network for Cross-Domain Click-Through Rate Prediction",
CIKM 2020, sections 2.3 to 2.6: item-level attention within each history, interest-level attention
among the user's long-term interest and what either history says, and a plain tower of the source
that shares the user's embedding.
"""

import itertools

import tensorflow as tf

from tfcdr.stage_model import Batch
from tfcdr.systems.biao.backbone import Backbone, Hidden
from tfcdr.systems.biao.config import BiaoConfig
from tfcdr.systems.biao.linear import linear
from tfcdr.systems.biao.tables import (
    SOURCE_CATEGORY,
    SOURCE_HISTORY,
    SOURCE_ITEM,
    TARGET_CATEGORY,
    TARGET_HISTORY,
    TARGET_ITEM,
    USER,
    Reads,
    Tables,
    of_source,
    of_target,
    reads_of_pairs,
)


class ItemAttention(tf.keras.layers.Layer):
    """Pools a history by how its items bear on a candidate.

    weights = softmax(h . relu(W [item ; candidate ; user ; item * candidate])) over the history's
    items; a history without any gives zeros.
    """

    def __init__(self, embedding_size: int, name: str) -> None:
        super().__init__(name=name)
        width = 2 * embedding_size
        self.projection = linear(3 * width + embedding_size, width, "projection", use_bias=False)
        self.score = linear(width, 1, "score", use_bias=False)

    def call(
        self, items: tf.Tensor, lengths: tf.Tensor, candidate: tf.Tensor, user: tf.Tensor
    ) -> tf.Tensor:
        """Returns float [batch, 2e].

        Args:
          items: float [batch, T, 2e], in the space of the target's items.
          lengths: int [batch], how many items come before the padding.
          candidate: float [batch, 2e].
          user: float [batch, e].
        """
        beside = tf.concat([candidate, user], 1)[:, tf.newaxis]
        beside = tf.repeat(beside, items.shape[1], axis=1)
        together = tf.concat([items, beside, items * candidate[:, tf.newaxis]], 2)
        # Rows of a matrix, which XLA's product on CPU is fastest at.
        rows = tf.reshape(together, (-1, together.shape[2]))
        scores = self.score(tf.nn.relu(self.projection(rows)))
        scores = tf.reshape(scores, (-1, items.shape[1]))
        present = tf.sequence_mask(lengths, items.shape[1])
        weights = tf.nn.softmax(tf.where(present, scores, scores.dtype.min))
        weights *= tf.cast(present, weights.dtype)
        return tf.reduce_sum(weights[:, :, tf.newaxis] * items, 1)


class MiNet(Backbone):
    """Attention over both histories in the target's tower; see the module's docstring.

    Attributes:
      transfer: M, which takes source items into the space of the target's.
      interest: score exp(g . relu(V [candidate ; interest])) of each kind of interest.
    """

    def __init__(self, config: BiaoConfig) -> None:
        super().__init__(config)
        size = config.embedding_size
        pair = 2 * size
        self.target_attention = ItemAttention(size, "target_attention")
        interests = {"user": size, "target": pair}
        if config.reads_sources:
            self.source_attention = ItemAttention(size, "source_attention")
            self.transfer = linear(pair, pair, "transfer", use_bias=False)
            self.source_layers = _tower(size + pair, config.hidden_widths, "source")
            interests["source"] = pair
        self.interest = {
            name: (linear(pair + width, size, f"{name}_interest"), linear(size, 1, f"{name}_gain"))
            for name, width in interests.items()
        }
        inputs = pair + sum(interests.values())
        self.target_layers = _tower(inputs, config.hidden_widths, "target")

    def reads(self) -> Reads:
        return reads_of_pairs(self.config.reads_sources, histories=True)

    def hidden(self, tables: Tables, batch: Batch) -> Hidden:
        user = tf.gather(tables[USER], batch[USER])
        candidate = of_target(tables, batch[TARGET_ITEM], batch[TARGET_CATEGORY])
        interests = {"user": user, "target": self._of_target(tables, batch, candidate, user)}
        source = None
        if self.config.reads_sources:
            interests["source"] = self._of_source(tables, batch, candidate, user)
            behaviour = of_source(tables, batch[SOURCE_ITEM], batch[SOURCE_CATEGORY])
            source = _through(self.source_layers, tf.concat([behaviour, user], 1))
        weighed = []
        for name, interest in interests.items():
            projection, gain = self.interest[name]
            score = gain(tf.nn.relu(projection(tf.concat([candidate, interest], 1))))
            weighed.append(tf.exp(score) * interest)
        target = _through(self.target_layers, tf.concat([candidate, *weighed], 1))
        return Hidden(source, target)

    def _of_target(
        self, tables: Tables, batch: Batch, candidate: tf.Tensor, user: tf.Tensor
    ) -> tf.Tensor:
        items = of_target(tables, *(batch[entry] for entry in TARGET_HISTORY))
        return self.target_attention(items, batch["target_length"], candidate, user)

    def _of_source(
        self, tables: Tables, batch: Batch, candidate: tf.Tensor, user: tf.Tensor
    ) -> tf.Tensor:
        items = of_source(tables, *(batch[entry] for entry in SOURCE_HISTORY))
        rows = self.transfer(tf.reshape(items, (-1, items.shape[2])))
        moved = tf.reshape(rows, (-1, items.shape[1], items.shape[2]))
        return self.source_attention(moved, batch["source_length"], candidate, user)


def _tower(inputs: int, widths: tuple[int, ...], name: str) -> list[tf.keras.layers.Dense]:
    sizes = itertools.pairwise((inputs, *widths))
    return [linear(*size, f"{name}{number}") for number, size in enumerate(sizes)]


def _through(layers: list[tf.keras.layers.Dense], inputs: tf.Tensor) -> tf.Tensor:
    for layer in layers:
        inputs = tf.nn.relu(layer(inputs))
    return inputs
