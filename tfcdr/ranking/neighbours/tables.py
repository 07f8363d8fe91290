"""What items say of other items: the few that matter most, of each one."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import scipy.sparse


class NeighbourTables(NamedTuple):
    """The neighbours of each item of histories among the items that are ranked.

    Attributes:
      ids: int32 [items + 1, K], row = item id; 0 where an item has fewer.
      values: float32 [items + 1, K], what each adds to its score.
    """

    ids: np.ndarray
    values: np.ndarray

    @classmethod
    def empty(cls, items: int, width: int) -> "NeighbourTables":
        """Tables in which nothing is near to anything."""
        shape = (items + 1, width)
        return cls(np.zeros(shape, np.int32), np.zeros(shape, np.float32))

    def keep(self, first: int, rows: scipy.sparse.csr_matrix) -> None:
        """Keeps of neighbouring rows the K values that are farthest from 0.

        Args:
          first: the index of the first item, from 0.
          rows: float [n, ranked items].
        """
        width = self.ids.shape[1]
        for row, (start, end) in enumerate(zip(rows.indptr[:-1], rows.indptr[1:], strict=True)):
            items, values = rows.indices[start:end], rows.data[start:end]
            if len(values) > width:
                chosen = np.argpartition(-np.abs(values), width - 1)[:width]
                items, values = items[chosen], values[chosen]
            self.ids[1 + first + row, : len(values)] = items + 1
            self.values[1 + first + row, : len(values)] = values


def training_matrix(
    histories: Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]], items: int
) -> scipy.sparse.csr_matrix:
    """Returns who took what: float32 [users, items], what it counts, once however often.

    Of a user's interactions with an item, the one that counts most is there.

    Args:
      histories: as `HistorySource.training_histories` gives them.
      items: number of the space.
    """
    users, rows, columns, weights = 0, [], [], []
    for row, item, weight in histories:
        rows.append((users + row).astype(np.int32))
        columns.append((item - 1).astype(np.int32))
        weights.append(weight)
        users += int(row[-1]) + 1 if len(row) else 0
    row, column = (np.concatenate([np.zeros(0, np.int32), *of]) for of in (rows, columns))
    weight = np.concatenate([np.zeros(0, np.float32), *weights])
    if (weight == 1).all():
        matrix = scipy.sparse.csr_matrix((weight, (row, column)), shape=(users, items))
        matrix.data[:] = 1  # Repeated ones were added up.
        return matrix
    order = np.lexsort((weight, column, row))
    row, column, weight = row[order], column[order], weight[order]
    is_last = np.append((np.diff(row) != 0) | (np.diff(column) != 0), True)
    chosen = (weight[is_last], (row[is_last], column[is_last]))
    return scipy.sparse.csr_matrix(chosen, shape=(users, items))
