"""Item neighbours as the bar that every ranking model stands beside."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tfcdr.data_source import HistorySource
from tfcdr.ranking.model import ModelWithoutVectors, RankingModel, RankingQuery
from tfcdr.ranking.neighbours.model import NeighbourModel, NeighbourOptions
from tfcdr.stage_model import Batch

ITEM_NEIGHBOURS = "item neighbours"


class ItemNeighbours:
    """What a user could have in a minute without any network; fitted before the first tables.

    Attributes:
      model: ranks.
    """

    def __init__(self, data: HistorySource, space: str, catalogue: str) -> None:
        """Fits nothing yet.

        Args:
          data: what the run reads.
          space: of the histories' ids; begins with the catalogue's items.
          catalogue: the item space that is ranked.
        """
        self._data = data
        items, ranked = data.vocabulary(space).size, data.vocabulary(catalogue)
        transfers = items > ranked.size or len(ranked.domain_sizes) > 1
        options = NeighbourOptions()
        self.model = NeighbourModel(options, space, items, ranked.counts, transfers)
        self.is_fitted = False

    def fit(self, validate: Callable[[NeighbourModel], float]) -> None:
        """Tries all choices of settings and keeps the best.

        Args:
          validate: gives the validation figure of the model as it is; the greater, the better.
        """
        scores: list[float] = []
        for epoch in range(len(self.model.settings)):
            self.model.fit_epoch(self._data, epoch, scores)
            scores.append(validate(self.model))
        self.model.fit_epoch(self._data, int(np.argmax(scores)), scores)
        self.is_fitted = True


class AskedLike(ModelWithoutVectors):
    """The neighbours, asked what another model is asked: views name interactions their own way."""

    def __init__(self, neighbours: NeighbourModel, other: RankingModel) -> None:
        """Takes what ranks, and what knows the view."""
        super().__init__()
        self._neighbours = neighbours
        self._other = other
        self.num_items = neighbours.num_items
        self.items_at_once = neighbours.items_at_once

    def query(self, batch: Batch) -> RankingQuery:
        asked = self._other.query(batch)
        return asked._replace(user=self._neighbours.user(batch, asked.ranked))

    def encode_history(self, history: tf.Tensor) -> tf.Tensor:
        return self._neighbours.encode_history(history)

    def score_range(self, user: tf.Tensor, first: tf.Tensor | int, count: int) -> tf.Tensor:
        return self._neighbours.score_range(user, first, count)

    def score_candidates(self, user: tf.Tensor, ids: tf.Tensor) -> tf.Tensor:
        return self._neighbours.score_candidates(user, ids)
