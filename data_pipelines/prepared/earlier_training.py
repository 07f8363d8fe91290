"""What a run on an earlier log has trained on that a run on this one holds out."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd

from data_pipelines.coding.vocabulary import ItemTable
from data_pipelines.parts import TEST, TRAIN, VALIDATION
from data_pipelines.prepared.interaction_source import InteractionSource


class KnownAnswers(NamedTuple):
    """Held-out interactions that an earlier run has trained on.

    Attributes:
      held_out: validation and test interactions.
      known: those among them on which the earlier run has trained.
    """

    held_out: int
    known: int


def known_answers(source: InteractionSource, earlier: InteractionSource) -> KnownAnswers:
    """Counts the held-out interactions of a run that an earlier run has trained on.

    One is the same in both if user and item are and, where an item counts each time that a user
    takes it, the time.

    Args:
      source: the data set of the run.
      earlier: that of the earlier one, read as it has read it; another log's, such as yesterday's.
    """
    repeats = source.prepared.metadata["repeats"] == "all"
    columns = ["user", "item", "time"] if repeats else ["user", "item"]
    held_out = _interactions(source, (VALIDATION, TEST))
    trained = _interactions(earlier, (TRAIN,))
    users = _places(source.prepared.users, earlier.prepared.users)
    items = _places(_names(source.prepared.items), _names(earlier.prepared.items))
    trained["user"], trained["item"] = users[trained["user"]], items[trained["item"]]
    same = held_out.merge(trained[columns].drop_duplicates(), on=columns)
    return KnownAnswers(len(held_out), len(same))


def _interactions(source: InteractionSource, parts: tuple[int, ...]) -> pd.DataFrame:
    """Returns user, item and time of what is of some parts; ids of the data set, from 1."""

    def chosen() -> Iterator[np.ndarray]:
        for records in source.role_records():
            wanted = records.is_target & np.isin(records.parts, parts)
            if TRAIN in parts:
                wanted |= records.is_source & records.before_held_out & (records.parts == TRAIN)
            users = records.user[records.row[wanted]]
            yield np.stack([users, records.items[wanted], records.times[wanted]])

    return pd.DataFrame(np.concatenate(list(chosen()), 1).T, columns=["user", "item", "time"])


def _names(items: ItemTable) -> pd.Index:
    return pd.Index(items.prefixes() + items.ids)


def _places(names: pd.Index | tuple[str, ...], of: pd.Index | tuple[str, ...]) -> np.ndarray:
    """Returns int64 [1 + len(of)], the id from 1 of each name among others; 0 for none and id 0."""
    return np.concatenate([[0], 1 + pd.Index(names).get_indexer(pd.Index(of))])
