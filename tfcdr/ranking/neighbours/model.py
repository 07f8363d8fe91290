"""Ranks items by what those of a history say of them, the latest the loudest."""

import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfcdr.data_source import HistorySource
from tfcdr.fitted_model import FittedModel
from tfcdr.ranking.catalogue_scan import Piece, fold_scores
from tfcdr.ranking.model import ModelWithoutVectors, RankingQuery
from tfcdr.ranking.neighbours.cosine import Nearness, similar_items
from tfcdr.ranking.neighbours.ease import regression_weights
from tfcdr.ranking.neighbours.tables import NeighbourTables, training_matrix
from tfcdr.stage_model import Batch

# Items scored at once: scores of a batch of 512 are 128 MiB.
_ITEMS_AT_ONCE = 65536
# What the most popular item scores without a neighbour: it decides ties, and nothing else.
_POPULARITY = 1e-6
_NEARNESSES = (Nearness(0.5, 0), Nearness(0.5, 30), Nearness(0.0, 0))
_RIDGES = (100.0, 300.0, 1000.0)
_DECAYS = (0.7, 0.9)
_OTHER_WEIGHTS = (0.3, 1.0, 0.0)


# The latest items of a history that are read: behind them 0.9 has fallen to 0.005.
HISTORY = 50


class NeighbourOptions(NamedTuple):
    """What is fixed before anything is fitted.

    Attributes:
      kind: "cosine" (item neighbours) or "ease".
      neighbours: K, items that an item of a history speaks of.
      most_items: a user's latest training interactions that count as taken together.
    """

    kind: str = "cosine"
    neighbours: int = 200
    most_items: int = 100


class Settings(NamedTuple):
    """What validation chooses.

    Attributes:
      fit: what the tables are fitted by: a `Nearness`, or EASE's ridge.
      decay: how loud the item before one is, relative to it.
      other_weight: how loud an item of another domain than the ranked one is.
    """

    fit: Nearness | float
    decay: float
    other_weight: float


def choices(kind: str, transfers: bool) -> list[Settings]:
    """Returns what validation chooses among; tables that fit several follow each other.

    Args:
      kind: of the tables.
      transfers: whether there is another domain besides the ranked one.
    """
    fits = _RIDGES if kind == "ease" else _NEARNESSES
    others = _OTHER_WEIGHTS if transfers else _OTHER_WEIGHTS[:1]
    return [Settings(*each) for each in itertools.product(fits, _DECAYS, others)]


