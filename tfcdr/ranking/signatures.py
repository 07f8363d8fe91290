"""The graph functions of an exported model: raw item ids in, raw item ids and scores out.

| signature | input | output |
| --- | --- | --- |
| `serving_default` | `history` string [batch, any], `candidates` string [batch, any] | `scores` \
float32 [batch, any], one for each candidate |
| `recommend` | `history`, `seen_items` string [batch, any] | `items` string [batch, k] and \
`scores` float32 [batch, k], best first |

`history` holds ids of the domains that the model reads, oldest first; `candidates` and `seen_items`
hold target ids. Rows are filled up with "", anywhere. An unknown id in `history` or `seen_items`
counts as "", an unknown candidate scores the lowest float32. Only the latest `max_length` known ids
of a history are read. Where a user has seen so much that fewer than k items are left, `items` ends
with "" and `scores` with the lowest float32.
"""

import dataclasses

import tensorflow as tf

from tfcdr.ranking.model import RankingModel
from tfcdr.ranking.retrieval import MISSING_SCORE, Retriever
from tfcdr.serving.saved_model import SERVING_DEFAULT
from tfcdr.serving.token_lookup import TokenLookup

RECOMMEND = "recommend"


@dataclasses.dataclass(frozen=True)
class Signatures:
    """What answers requests.

    Attributes:
      model: encodes histories and scores items.
      retriever: finds the items to recommend.
      histories: the ids that histories hold.
      targets: the ids that are scored and recommended.
      max_length: items of a history that the model reads.
    """

    model: RankingModel
    retriever: Retriever
    histories: TokenLookup
    targets: TokenLookup
    max_length: int

    def score(self, history: tf.Tensor, candidates: tf.Tensor) -> dict[str, tf.Tensor]:
        """Signature `serving_default`; see the module's docstring."""
        ids = self.targets.ids(candidates)
        scores = self.model.score_candidates(self._user(history), ids)
        return {"scores": tf.where(ids > 0, scores, MISSING_SCORE)}

    def recommend(self, history: tf.Tensor, seen_items: tf.Tensor) -> dict[str, tf.Tensor]:
        """Signature `recommend`; see the module's docstring."""
        seen = self.targets.ids(seen_items)
        ids, scores = self.retriever.best_unseen(self._user(history), seen)
        return {"items": self.targets.tokens(ids), "scores": scores}

    def concrete(self) -> dict[str, tf.types.experimental.ConcreteFunction]:
        """Traces both signatures for batches of any size."""

        def rows(name: str) -> tf.TensorSpec:
            return tf.TensorSpec([None, None], tf.string, name=name)

        score = tf.function(self.score, autograph=False).get_concrete_function(
            rows("history"), rows("candidates")
        )
        recommend = tf.function(self.recommend, autograph=False).get_concrete_function(
            rows("history"), rows("seen_items")
        )
        return {SERVING_DEFAULT: score, RECOMMEND: recommend}

    def _user(self, history: tf.Tensor) -> tf.Tensor:
        ids, model = self.histories.ids(history), self.model
        read = latest_known(ids, self.max_length, model.own_places, model.num_items)
        return model.encode_history(read)


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
