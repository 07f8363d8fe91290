"""A split log as one integer-coded history per user: what every view cuts its examples from."""

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from data_pipelines import vocabulary
from data_pipelines.logs import PARTS
from data_pipelines.splits import SplitLog
from data_pipelines.vocabulary import Vocabulary

TRAIN, VALIDATION, TEST = range(3)
NEVER = np.iinfo(np.int64).max


@dataclasses.dataclass(frozen=True, eq=False)
class UserHistory:
    """All interactions of one user, oldest first; the arrays have one entry per interaction.

    Attributes:
      user: the user's id, from 1.
      items: int64 [n], ids in the item's own space (source or target).
      is_target: bool [n], whether the interaction lies in the target domain.
      domains: int8 [n], index into the log's domains.
      timestamps: int64 [n]. Comparable between domains only if the log's times are.
      parts: int8 [n], index into `logs.PARTS`. Source interactions carry the part of the user's
        source sequence.
      held_out_from: the time of the user's first target interaction outside training; `NEVER`
        where there is none or times are not comparable between domains.
    """

    user: int
    items: np.ndarray
    is_target: np.ndarray
    domains: np.ndarray
    timestamps: np.ndarray
    parts: np.ndarray
    held_out_from: int


@dataclasses.dataclass(frozen=True, eq=False)
class UserHistories(Sequence):
    """The histories of all users, held as flat arrays and cut without copying.

    Attributes:
      offsets: int64 [users + 1]; user u (from 1) owns entries offsets[u-1]:offsets[u] of
        `items`, `is_target`, `domains`, `timestamps`, `parts` (see `UserHistory`).
      held_out_from: int64 [users].
    """

    offsets: np.ndarray
    items: np.ndarray
    is_target: np.ndarray
    domains: np.ndarray
    timestamps: np.ndarray
    parts: np.ndarray
    held_out_from: np.ndarray

    def __len__(self) -> int:
        return len(self.held_out_from)

    def __getitem__(self, index: int) -> UserHistory:
        if not 0 <= index < len(self):
            raise IndexError(index)
        rows = slice(self.offsets[index], self.offsets[index + 1])
        return UserHistory(
            index + 1,
            self.items[rows],
            self.is_target[rows],
            self.domains[rows],
            self.timestamps[rows],
            self.parts[rows],
            int(self.held_out_from[index]),
        )

    def __iter__(self) -> Iterator[UserHistory]:
        return (self[index] for index in range(len(self)))

    def digest(self) -> "hashlib._Hash":
        """Returns a sha256 over every array, to which the caller adds what else matters."""
        digest = hashlib.sha256()
        for field in dataclasses.fields(self):
            digest.update(np.ascontiguousarray(getattr(self, field.name)).data)
        return digest


@dataclasses.dataclass(frozen=True, eq=False)
class CodedLog:
    """A split log in integers.

    Attributes:
      histories: one history per user.
      users: raw user ids; user u is users[u - 1].
      vocabularies: by item space, `source` and `target`; a space without domains is absent.
    """

    histories: UserHistories
    users: tuple[str, ...]
    vocabularies: dict[str, Vocabulary]


def code(split_log: SplitLog) -> CodedLog:
    """Numbers the users and items of a split log.

    Item counts, which order the ids, are taken over training interactions alone. A source
    interaction at or after its user's first held-out target interaction is not one of them.

    Args:
      split_log: sorted by user and time, as `splits.split` returns it.
    """
    rows = split_log.interactions
    user_codes, users = pd.factorize(rows["user_id"])
    if np.any(np.diff(user_codes) < 0):
        raise ValueError("A split log must be sorted by user.")
    offsets = np.searchsorted(user_codes, np.arange(len(users) + 1))
    domains = _codes(rows["domain"], split_log.domains)
    parts = _codes(rows["part"], PARTS)
    timestamps = rows["timestamp"].to_numpy(dtype=np.int64)
    is_target = np.array([name == split_log.target for name in split_log.domains])[domains]

    held_out_from = np.full(len(users), NEVER, dtype=np.int64)
    if split_log.comparable_times:
        held_out = is_target & (parts != TRAIN)
        np.minimum.at(held_out_from, user_codes[held_out], timestamps[held_out])

    counted = parts == TRAIN
    counted &= is_target | (timestamps < held_out_from[user_codes])
    items = np.zeros(len(rows), dtype=np.int64)
    vocabularies = {}
    source_names = split_log.domains if len(split_log.sources) > 1 else ()
    for space, members, names in (
        ("source", ~is_target, source_names),
        ("target", is_target, ()),
    ):
        if members.any():
            vocabularies[space], items[members] = _number_items(
                rows["item_id"][members], domains[members], names, counted[members]
            )
    histories = UserHistories(offsets, items, is_target, domains, timestamps, parts, held_out_from)
    return CodedLog(histories, tuple(users.tolist()), vocabularies)


def _codes(column: pd.Series, names: Sequence[str]) -> np.ndarray:
    codes = pd.Categorical(column, categories=list(names)).codes
    if np.any(codes < 0):
        raise ValueError(f"{column.name} must be one of {', '.join(names)}.")
    return codes.astype(np.int8)


def _number_items(
    item_ids: pd.Series, domains: np.ndarray, names: Sequence[str], counted: np.ndarray
) -> tuple[Vocabulary, np.ndarray]:
    """Numbers the items of one space.

    Args:
      item_ids: str [n], the interactions of the space.
      domains: int8 [n], indices into `names`.
      names: the domains' names to put before the item ids; empty where ids are used as they are.
      counted: bool [n], the interactions that count for an item's frequency.

    Returns:
      The vocabulary and int64 [n], the id of each interaction's item.
    """
    item_codes, raw_ids = pd.factorize(item_ids)
    codes, tokens = item_codes, raw_ids.to_numpy(dtype=object)
    if names:
        pairs = item_codes.astype(np.int64) * len(names) + domains
        codes, distinct = pd.factorize(pairs)
        raw = raw_ids.to_numpy(dtype=object)[distinct // len(names)]
        prefixes = np.array([f"{name}:" for name in names], dtype=object)[distinct % len(names)]
        tokens = prefixes + raw
    counts = np.bincount(codes[counted], minlength=len(tokens))
    ranking, ids = vocabulary.ranked(tokens, counts)
    return ranking, ids[codes]
