"""A split log as one integer-coded history per user: what every view cuts its examples from."""

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from data_pipelines.coding import vocabulary
from data_pipelines.coding.coded_log import CodedLog, ItemCounts
from data_pipelines.coding.vocabulary import Vocabulary
from data_pipelines.splitting.split_log import DomainRoles, SplitLog

# Sums of digests stay below this: the digests are of 256 bits.
DIGEST_RANGE = 1 << 256


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
      negatives: int64 [m], target ids that came with the data to rank interactions among.
      negative_offsets: int64 [n + 1]; interaction i has negatives
        negative_offsets[i]:negative_offsets[i + 1].
    """

    user: int
    items: np.ndarray
    is_target: np.ndarray
    domains: np.ndarray
    timestamps: np.ndarray
    parts: np.ndarray
    held_out_from: int
    negatives: np.ndarray
    negative_offsets: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class UserHistories(Sequence):
    """The histories of several users, held as flat arrays and cut without copying.

    Attributes:
      users: int64 [users], the users' ids.
      offsets: int64 [users + 1]; the user at index k has entries offsets[k]:offsets[k + 1] of
        `items`, `is_target`, `domains`, `timestamps`, `parts` (see `UserHistory`).
      held_out_from: int64 [users].
      negatives: int64 [m], of all interactions.
      negative_offsets: int64 [n + 1], where those of each interaction are.
    """

    users: np.ndarray
    offsets: np.ndarray
    items: np.ndarray
    is_target: np.ndarray
    domains: np.ndarray
    timestamps: np.ndarray
    parts: np.ndarray
    held_out_from: np.ndarray
    negatives: np.ndarray
    negative_offsets: np.ndarray

    def __len__(self) -> int:
        return len(self.held_out_from)

    def __getitem__(self, index: int) -> UserHistory:
        if not 0 <= index < len(self):
            raise IndexError(index)
        rows = slice(self.offsets[index], self.offsets[index + 1])
        places = self.negative_offsets[rows.start : rows.stop + 1]
        return UserHistory(
            int(self.users[index]),
            self.items[rows],
            self.is_target[rows],
            self.domains[rows],
            self.timestamps[rows],
            self.parts[rows],
            int(self.held_out_from[index]),
            self.negatives[places[0] : places[-1]],
            places - places[0],
        )

    def __iter__(self) -> Iterator[UserHistory]:
        return (self[index] for index in range(len(self)))

    def arrays(self) -> dict[str, np.ndarray]:
        """Returns the arrays by name."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def digest(self) -> int:
        """Returns the sum of a digest of every user, the same in whatever order users come."""
        # One array of all fields: a user's bytes are one slice of it.
        fields = ("items", "is_target", "domains", "timestamps", "parts")
        table = np.empty(len(self.items), [(name, getattr(self, name).dtype) for name in fields])
        for name in fields:
            table[name] = getattr(self, name)
        content, width = table.view(np.uint8).data, table.itemsize
        heads = np.stack([self.users, self.held_out_from], axis=1)
        first_negative = self.negative_offsets[self.offsets]
        total = 0
        for index, head in enumerate(heads):
            start, end = self.offsets[index : index + 2]
            digest = hashlib.blake2b(head.data, digest_size=32)
            digest.update(content[start * width : end * width])
            digest.update(self.negatives[slice(*first_negative[index : index + 2])].data)
            total += int.from_bytes(digest.digest(), "little")
        return total % DIGEST_RANGE


@dataclasses.dataclass(frozen=True, eq=False)
class NumberedLog:
    """A split log in the ids of its data set.

    Attributes:
      histories: one history per user.
      users: raw user ids; user u is users[u - 1].
      vocabularies: by item space, `source` and `target`; a space without domains is absent.
    """

    histories: UserHistories
    users: tuple[str, ...]
    vocabularies: dict[str, Vocabulary]


def number(split_log: SplitLog) -> NumberedLog:
    """Numbers the users and items of a split log.

    Item counts, which order the ids, are taken over training interactions alone. A source
    interaction at or after its user's first held-out target interaction is not one of them.

    Args:
      split_log: sorted by user and time, as `splits.split` returns it.
    """
    codes = CodedLog.of(split_log)
    vocabularies, ids = number_items(split_log, codes.item_counts())
    targets = np.flatnonzero(codes.item_domains == split_log.target_number)
    rows = pd.Index(codes.item_ids[targets]).get_indexer(codes.negative_ids)
    negatives = ids[targets[rows]]
    histories = with_ids(codes, np.arange(1, len(codes.users) + 1), ids, negatives)
    return NumberedLog(histories, tuple(codes.users.tolist()), vocabularies)


def with_ids(
    codes: CodedLog, users: np.ndarray, items: np.ndarray, negatives: np.ndarray
) -> UserHistories:
    """Puts ids in the place of codes.

    Args:
      codes: all interactions of some users.
      users: int64 [users], the id of each.
      items: int64 [items], the id of each of `codes.item_ids`.
      negatives: int64 [k], the id of each of `codes.negative_ids`.
    """
    return UserHistories(
        users,
        codes.offsets,
        items[codes.item],
        codes.is_target,
        codes.domains,
        codes.timestamps,
        codes.parts,
        codes.held_out_from,
        negatives[codes.negatives],
        codes.negative_offsets,
    )


def number_items(
    roles: DomainRoles, counts: ItemCounts
) -> tuple[dict[str, Vocabulary], np.ndarray]:
    """Numbers the items of each space, the whole log being counted.

    Returns:
      The vocabularies by space; and int64 [items], the id of each counted item.
    """
    ids = np.zeros(len(counts.item_ids), np.int64)
    vocabularies = {}
    for space, members, tokens in item_tokens(roles, counts.item_ids, counts.domains):
        vocabularies[space], ids[members] = vocabulary.ranked(tokens, counts.trained[members])
    return vocabularies, ids


def item_tokens(
    roles: DomainRoles, item_ids: np.ndarray, domains: np.ndarray
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Names items as the vocabularies do.

    Args:
      roles: the log's domains.
      item_ids: str [items].
      domains: int8 [items].

    Yields:
      For each space with items: its name; bool [items], which items lie in it; their tokens.
    """
    is_target = domains == roles.target_number
    for space, members in (("source", ~is_target), ("target", is_target)):
        if not members.any():
            continue
        tokens = item_ids[members]
        if space == "source" and len(roles.sources) > 1:
            prefixes = np.array([f"{name}:" for name in roles.domains], dtype=object)
            tokens = prefixes[domains[members]] + tokens
        yield space, members, tokens
