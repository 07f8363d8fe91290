"""Groups of held-out rows by which figures are reported besides those of all rows."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

# The group of every row, which each table has first.
ALL = "all"


class RowGroups(NamedTuple):
    """Groups that a column of the evaluation batches tells apart.

    Attributes:
      column: the batch's entry, int [batch].
      names: of the groups in the order of a table's rows, with the column's value in each.
    """

    column: str
    names: Mapping[str, int]


COLD_AND_WARM = RowGroups("cold", {"cold": 1, "warm": 0})


def members(
    groups: Sequence[RowGroups], columns: Mapping[str, np.ndarray], rows: int
) -> dict[str, np.ndarray]:
    """Tells which rows belong to each group, that of all rows first.

    Args:
      groups: what to tell apart. Those whose column is not there have no group.
      columns: int [rows] by name.
      rows: how many there are.

    Returns:
      Bool [rows] by the group's name; a group may have no row.
    """
    chosen = {ALL: np.ones(rows, bool)}
    for column, names in groups:
        if column in columns:
            chosen |= {name: columns[column] == value for name, value in names.items()}
    return chosen
