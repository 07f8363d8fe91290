"""What is recommended to a user by ids: by the model, or the most popular if nothing is known."""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfcdr.ranking.model import RankingModel
from tfcdr.ranking.retrieval import Retriever, best_of_unseen


class Recommendations(NamedTuple):
    """Of a batch of users.

    Attributes:
      ids: int32 [batch, k], best first; 0 where no item is left.
      scores: float32 [batch, k], the model's; of a user of whom nothing is known, the items'
        training interactions.
      known: int32 [batch], how many items of each history the model knows.
    """

    ids: tf.Tensor
    scores: tf.Tensor
    known: tf.Tensor


class Recommender(tf.Module):
    """Ranks the items of one catalogue for histories of ids."""

    def __init__(
        self, model: RankingModel, retriever: Retriever, counts: np.ndarray, max_length: int
    ) -> None:
        """Takes a trained model.

        Args:
          model: encodes histories and scores items.
          retriever: finds the items to recommend.
          counts: int [num_items], training interactions of each item.
          max_length: items of a history that the model reads.
        """
        super().__init__()
        self.model = model
        self.max_length = max_length
        self._retriever = retriever
        order = np.argsort(-counts, kind="stable").astype(np.int32) + 1
        self._popular = tf.Variable(order, trainable=False, name="popular")
        self._counts = tf.Variable(np.append(0, counts).astype(np.float32), trainable=False)

    @property
    def top_k(self) -> int:
        """Items of a recommendation."""
        return self._retriever.top_k

    def recommend(self, history: tf.Tensor, seen: tf.Tensor) -> Recommendations:
        """Recommends the best items that are not seen.

        Args:
          history: int32 [batch, any], oldest first, among zeros.
          seen: int32 [batch, any], items that are not recommended; 0 for none.
        """
        known = _number_known(history)
        ids, scores = self._retriever.best_unseen(self._user(history), seen)
        popular, counts = self._most_popular(seen)
        is_known = known[:, tf.newaxis] > 0
        ids, scores = tf.where(is_known, ids, popular), tf.where(is_known, scores, counts)
        return Recommendations(ids, scores, known)

    def score(self, history: tf.Tensor, candidates: tf.Tensor) -> tf.Tensor:
        """Scores chosen items, as `recommend` would: int32 [batch, any] -> float32 [batch, any]."""
        scores = self.model.score_candidates(self._user(history), candidates)
        is_known = _number_known(history)[:, tf.newaxis] > 0
        return tf.where(is_known, scores, tf.gather(self._counts, candidates))

    def _user(self, history: tf.Tensor) -> tf.Tensor:
        model = self.model
        read = latest_known(history, self.max_length, model.own_places, model.num_items)
        return model.encode_history(read)

    def _most_popular(self, seen: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        rows, spare = tf.unstack(tf.shape(seen))
        some = tf.minimum(self.top_k + spare, self.model.num_items)
        ids = tf.tile(self._popular[tf.newaxis, :some], [rows, 1])
        return best_of_unseen(ids, tf.gather(self._counts, ids), seen, self.top_k)


def _number_known(history: tf.Tensor) -> tf.Tensor:
    return tf.math.count_nonzero(history, axis=1, dtype=tf.int32)


def latest_known(ids: tf.Tensor, length: int, own_places: int = 0, last_own: int = 0) -> tf.Tensor:
    """Drops the zeros of each row and keeps its last ids, right-aligned behind zeros.

    Args:
      ids: int32 [batch, any].
      length: ids to keep.
      own_places: so many of the last ids up to `last_own` are kept, whatever came after them.
      last_own: see `own_places`.

    Returns:
      Int32 [batch, length].
    """
    padded = tf.pad(ids, [[0, 0], [length, 0]])
    if own_places:
        is_own = tf.logical_and(padded > 0, padded <= last_own)
        rank = tf.cumsum(tf.cast(is_own, tf.int32), axis=1, reverse=True)
        is_kept = tf.logical_and(is_own, rank <= own_places)
        worth = tf.sign(padded) + tf.cast(is_kept, tf.int32)
        chosen = tf.sort(tf.argsort(worth, axis=1, stable=True)[:, -length:], axis=1)
        padded = tf.gather(padded, chosen, batch_dims=1)
    known_last = tf.argsort(tf.sign(padded), axis=1, stable=True)
    compact = tf.gather(padded, known_last, batch_dims=1)
    return tf.ensure_shape(compact[:, -length:], [None, length])
