"""Recommendations for many users at once, by ids, in memory that their number does not change."""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfcdr.ranking.export import ServedTarget, recommender_of
from tfcdr.ranking.recommender import Recommendations
from tfcdr.system import Serving

# Users that are scored together: scores of a piece of the catalogue are 64 MiB.
_USERS_AT_ONCE = 512


class Histories(NamedTuple):
    """What U users did.

    Attributes:
      splits: int64 [U + 1]; user u has items[splits[u]:splits[u + 1]].
      items: int64 [n], ids of all items of the run, oldest first; 0 for what is unknown.
    """

    splits: np.ndarray
    items: np.ndarray


class BatchRecommender:
    """Answers as the export does: the same model, the same contract for histories."""

    def __init__(self, target: ServedTarget, serving: Serving, leaves_out_seen: bool) -> None:
        """Builds the index, if there is one, and traces nothing yet.

        Args:
          target: what is recommended.
          serving: how.
          leaves_out_seen: whether items of a history are not recommended.

        Raises:
          RunError: the retrieval cannot be had.
        """
        self.target = target
        self._leaves_out_seen = leaves_out_seen
        recommender = recommender_of(target, serving)
        rows = tf.TensorSpec([None, None], tf.int32)
        self._recommend = tf.function(
            recommender.recommend, input_signature=[rows, rows], autograph=False
        )
        self._top_k = recommender.top_k

    def __call__(self, histories: Histories) -> Recommendations:
        """Recommends to each user; returns arrays in the order of the users."""
        reads, ranks = (_ids_within(histories, of) for of in (self.target.reads, self.target.ranks))
        if not self._leaves_out_seen:
            ranks = Histories(np.zeros_like(histories.splits), histories.items[:0])
        users = len(histories.splits) - 1
        found = Recommendations(
            ids=np.zeros((users, self._top_k), np.int32),
            scores=np.zeros((users, self._top_k), np.float32),
            known=np.zeros(users, np.int32),
        )
        # Users of equally long histories together: one with thousands of items pads few others.
        lengths = np.maximum(np.diff(reads.splits), np.diff(ranks.splits))
        order = np.argsort(lengths, kind="stable")
        for first in range(0, users, _USERS_AT_ONCE):
            some = order[first : first + _USERS_AT_ONCE]
            answer = self._recommend(_padded(reads, some), _padded(ranks, some))
            for whole, part in zip(found, answer, strict=True):
                whole[some] = part.numpy()
        return found


def _ids_within(histories: Histories, chosen: range) -> Histories:
    """Keeps the items of a range; the first of them gets the id 1."""
    kept = (histories.items >= chosen.start) & (histories.items < chosen.stop)
    before = np.concatenate([[0], np.cumsum(kept)])
    return Histories(before[histories.splits], histories.items[kept] - chosen.start + 1)


def _padded(histories: Histories, users: np.ndarray) -> np.ndarray:
    """Returns int32 [users, longest], each history right-aligned behind zeros."""
    ends, lengths = histories.splits[users + 1], np.diff(histories.splits)[users]
    width = int(lengths.max(initial=0))
    if not width:
        return np.zeros((len(users), 0), np.int32)
    from_end = np.arange(width, 0, -1)
    places = np.maximum(ends[:, np.newaxis] - from_end, 0)
    inside = from_end <= lengths[:, np.newaxis]
    return np.where(inside, histories.items[places], 0).astype(np.int32)
