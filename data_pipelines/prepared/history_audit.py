"""What users' histories hold before the moment at which they are tested."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from data_pipelines.parts import TEST, TRAIN
from data_pipelines.prepared.interaction_source import InteractionSource


class HistorySizes(NamedTuple):
    """How much of each user is known before he is tested: what is of the training part.

    Attributes:
      counts: int64 [1 + users, domains of the data set], interactions by id of the user, from 1; a
        source's are those before the user's first held-out label.
      starts: int64 [domains + 1], the index of each domain's first item.
    """

    counts: np.ndarray
    starts: np.ndarray

    def own_and_others(self, user: np.ndarray, item: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Counts in the domain of an item, and in all others.

        Args:
          user: int [n], ids.
          item: int [n], ids of the data set.

        Returns:
          int64 [n] each.
        """
        own = self.counts[user, _domain(self.starts, item)]
        return own, self.counts.sum(1)[user] - own


def history_sizes(source: InteractionSource) -> HistorySizes:
    """Counts what is known of all users before they are tested."""
    domains = len(source.prepared.items.domains)
    counts = np.zeros((1 + source.num_users, domains), np.int64)
    for records in source.role_records():
        trains = records.is_target & (records.parts == TRAIN)
        trains |= records.is_source & records.before_held_out
        np.add.at(counts, (records.user[records.row[trains]], records.domains[trains]), 1)
    return HistorySizes(counts, source.prepared.items.starts)


class ReadLater(NamedTuple):
    """Whether what a model reads comes before what it is asked for.

    Attributes:
      rows: test rows that were looked at.
      late: of these, rows that hold an item which the user took only later, or never.
      unknown: rows with items of domains whose times cannot be compared with the answer's.
    """

    rows: int
    late: int
    unknown: int


class HistoryTimes:
    """When each user first did something with each item, and when an item of his was tested."""

    def __init__(self, source: InteractionSource) -> None:
        """Reads the histories of all users.

        Args:
          source: a data set as a run reads it.
        """
        self._comparable = bool(source.prepared.metadata["comparable_times"])
        self._items = source.prepared.items.size + 1
        self._starts = source.prepared.items.starts
        keys, times, tested = [], [], []
        for records in source.role_records():
            keys.append(records.user[records.row] * self._items + records.items)
            times.append(records.times)
            tested.append(records.is_target & (records.parts == TEST))
        key, time = np.concatenate(keys), np.concatenate(times)
        is_tested = np.concatenate(tested)
        self._first = _Extreme.of(key, time)
        # Of a pair that is tested more than once, the last time: no false alarm.
        self._tested = _Extreme.of(key[is_tested], -time[is_tested])

    def check(self, rows: Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> ReadLater:
        """Looks at what is read of test rows.

        Args:
          rows: batches of users int64 [n], the items that are asked for, int64 [n], and the items
            that are read, int64 [n, any], 0 for none; ids of the data set.
        """
        seen = late = unknown = 0
        for user, item, history in rows:
            asked, known = self._tested.look_up(user * self._items + item)
            first, taken = self._first.look_up(user[:, np.newaxis] * self._items + history)
            there = history > 0
            elsewhere = _domain(self._starts, history) != _domain(self._starts, item)[:, np.newaxis]
            skipped = there & elsewhere & (not self._comparable)
            is_late = there & ~skipped & (~taken | (first > -asked[:, np.newaxis]))
            seen += len(user)
            late += int((is_late.any(1) | ~known).sum())
            unknown += int(skipped.any(1).sum())
        return ReadLater(seen, late, unknown)


def _domain(starts: np.ndarray, items: np.ndarray) -> np.ndarray:
    """Returns the numbers of the domains of a data set's items."""
    return np.searchsorted(starts[1:], items - 1, side="right")


class _Extreme(NamedTuple):
    """The least value of each key.

    Attributes:
      keys: int64 [n], rising.
      values: int64 [n].
    """

    keys: np.ndarray
    values: np.ndarray

    @classmethod
    def of(cls, keys: np.ndarray, values: np.ndarray) -> "_Extreme":
        order = np.lexsort((values, keys))
        found, first = np.unique(keys[order], return_index=True)
        return cls(found, values[order][first])

    def look_up(self, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns the values, and which keys there are."""
        if not len(self.keys):
            return np.zeros_like(keys), np.zeros(keys.shape, bool)
        places = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return self.values[places], self.keys[places] == keys