class NeighbourModel(FittedModel, ModelWithoutVectors):
    """Adds up what the items of a history say of others, as `NeighbourTables` have it.

    score_i = sum over the history's items j of decay^(known items behind j) * w_j * value_ji, with
    w_j = 1 if j is of the ranked domain, else `other_weight`. Where this decides nothing, the more
    popular item is ranked first.

    Batch (validation, test): `recent_items` int32 [batch, L], oldest first, among zeros;
    `seen_items` and `target_item`. A user is int32 [batch, L, 2]: an item's id, and the bits of its
    weight.

    Attributes:
      kind: of the neighbours; see `NeighbourOptions`.
      settings: what each epoch of `fit_epoch` tries.
      items_at_once: how many are best scored together.
    """

    items_at_once = _ITEMS_AT_ONCE

    def __init__(
        self, options: NeighbourOptions, space: str, items: int, counts: np.ndarray, transfers: bool
    ) -> None:
        """Creates the model; without neighbours yet, it ranks by popularity.

        Args:
          options: what is fixed.
          space: of the histories' ids; the ranked items are its first.
          items: of the space.
          counts: int [num_items], training counts of ids 1..num_items, which are ranked.
          transfers: whether histories hold items of other domains.
        """
        super().__init__(name="item_neighbours")
        self.num_items = len(counts)
        self.kind = options.kind
        self.settings: Sequence[Settings] = choices(options.kind, transfers)
        self._options = options
        self._space = space
        shape = (items + 1, min(options.neighbours, self.num_items))
        self.neighbours = self._weight("neighbours", shape, tf.int32)
        self.values = self._weight("values", shape)
        self.popularity = self._weight("popularity", (self.num_items + 1,))
        self.popularity.assign(np.append(0, counts) * (_POPULARITY / counts.max(initial=1)))
        self.decay = self._weight("decay", ())
        self.other_weight = self._weight("other_weight", ())
        self._matrix = None
        self._fitted: Nearness | float | None = None
        self.built = True

    def fit_epoch(
        self, data: HistorySource, epoch: int, scores: Sequence[float]
    ) -> dict[str, float]:
        del scores  # All choices are tried.
        settings = self.settings[epoch]
        self.decay.assign(settings.decay)
        self.other_weight.assign(settings.other_weight)
        if settings.fit != self._fitted:
            tables = self._fit(data, settings.fit)
            self.neighbours.assign(tables.ids)
            self.values.assign(tables.values)
            self._fitted = settings.fit
        ease = self._options.kind == "ease"
        fit = {"ridge": settings.fit} if ease else vars(settings.fit)
        return {**fit, "decay": settings.decay, "other_weight": settings.other_weight}

    def _fit(self, data: HistorySource, fit: Nearness | float) -> NeighbourTables:
        if self._matrix is None:
            histories = data.training_histories(self._space, self._options.most_items)
            self._matrix = training_matrix(histories, self.neighbours.shape[0] - 1)
        find: Callable[..., NeighbourTables] = similar_items
        if self._options.kind == "ease":
            find = regression_weights
        return find(self._matrix, self.num_items, fit, self.neighbours.shape[1])

    def query(self, batch: Batch) -> RankingQuery:
        return RankingQuery(
            user=self.user(batch, None),
            positive=batch["target_item"],
            excluded=batch["seen_items"],
            candidates=batch.get("candidates"),
        )

    def user(self, batch: Batch, ranked: tf.Tensor | None) -> tf.Tensor:
        """Represents a batch's users: int32 [batch, L, 2].

        Args:
          batch: of evaluation.
          ranked: see `RankingQuery`.
        """
        return self._heard(batch["recent_items"], ranked)

    def encode_history(self, history: tf.Tensor) -> tf.Tensor:
        return self._heard(history, None)

    def _heard(self, history: tf.Tensor, ranked: tf.Tensor | None) -> tf.Tensor:
        # Of other spaces' items nothing is known.
        history = tf.where(history < self.neighbours.shape[0], history, 0)
        known = history > 0
        behind = tf.cumsum(tf.cast(known, tf.float32), 1, exclusive=True, reverse=True)
        first, last = (1, self.num_items) if ranked is None else tf.split(ranked, 2, 1)
        is_own = (history >= first) & (history <= last)
        loudness = tf.where(is_own, 1.0, self.other_weight)
        weight = tf.where(known, self.decay**behind * loudness, 0.0)
        return _joined(history, weight)

    def shares(self, user: tf.Tensor) -> tf.Tensor:
        """Scales a batch's users, so that all that is said for items adds up to 1, or to 0.

        What EASE says against items, by negative values, and what the popularity adds to scores is
        left out of the sum. An item's share is what then comes out as its score.
        """
        history, weight = _apart(user)
        said = tf.reduce_sum(tf.nn.relu(tf.gather(self.values, history)), -1) * weight
        return _joined(
            history, tf.math.divide_no_nan(weight, tf.reduce_sum(said, 1, keepdims=True))
        )

    def score_range(self, user: tf.Tensor, first: tf.Tensor | int, count: int) -> tf.Tensor:
        """Scores neighbouring items: int32 [batch, L, 2] -> float32 [batch, count]."""
        history, weight = _apart(user)
        places = tf.gather(self.neighbours, history) - first
        added = tf.gather(self.values, history) * weight[..., tf.newaxis]
        rows = tf.shape(user)[0]
        inside = (places >= 0) & (places < count)
        place = tf.where(inside, tf.range(rows)[:, tf.newaxis, tf.newaxis] * count + places, -1)
        scores = tf.math.unsorted_segment_sum(added, place, rows * count)
        popularity = tf.slice(self.popularity, (first,), (count,))
        return tf.reshape(scores, (rows, count)) + popularity

    def score_candidates(self, user: tf.Tensor, ids: tf.Tensor) -> tf.Tensor:
        """Scores chosen items: int32 [batch, L, 2], int [batch, n] -> [batch, n].

        Those of a catalogue that is scored at once come out of the same operations as its own
        scores, which TensorFlow then computes once.
        """
        if self.num_items <= self.items_at_once:
            scores, here = Piece(1, self.score_range(user, 1, self.num_items)).look_up(ids)
            return tf.where(here, scores, 0.0)

        def take(found: tf.Tensor, piece: Piece) -> tf.Tensor:
            scores, here = piece.look_up(ids)
            return tf.where(here, scores, found)

        return fold_scores(self, user, tf.zeros_like(ids, tf.float32), take, self.items_at_once)

    def _weight(self, name: str, shape: Sequence[int], dtype: tf.DType = tf.float32) -> tf.Variable:
        return self.add_weight(name, shape, dtype, initializer="zeros", trainable=False)


def _joined(history: tf.Tensor, weight: tf.Tensor) -> tf.Tensor:
    """Makes users, int32 [batch, L, 2], of ids and weights, both [batch, L]."""
    return tf.stack([history, tf.bitcast(weight, tf.int32)], -1)


def _apart(user: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Undoes `_joined`."""
    return user[..., 0], tf.bitcast(user[..., 1], tf.float32)
