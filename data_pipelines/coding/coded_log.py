"""A split log in integers, and what is counted over it: all that needs no knowledge of other users.

Counts of groups of users add up to the counts of the whole log.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pandas as pd

from data_pipelines.logs import PARTS
from data_pipelines.splitting.split_log import TRAIN, DomainRoles, SplitLog

NEVER = np.iinfo(np.int64).max


@dataclasses.dataclass(frozen=True, eq=False)
class ItemCounts:
    """How often each item occurs; an item is a (domain, item id) pair.

    Attributes:
      item_ids: str [items].
      domains: int8 [items], index into the log's domains.
      parts: int64 [items, 3], interactions in each part.
      trained: int64 [items], training interactions that count for the order of ids: all but the
        source interactions at or after their user's first held-out target interaction.
    """

    item_ids: np.ndarray
    domains: np.ndarray
    parts: np.ndarray
    trained: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class UserCounts:
    """How many users there are of each kind.

    Attributes:
      by_domain: int64 [domains], users with interactions in the domain.
      in_target: int64 [domains], how many of them have interactions in the target, too.
      held_out: int64 [3], users with target interactions in each part.
      cold: int64 [3], how many of them have no training interaction in the target.
    """

    by_domain: np.ndarray
    in_target: np.ndarray
    held_out: np.ndarray
    cold: np.ndarray

    def __add__(self, other: "UserCounts") -> "UserCounts":
        pairs = zip(dataclasses.astuple(self), dataclasses.astuple(other), strict=True)
        return UserCounts(*(a + b for a, b in pairs))


@dataclasses.dataclass(frozen=True, eq=False)
class CodedLog:
    """A split log, or the part of it that belongs to some whole users, in codes.

    A code is a place in a list of this part alone; the ids that the whole data set knows an item
    and a user by are numbered later (`user_histories`).

    Attributes:
      users: str [users], raw ids in the order of the log.
      offsets: int64 [users + 1]; user k has the interactions offsets[k]:offsets[k + 1].
      item: int64 [n], index into `item_ids` and `item_domains`.
      item_ids: str [items].
      item_domains: int8 [items].
      domains: int8 [n], index into the log's domains.
      parts: int8 [n], index into PARTS.
      timestamps: int64 [n].
      is_target: bool [n].
      held_out_from: int64 [users], the time of the user's first target interaction outside
        training; `NEVER` where there is none or times are not comparable between domains.
      negatives: int64 [m], index into `negative_ids`: the given negatives of all interactions.
      negative_offsets: int64 [n + 1]; interaction i has those at
        negative_offsets[i]:negative_offsets[i + 1].
      negative_ids: str [k], distinct item ids of the target domain.
    """

    users: np.ndarray
    offsets: np.ndarray
    item: np.ndarray
    item_ids: np.ndarray
    item_domains: np.ndarray
    domains: np.ndarray
    parts: np.ndarray
    timestamps: np.ndarray
    is_target: np.ndarray
    held_out_from: np.ndarray
    negatives: np.ndarray
    negative_offsets: np.ndarray
    negative_ids: np.ndarray

    @classmethod
    def of(cls, split_log: SplitLog) -> "CodedLog":
        """Codes a log that is sorted by user and time, as `splits.split` returns it."""
        rows = split_log.interactions
        user, users = pd.factorize(rows["user_id"])
        if np.any(np.diff(user) < 0):
            raise ValueError("A split log must be sorted by user.")
        domains = _codes(rows["domain"], split_log.domains)
        parts = _codes(rows["part"], PARTS)
        timestamps = rows["timestamp"].to_numpy(dtype=np.int64)
        is_target = domains == split_log.target_number
        held_out_from = np.full(len(users), NEVER, dtype=np.int64)
        if split_log.comparable_times:
            held_out = is_target & (parts != TRAIN)
            np.minimum.at(held_out_from, user[held_out], timestamps[held_out])
        item, item_ids = pd.factorize(rows["item_id"])
        item, pairs = pd.factorize(item * len(split_log.domains) + domains)
        return cls(
            users=users.to_numpy(dtype=object),
            offsets=np.searchsorted(user, np.arange(len(users) + 1)),
            item=item,
            item_ids=item_ids.to_numpy(dtype=object)[pairs // len(split_log.domains)],
            item_domains=(pairs % len(split_log.domains)).astype(np.int8),
            domains=domains,
            parts=parts,
            timestamps=timestamps,
            is_target=is_target,
            held_out_from=held_out_from,
            **_given_negatives(rows, is_target),
        )

    def item_counts(self) -> ItemCounts:
        """Counts the interactions of every item."""
        items = len(self.item_ids)
        cells = np.bincount(self.item * len(PARTS) + self.parts, minlength=items * len(PARTS))
        return ItemCounts(
            self.item_ids,
            self.item_domains,
            cells.reshape(items, len(PARTS)),
            np.bincount(self.item[self._counted()], minlength=items),
        )

    def user_counts(self, roles: DomainRoles) -> UserCounts:
        """Counts the users."""
        user = np.repeat(np.arange(len(self.users)), np.diff(self.offsets))
        in_domain = np.zeros((len(self.users), len(roles.domains)), bool)
        in_domain[user, self.domains] = True
        in_part = np.zeros((len(self.users), len(PARTS)), bool)
        in_part[user[self.is_target], self.parts[self.is_target]] = True
        in_target = in_part.any(axis=1)
        return UserCounts(
            in_domain.sum(axis=0),
            in_domain[in_target].sum(axis=0),
            in_part.sum(axis=0),
            in_part[~in_part[:, TRAIN]].sum(axis=0),
        )

    def _counted(self) -> np.ndarray:
        """Bool [n]: the interactions that order the ids of items."""
        before = self.timestamps < np.repeat(self.held_out_from, np.diff(self.offsets))
        return (self.parts == TRAIN) & (self.is_target | before)


def _given_negatives(rows: pd.DataFrame, is_target: np.ndarray) -> dict[str, np.ndarray]:
    """The last three attributes of `CodedLog`; those of source interactions are left out."""
    counts = np.zeros(len(rows), np.int64)
    lists = pd.Series([], dtype=object)
    if "negatives" in rows:
        texts = rows["negatives"].reset_index(drop=True)
        lists = texts[is_target & (texts != "").to_numpy()].str.split("\t")
        counts[lists.index] = lists.str.len()
    negatives, ids = pd.factorize(np.array([item for row in lists for item in row], object))
    return {
        "negatives": negatives.astype(np.int64),
        "negative_offsets": np.concatenate([[0], np.cumsum(counts)]),
        "negative_ids": ids,
    }


def _codes(column: pd.Series, names: Sequence[str]) -> np.ndarray:
    codes = pd.Categorical(column, categories=list(names)).codes
    if np.any(codes < 0):
        raise ValueError(f"{column.name} must be one of {', '.join(names)}.")
    return codes.astype(np.int8)
