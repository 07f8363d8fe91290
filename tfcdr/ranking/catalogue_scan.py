"""Goes through a model's scores of all its items, some items at a time.

What is done with scores of a catalogue of millions, to count or to keep the best, needs no tensor
of every user and item.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeVar

import tensorflow as tf

State = TypeVar("State", bound=tf.types.experimental.TensorLike | tuple)


class ItemScorer(Protocol):
    """What scores items 1..num_items for users; `RankingModel` fits.

    Attributes:
      num_items: that are scored.
      items_at_once: how many are best scored together; None if that does not matter to it.
    """

    num_items: int
    items_at_once: int | None

    def score_range(self, user: tf.Tensor, first: tf.Tensor | int, count: int) -> tf.Tensor:
        """Scores `count` neighbouring items from `first` on: float32 [batch, count]."""


class Piece(NamedTuple):
    """Scores of neighbouring items.

    Attributes:
      first: the first item's id.
      scores: float32 [batch, size].
    """

    first: tf.Tensor | int
    scores: tf.Tensor

    def look_up(self, ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the scores of ids, both [batch, any], and whether each is in this piece.

        Of an id that is not, the score is another's.
        """
        places = ids - self.first
        size = tf.shape(self.scores)[1]
        here = (places >= 0) & (places < size)
        return tf.gather(self.scores, tf.clip_by_value(places, 0, size - 1), batch_dims=1), here


def fold_scores(
    model: ItemScorer,
    user: tf.Tensor,
    state: State,
    update: Callable[[State, Piece], State],
    items_at_once: int,
) -> State:
    """Updates a state with the scores of items 1..num_items, piece by piece in this order.

    Args:
      model: scores the items.
      user: float [batch, ...], as the model's `score_range` takes it.
      state: tensors; their shapes and dtypes stay the same.
      update: gives the next state.
      items_at_once: items in a piece; the last piece may be smaller.

    Returns:
      The last state.
    """
    items = model.num_items
    size = min(items, items_at_once)
    whole, rest = divmod(items, size)

    def scan(index: tf.Tensor, state: State) -> tuple[tf.Tensor, State]:
        first = 1 + index * size
        return index + 1, update(state, Piece(first, model.score_range(user, first, size)))

    # Not compiled by XLA: its matrix products keep one core busy on CPU, TensorFlow's all.
    _, state = tf.while_loop(lambda index, _: index < whole, scan, (tf.constant(0), state))
    if not rest:
        return state
    # The last piece is scored with items before it: a product of another shape may round
    # differently, and items with equal vectors would no longer have equal scores.
    last = model.score_range(user, 1 + items - size, size)[:, size - rest :]
    return update(state, Piece(1 + items - rest, last))
