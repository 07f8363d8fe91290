"""Who has taken so much of a target that too few of its items are left to draw.

Nothing is left to recommend to such a user: his rows are left out, and counted. The same rule, on
the same column, finds the rows that are read and those that are left out.
"""

from typing import NamedTuple

import tensorflow as tf

from data_pipelines.views.example_batches import Cut
from data_pipelines.views.roles import RoleRecords, places_of

# The entry of `Cut.examples` with the items that are left to each example.
LEFT = "left"


class ItemsNeeded(NamedTuple):
    """How many items must be left to draw for an example.

    Attributes:
      least: so many; with 0 no example is left out, and none says how many items it has left.
      of_all: whether items of all targets count, rather than those of the example's own domain.
    """

    least: int = 0
    of_all: bool = False


def distinct_items(
    records: RoleRecords, chosen: tf.Tensor, group: tf.Tensor, groups: tf.Tensor
) -> tf.Tensor:
    """Counts the distinct items of groups of interactions.

    Args:
      records: of some users.
      chosen: bool [n], which interactions count.
      group: int64 [n], from 0.
      groups: their number.

    Returns:
      int64 [groups].
    """
    places = places_of(chosen)
    items, group = tf.gather(records.items, places), tf.gather(group, places)
    stride = tf.reduce_max(tf.concat([items, [0]], 0)) + 1
    pairs = tf.unique(group * stride + items).y
    return tf.math.unsorted_segment_sum(tf.ones_like(pairs), pairs // stride, groups)


def only(found: Cut, needed: ItemsNeeded, left_out: bool = False) -> Cut:
    """Keeps the examples to which enough items are left, or those that are `left_out`."""
    if not needed.least:
        return found
    places = places_of((found.examples[LEFT] < needed.least) == left_out)
    examples = {name: tf.gather(column, places) for name, column in found.examples.items()}
    return Cut(examples, found.shared)
