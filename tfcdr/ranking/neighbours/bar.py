"""Item neighbours as the bar that every ranking model stands beside."""

from collections.abc import Callable

import numpy as np

from tfcdr.data_source import HistorySource
from tfcdr.ranking.neighbours.model import NeighbourModel, NeighbourOptions

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
        scores = []
        for epoch in range(len(self.model.settings)):
            self.model.fit_epoch(self._data, epoch)
            scores.append(validate(self.model))
        self.model.fit_epoch(self._data, int(np.argmax(scores)))
        self.is_fitted = True
