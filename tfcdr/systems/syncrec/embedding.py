"""Items in their domain and place, and the sequences that the tasks read: SPEC sections 2 and 3."""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfcdr.systems.syncrec.draws import Draws
from tfcdr.systems.syncrec.stacked import StackedLayerNorm, normal


class Sequences(NamedTuple):
    """What P tasks read of B users: the same positions, of which each keeps some.

    Where a task does not keep a position, padding stands there, which is the same for all users.

    Attributes:
      values: float [B, T, H].
      padding: float [T, H].
      kept: bool [P, B, T].
      is_item: bool [B, T], false for padding.
    """

    values: tf.Tensor
    padding: tf.Tensor
    kept: tf.Tensor
    is_item: tf.Tensor

    def of_tasks(self) -> tf.Tensor:
        """Returns float [P, B, T, H], each task's own sequence."""
        return tf.where(self.kept[..., tf.newaxis], self.values, self.padding)


class FoldedSequences(NamedTuple):
    """What the single-domain tasks read of B users where each sees its own domain alone.

    Then no two of them read the same item, and all fit into one sequence of 2T tokens: every item,
    read by its domain's task, and behind these, for each place, what the next item's task reads
    there: that item, if it is of that domain, or padding. Keys are the items.

    Attributes:
      values: float [B, T, H].
      padding: float [T, H].
      is_same: bool [B, T], whether the next item is of the item's domain.
      mask: bool [1, B, 2T, T], which items each token sees: the earlier ones of its domain.
    """

    values: tf.Tensor
    padding: tf.Tensor
    is_same: tf.Tensor
    mask: tf.Tensor

    def of_tasks(self) -> tf.Tensor:
        """Returns float [1, B, 2T, H]."""
        return self.unfolded(self.values, self.padding)[tf.newaxis]

    def unfolded(self, values: tf.Tensor, padding: tf.Tensor) -> tf.Tensor:
        """Puts something of items, [..., B, T, width], and of padding, [..., T, width], together.

        Returns:
          [..., B, 2T, width].
        """
        others = tf.where(self.is_same[..., tf.newaxis], values, padding)
        return tf.concat([values, others], -2)


class SequenceEmbedding(tf.keras.layers.Layer):
    """LN(I[item] + Y[domain] + P[place]), then dropout; padding's rows of I and Y do not train.

    Attributes:
      item_table: float32 [rows, H]; row 0 is padding.
      domain_table: float32 [domains + 1, H]; row 0 is padding.
      position_table: float32 [T, H], by places from the left.
    """

    def __init__(
        self, rows: int, domains: int, max_length: int, size: int, dropout: float, **kwargs: object
    ) -> None:
        """Creates the tables.

        Args:
          rows: of the item table.
          domains: D.
          max_length: T.
          size: H.
          dropout: share that training drops.
          **kwargs: of the Keras layer.
        """
        super().__init__(**kwargs)
        self._dropout = dropout

        def table(name: str, rows: int) -> tf.Variable:
            return self.add_weight(name, (rows, size), initializer=normal())

        self.item_table = table("item_table", rows)
        self.domain_table = table("domain_table", domains + 1)
        self.position_table = table("position_table", max_length)
        self.norm = StackedLayerNorm(1, name="norm")

    def call(self, items: tf.Tensor, domains: tf.Tensor, draws: Draws) -> Sequences:
        """Embeds sequences for a task that reads all positions.

        Args:
          items: int32 [B, T], left-padded with 0.
          domains: int32 [B, T] from 1, 0 for padding.
          draws: the dropout.
        """
        pad_item, pad_domain = (
            tf.stop_gradient(tf.cast(table, self.compute_dtype)[0])
            for table in (self.item_table, self.domain_table)
        )
        places = tf.cast(self.position_table, self.compute_dtype)
        summed = tf.gather(self.item_table, items) + tf.gather(self.domain_table, domains) + places
        values, padding = (
            self.norm(part[tf.newaxis])[0] for part in (summed, pad_item + pad_domain + places)
        )
        values = draws.dropout(values, self._dropout, row_axis=0)
        padding = draws.dropout(padding, self._dropout, row_axis=None)
        is_item = items > 0
        values = tf.where(is_item[..., tf.newaxis], values, padding)
        return Sequences(values, padding, is_item[tf.newaxis], is_item)


def of_each_domain(sequences: Sequences, domains: tf.Tensor, number: int) -> Sequences:
    """Returns what the single-domain tasks read: each keeps the positions of its domain.

    Args:
      sequences: with all positions.
      domains: int32 [B, T] from 1.
      number: D; the tasks are those of domains 1..D.
    """
    kept = domains == tf.range(1, number + 1)[:, tf.newaxis, tf.newaxis]
    return sequences._replace(kept=kept)


def folded(sequences: Sequences, domains: tf.Tensor, next_domains: tf.Tensor) -> FoldedSequences:
    """Returns what the single-domain tasks read, each its own domain alone.

    Args:
      sequences: with all positions.
      domains: int32 [B, T] from 1.
      next_domains: int32 [B, T], of the items that come next.
    """
    # The domain whose task reads each token.
    reading = tf.concat([domains, next_domains], 1)
    sees = reading[..., tf.newaxis] == domains[:, tf.newaxis]
    time = domains.shape[1]
    earlier = tf.constant(np.tile(np.tri(time, dtype=bool), (2, 1)))
    mask = sees & earlier & sequences.is_item[:, tf.newaxis]
    is_same = (domains == next_domains) & sequences.is_item
    return FoldedSequences(sequences.values, sequences.padding, is_same, mask[tf.newaxis])
