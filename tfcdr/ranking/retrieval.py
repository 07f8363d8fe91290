"""The best items that a user has not seen: by every item's score, or proposed by ScaNN."""

import math
from types import ModuleType
from typing import Protocol

import tensorflow as tf

from tfcdr.errors import RunError
from tfcdr.ranking.catalogue_scan import ItemScorer, Piece, fold_scores
from tfcdr.ranking.id_sets import contains, each_once
from tfcdr.ranking.model import RankingModel

KINDS = ("brute_force", "scann")
MISSING_SCORE = tf.float32.min  # Finite, because JSON knows no infinity.

# Items scored at once by brute force: 128 KiB of scores for each user of a request.
_ITEMS_AT_ONCE = 32768
# ScaNN proposes this many items for each one wanted; the model's own scores choose among them.
_SCANN_PROPOSALS = 10
# Trained codebooks have 16 entries, which takes as many vectors.
_SCANN_FEWEST_ITEMS = 16


class Retriever:
    """Recommends items by a model's scores.

    "brute_force" scores every item: exact. "scann" scores the proposals of an index, which looks
    at a part of the catalogue in compressed form: approximate, for catalogues of millions of
    items, and it needs a server that knows ScaNN's operators.
    """

    def __init__(self, model: RankingModel, kind: str, top_k: int) -> None:
        """Builds the index, if there is one, from the model's present weights.

        Args:
          model: scores the items; for "scann" by an inner product, or the largest of several.
          kind: one of `KINDS`.
          top_k: items to return for each user.

        Raises:
          RunError: "scann" is asked for but cannot be had, or the catalogue is too small for it.
        """
        self.top_k = top_k
        self._search = _BruteForce(model) if kind == "brute_force" else _Scann(model, top_k)

    def best_unseen(self, user: tf.Tensor, seen: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Ranks the items that are not among the seen ones.

        As many items more are searched for as can be seen, so that removing these leaves the best.

        Args:
          user: float32 [batch, ...], as the model scores it.
          seen: int32 [batch, any], item ids; 0 for none.

        Returns:
          Ids int32 [batch, top_k], best first, 0 where no item is left, and scores float32
          [batch, top_k], `MISSING_SCORE` there.
        """
        ids, scores = self._search.best(user, self.top_k, tf.shape(seen)[1])
        return best_of_unseen(ids, scores, seen, self.top_k)


def best_by_every_score(
    scorer: ItemScorer, user: tf.Tensor, seen: tf.Tensor, top_k: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Ranks the items that are not seen, as "brute_force" does; see `Retriever.best_unseen`."""
    ids, scores = _BruteForce(scorer).best(user, top_k, tf.shape(seen)[1])
    return best_of_unseen(ids, scores, seen, top_k)


def best_of_unseen(
    ids: tf.Tensor, scores: tf.Tensor, seen: tf.Tensor, top_k: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Drops the seen items among those that were found and keeps the best.

    Args:
      ids: int32 [batch, any], 0 for none.
      scores: float32, of these.
      seen: int32 [batch, any], item ids; 0 for none.
      top_k: items to keep.

    Returns:
      As `Retriever.best_unseen`.
    """
    ids = tf.where(contains(seen, ids), 0, ids)
    scores = tf.where(ids > 0, scores, MISSING_SCORE)
    missing = [[0, 0], [0, top_k]]
    ids = tf.pad(ids, missing)
    scores, places = tf.math.top_k(tf.pad(scores, missing, constant_values=MISSING_SCORE), top_k)
    return tf.gather(ids, places, batch_dims=1), scores


class _Search(Protocol):
    """Finds the best items for users."""

    def best(self, user: tf.Tensor, top_k: int, spare: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns at least the best `top_k` + `spare` items, or all.

        Args:
          user: float32 [batch, ...], as the model scores it.
          top_k: items wanted.
          spare: int, how many of those found may not be wanted.

        Returns:
          Ids int32 [batch, any], 0 for none, and the model's scores of them.
        """


class _BruteForce:
    """Keeps the best of the model's own table, piece by piece.

    TensorFlow Recommenders' layer of this name would hold a second copy of the table and, for each
    request, the scores of every user and item.
    """

    def __init__(self, model: ItemScorer) -> None:
        self._model = model

    def best(self, user: tf.Tensor, top_k: int, spare: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        kept = tf.minimum(top_k + spare, self._model.num_items)

        def keep_best(
            best: tuple[tf.Tensor, tf.Tensor], piece: Piece
        ) -> tuple[tf.Tensor, tf.Tensor]:
            scores, places = tf.math.top_k(
                piece.scores, tf.minimum(kept, tf.shape(piece.scores)[1])
            )
            ids = tf.concat([best[0], piece.first + places], 1)
            scores, places = tf.math.top_k(tf.concat([best[1], scores], 1), kept)
            # A loop keeps its shapes; `top_k` forgets how many it returns.
            scores = tf.ensure_shape(scores, best[1].shape)
            return tf.ensure_shape(tf.gather(ids, places, batch_dims=1), best[0].shape), scores

        shape = tf.stack([tf.shape(user)[0], kept])
        nothing = tf.zeros(shape, tf.int32), tf.fill(shape, MISSING_SCORE)
        return fold_scores(self._model, user, nothing, keep_best, _ITEMS_AT_ONCE)


class _Scann:
    """Proposals of TensorFlow Recommenders' ScaNN layer, scored by the model."""

    def __init__(self, model: RankingModel, top_k: int) -> None:
        self._model = model
        vectors, bias = model.item_factors()
        self._has_bias = bias is not None
        if bias is not None:
            # A bias is the weight of one more channel, which is 1 for every user.
            vectors = tf.concat([vectors, bias[:, tf.newaxis]], 1)
        self._index = _make_index(model.num_items, top_k)
        # The table's other rows are padding and reserved ids.
        items = tf.range(1, model.num_items + 1)
        self._index.index(tf.gather(vectors, items), items)

    def best(self, user: tf.Tensor, top_k: int, spare: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        # A user of several interests asks once for each and scores what any of them found.
        query = tf.reshape(user, (-1, user.shape[-1]))
        if self._has_bias:
            query = tf.concat([query, tf.ones_like(query[:, :1])], 1)
        wanted = tf.minimum(top_k * _SCANN_PROPOSALS + spare, self._model.num_items)
        proximity, ids = self._index(query, k=wanted)
        # ScaNN fills up with NaN where it finds fewer items than it was asked for.
        ids = tf.where(tf.math.is_nan(proximity), 0, ids)
        ids = each_once(tf.reshape(ids, (tf.shape(user)[0], -1)))
        return ids, self._model.score_candidates(user, ids)


def _make_index(num_items: int, top_k: int) -> tf.keras.Model:
    layers = _retrieval_layers()
    if num_items < _SCANN_FEWEST_ITEMS:
        raise RunError(
            f"retrieval=scann needs at least {_SCANN_FEWEST_ITEMS} items, the catalogue has "
            f"{num_items}: use retrieval=brute_force."
        )
    leaves = round(math.sqrt(num_items))
    try:
        return layers.ScaNN(
            k=top_k,
            num_leaves=leaves,
            # A fifth of the catalogue, or all of a small one.
            num_leaves_to_search=min(leaves, max(20, leaves // 5)),
        )
    except ImportError as error:
        raise RunError(
            "retrieval=scann needs the scann package: pip install 'tfcdr[ann]', or use "
            "retrieval=brute_force."
        ) from error


def _retrieval_layers() -> ModuleType:
    # Imported here because a ScaNN that was built for another TensorFlow breaks TensorFlow
    # Recommenders as a whole.
    try:
        from tensorflow_recommenders.layers import factorized_top_k
    except tf.errors.NotFoundError as error:
        raise RunError(
            f"the installed scann was built for another TensorFlow than {tf.__version__}: "
            "pip install 'tfcdr[ann]', or pip uninstall scann."
        ) from error
    return factorized_top_k
