"""A split log as one integer-coded history per user: what a data set's records are made of."""

import dataclasses
import hashlib
from collections.abc import Iterator

import numpy as np

from data_pipelines.coding import vocabulary
from data_pipelines.coding.coded_log import CodedLog
from data_pipelines.coding.vocabulary import ItemTable
from data_pipelines.logs import PARTS

# Sums of digests stay below this: the digests are of 256 bits.
DIGEST_RANGE = 1 << 256


@dataclasses.dataclass(frozen=True, eq=False)
class UserHistories:
    """All interactions of several users, each user's oldest first, held as flat arrays.

    Attributes:
      users: int64 [users], ids from 1.
      offsets: int64 [users + 1]; the user at index k has the interactions
        offsets[k]:offsets[k + 1].
      items: int64 [n], ids of the data set.
      times: int64 [n]. Comparable between domains only if the log's are.
      parts: int8 [n], what each is where its domain is the target; see `parts`.
      ratings: float32 [n], or None if the log has none.
      negatives: int64 [m], ids that came with the data to rank interactions among, or None.
      negative_offsets: int64 [n + 1], or None; interaction i has
        negatives[negative_offsets[i]:negative_offsets[i + 1]].
    """

    users: np.ndarray
    offsets: np.ndarray
    items: np.ndarray
    times: np.ndarray
    parts: np.ndarray
    ratings: np.ndarray | None = None
    negatives: np.ndarray | None = None
    negative_offsets: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.users)

    def arrays(self) -> dict[str, np.ndarray]:
        """Returns the arrays that there are, by name."""
        found = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {name: values for name, values in found.items() if values is not None}

    def digest(self) -> int:
        """Returns the sum of a digest of every user, the same in whatever order users come."""
        # One array of all columns: a user's bytes are one slice of it.
        names = [name for name in ("items", "times", "parts", "ratings") if name in self.arrays()]
        table = np.empty(len(self.items), [(name, getattr(self, name).dtype) for name in names])
        for name in names:
            table[name] = getattr(self, name)
        content, width = table.view(np.uint8).data, table.itemsize
        total = 0
        for index, user in enumerate(self.users.tolist()):
            start, end = self.offsets[index : index + 2].tolist()
            digest = hashlib.blake2b(user.to_bytes(8, "little"), digest_size=32)
            digest.update(content[start * width : end * width])
            if self.negatives is not None and self.negative_offsets is not None:
                places = self.negative_offsets[start : end + 1]
                digest.update(np.diff(places).tobytes())
                digest.update(self.negatives[places[0] : places[-1]].tobytes())
            total += int.from_bytes(digest.digest(), "little")
        return total % DIGEST_RANGE


@dataclasses.dataclass(frozen=True, eq=False)
class ItemCounts:
    """How often each item of a log occurs.

    Attributes:
      used: bool [items], which have any interaction, or are a given negative.
      parts: int64 [items, 3], interactions in each of PARTS.
    """

    used: np.ndarray
    parts: np.ndarray


def item_counts(log: CodedLog, parts: np.ndarray) -> ItemCounts:
    """Counts the interactions of every item of a split log, or of some whole users of it."""
    items, labels = len(log.item_ids), len(PARTS)
    cells = np.bincount(
        log.item * (labels + 1) + np.minimum(parts, labels), minlength=items * (labels + 1)
    )
    cells = cells.reshape(items, labels + 1)
    used = np.any(cells, axis=1)
    if log.negatives is not None:
        used[log.negatives] = True
    return ItemCounts(used, cells[:, :labels])


@dataclasses.dataclass(frozen=True, eq=False)
class NumberedLog:
    """A split log in the ids of its data set.

    Attributes:
      histories: one history per user.
      users: raw user ids; user u is users[u - 1].
      items: the item table.
      counts: of the items, in the order of `items`.
    """

    histories: UserHistories
    users: tuple[str, ...]
    items: ItemTable


def number(log: CodedLog, parts: np.ndarray) -> NumberedLog:
    """Numbers the users and items of a split log.

    Args:
      log: all of it; users without an interaction left get no number.
      parts: int8 [n], of its interactions.
    """
    counts = item_counts(log, parts)
    used = counts.used
    table, ids = vocabulary.ranked(
        log.domains,
        log.item_ids[used],
        log.item_domains[used],
        log.categories[used],
        counts.parts[used],
    )
    numbers = np.zeros(len(log.item_ids), np.int64)
    numbers[used] = ids
    present = log.present
    histories = with_ids(log, parts, present, np.arange(1, len(present) + 1), numbers)
    return NumberedLog(histories, tuple(log.users[present].tolist()), table)


def with_ids(
    log: CodedLog, parts: np.ndarray, present: np.ndarray, users: np.ndarray, items: np.ndarray
) -> UserHistories:
    """Puts ids in the place of codes.

    Args:
      log: all interactions of some users.
      parts: int8 [n].
      present: int64 [k], the users that have any, ascending.
      users: int64 [k], the id of each of these.
      items: int64 [items], the id of each of `log.item_ids`.
    """
    return UserHistories(
        users,
        np.append(log.offsets[present], len(log.item)),
        items[log.item],
        log.times,
        parts,
        log.ratings,
        None if log.negatives is None else items[log.negatives],
        log.negative_offsets,
    )


def records(histories: UserHistories) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """Yields (key, record) for each user; `prepared.records` says what a record holds."""
    firsts = histories.offsets[:-1]
    gaps = np.diff(histories.times, prepend=0)
    gaps[firsts] = histories.times[firsts]
    negatives, offsets = histories.negatives, histories.negative_offsets
    parts = histories.parts.astype(np.int64)
    ends = zip(
        histories.users.tolist(), firsts.tolist(), histories.offsets[1:].tolist(), strict=True
    )
    for user, start, end in ends:
        record = {
            "user": user,
            "items": histories.items[start:end],
            "gaps": gaps[start:end],
            "parts": parts[start:end],
        }
        if histories.ratings is not None:
            record["ratings"] = histories.ratings[start:end]
        if negatives is not None and offsets is not None:
            record["negatives"] = negatives[offsets[start] : offsets[end]]
            record["negative_counts"] = np.diff(offsets[start : end + 1])
        yield str(user), record
