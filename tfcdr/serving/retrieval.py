"""The best items that a user has not seen, through TensorFlow Recommenders' retrieval layers."""

import math
from types import ModuleType

import tensorflow as tf

from tfcdr.errors import RunError
from tfcdr.ranking import RankingModel

KINDS = ("brute_force", "scann")
MISSING_SCORE = tf.float32.min  # Finite, because JSON knows no infinity.

# ScaNN proposes this many items for each one wanted; the model's own scores choose among them.
_SCANN_PROPOSALS = 10
# Trained codebooks have 16 entries, which takes as many vectors.
_SCANN_FEWEST_ITEMS = 16


class Retriever:
    """An index over a model's items.

    "brute_force" compares a user with every item: exact. "scann" looks at a part of the catalogue
    in compressed form: approximate, for catalogues of millions of items, and it needs a server
    that knows ScaNN's operators. Either way the index proposes items and the model scores them.
    """

    def __init__(self, model: RankingModel, kind: str, top_k: int) -> None:
        """Builds the index from the model's present weights.

        Args:
          model: scores by an inner product.
          kind: one of `KINDS`.
          top_k: items to return for each user.

        Raises:
          RunError: "scann" is asked for but is not installed or the catalogue is too small for it,
            or TensorFlow Recommenders cannot be imported.
        """
        self._model = model
        self._top_k = top_k
        self._proposals = top_k if kind == "brute_force" else top_k * _SCANN_PROPOSALS
        vectors, bias = model.item_factors()
        self._has_bias = bias is not None
        if self._has_bias:
            # A bias is the weight of one more channel, which is 1 for every user.
            vectors = tf.concat([vectors, bias[:, tf.newaxis]], 1)
        self._index = _make_index(kind, model.num_items, top_k)
        # The table's other rows are padding and reserved ids.
        items = tf.range(1, model.num_items + 1)
        self._index.index(tf.gather(vectors, items), items)

    def best_unseen(self, user: tf.Tensor, seen: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Ranks the items that are not among the seen ones.

        As many items more are proposed as can be seen, so that removing these leaves the best.

        Args:
          user: float32 [batch, channels].
          seen: int32 [batch, any], item ids; 0 for none.

        Returns:
          Ids int32 [batch, top_k], best first, 0 where no item is left, and scores float32
          [batch, top_k], `MISSING_SCORE` there.
        """
        query = tf.concat([user, tf.ones_like(user[:, :1])], 1) if self._has_bias else user
        wanted = tf.minimum(self._proposals + tf.shape(seen)[1], self._model.num_items)
        proximity, ids = self._index(query, k=wanted)
        # ScaNN fills up with NaN where it finds fewer items than it was asked for.
        ids = tf.where(tf.math.is_nan(proximity) | _contains(seen, ids), 0, ids)
        ids = tf.pad(ids, [[0, 0], [0, self._top_k]])
        scores = tf.where(ids > 0, self._model.score_candidates(user, ids), MISSING_SCORE)
        scores, places = tf.math.top_k(scores, self._top_k)
        return tf.gather(ids, places, batch_dims=1), scores


def _contains(sets: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    """Tells which values, int [batch, n], are among their row's set, int [batch, m]."""
    # A value above the whole set is placed behind its end.
    ordered = tf.pad(tf.sort(sets, axis=1), [[0, 0], [0, 1]], constant_values=tf.int32.max)
    places = tf.searchsorted(ordered, values)
    return tf.gather(ordered, places, batch_dims=1) == values


def _make_index(kind: str, num_items: int, top_k: int) -> tf.keras.Model:
    layers = _retrieval_layers()
    if kind == "brute_force":
        return layers.BruteForce(k=top_k)
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
