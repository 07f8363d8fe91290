"""Which interactions train, which validate and which test, and what is dropped on the way.

In this order, each step counting what it drops:

1. a user's repeated interactions with one target item are reduced to the first (a `given` split:
   to the one in the earliest part), so that no held-out item is in its user's training;
2. users and items with too few interactions leave their domain, again and again until all have
   enough (the k-core);
3. target interactions get their part from `kind`, source interactions from their user.

Draws take the users with the smallest keyed hash of (seed, purpose, user id): they do not depend on
the order of rows, and the number drawn is exact.
"""

import hashlib
from collections import Counter

import numpy as np
import pandas as pd

from data_pipelines.errors import DataError
from data_pipelines.logs import PARTS, InteractionLog
from data_pipelines.split_log import (
    TEST,
    TRAIN,
    VALIDATION,
    SplitLog,
    SplitOptions,
    summary_table,
)

__all__ = ["SplitLog", "SplitOptions", "split", "summary_table"]

_DROPPED = -1


def split(log: InteractionLog, options: SplitOptions) -> SplitLog:
    """Splits a log.

    Raises:
      DataError: the target is not a domain of the log, a `given` split has no parts, or nothing
        is left to train on.
    """
    target = options.target
    if target and target not in log.domains:
        raise DataError(
            f"--split.target={target}: the log has no such domain; it has {', '.join(log.domains)}."
        )
    if target and len(log.domains) == 1:
        raise DataError(
            f"--split.target={target}: the log has no other domain to transfer from; leave the "
            "flag out for pre-training, or read a source domain too."
        )
    rows = log.interactions
    if options.kind == "given" and "part" not in rows:
        raise DataError(
            "--split.kind=given: the log has no part column; name the files' parts in --input "
            "(DOMAIN=PATH@train) or use another kind."
        )
    dropped: Counter[str] = Counter(log.left_out)
    if log.skipped_lines:
        dropped["bad lines"] = log.skipped_lines

    table = _Table(rows, log.domains, target)
    order = _sorted(table)
    kept = order[_first_of_repeats(table, order, rows, options)]
    dropped["repeated target interactions"] = len(order) - len(kept)
    core = _core(table, kept, options)
    dropped["interactions outside the k-core"] = len(kept) - len(core)

    part = np.zeros(len(core), np.int8)
    is_target = table.domain[core] == table.target
    draws = _Draws(options.seed, table)
    if target:
        part[is_target] = _target_parts(table, core, is_target, rows, draws, options)
        short = part == _DROPPED
        dropped["target interactions of users with fewer than 3"] = int(short.sum())
        dropped["users with fewer than 3 target interactions"] = len(
            np.unique(table.user[core[short]])
        )
    part[~is_target] = _source_parts(table, core[~is_target], rows, draws, options)
    core, part = core[part != _DROPPED], part[part != _DROPPED]
    _require_training(table, core, part, log.domains, options)

    interactions = rows.iloc[core].reset_index(drop=True)
    interactions["part"] = pd.Series(np.array(PARTS, object)[part], dtype="str")
    return SplitLog(
        interactions=interactions,
        domains=log.domains,
        target=target,
        sources=tuple(name for name in log.domains if name != target),
        comparable_times=log.comparable_times,
        dropped={what: count for what, count in dropped.items() if count},
    )


class _Table:
    """The log as integers, in file order.

    Attributes:
      user: int64 [rows]; number of the user in the order of sorted ids.
      item: int64 [rows]; number of the (domain, item) pair.
      domain: int64 [rows]; number of the domain.
      timestamp: int64 [rows].
      user_ids: the sorted user ids.
      target: number of the target domain, -1 if there is none.
    """

    def __init__(self, rows: pd.DataFrame, domains: tuple[str, ...], target: str) -> None:
        self.user, self.user_ids = pd.factorize(rows["user_id"], sort=True)
        self.domain = pd.Categorical(rows["domain"], categories=domains).codes.astype(np.int64)
        item, _ = pd.factorize(rows["item_id"])
        self.item, _ = pd.factorize(item * len(domains) + self.domain)
        self.timestamp = rows["timestamp"].to_numpy()
        self.target = domains.index(target) if target else -1


class _Draws:
    """Seeded draws of users."""

    def __init__(self, seed: int, table: _Table) -> None:
        self._seed = seed
        self._user_ids = table.user_ids

    def take(self, users: np.ndarray, purpose: str, *shares: float) -> list[np.ndarray]:
        """Disjoint groups of users, round(share * number of users) in each.

        Args:
          users: int64 [n], distinct.
          purpose: keeps the draws for different purposes apart.
          *shares: of each group.
        """
        prefix = f"{self._seed}\t{purpose}\t"
        keys = np.array([_hash(prefix + str(self._user_ids[user])) for user in users], np.uint64)
        drawn = users[np.lexsort((users, keys))]
        ends = np.floor(np.cumsum(shares) * len(users) + 0.5).astype(np.int64)
        return [drawn[a:b] for a, b in zip([0, *ends[:-1]], ends, strict=True)]


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def _sorted(table: _Table) -> np.ndarray:
    """int64 [rows]: row numbers by user, then time, then place in the file."""
    return np.lexsort((table.timestamp, table.user))


def _first_of_repeats(
    table: _Table, order: np.ndarray, rows: pd.DataFrame, options: SplitOptions
) -> np.ndarray:
    """Bool [rows], in sorted order: false for a user's later interactions with a target item."""
    keep = np.ones(len(order), bool)
    where = np.flatnonzero(table.domain[order] == table.target)
    chosen = order[where]
    if options.kind == "given":
        given = _given_parts(rows, chosen)
        by_part = np.argsort(given, kind="stable")
        where, chosen = where[by_part], chosen[by_part]
    pairs = pd.DataFrame({"user": table.user[chosen], "item": table.item[chosen]})
    keep[where[pairs.duplicated().to_numpy()]] = False
    return keep


def _core(table: _Table, kept: np.ndarray, options: SplitOptions) -> np.ndarray:
    """The rows among `kept` that are in their domain's k-core."""
    least_user, least_item = options.min_user_interactions, options.min_item_interactions
    if least_user == least_item == 1:
        return kept
    count = table.domain.max() + 1
    user, _ = pd.factorize(table.user * count + table.domain)  # a user in a domain
    while True:
        enough = (np.bincount(user[kept], minlength=1)[user[kept]] >= least_user) & (
            np.bincount(table.item[kept], minlength=1)[table.item[kept]] >= least_item
        )
        if enough.all():
            return kept
        kept = kept[enough]


def _given_parts(rows: pd.DataFrame, chosen: np.ndarray) -> np.ndarray:
    return pd.Categorical(rows["part"].iloc[chosen], categories=PARTS).codes


def _target_parts(
    table: _Table,
    core: np.ndarray,
    is_target: np.ndarray,
    rows: pd.DataFrame,
    draws: _Draws,
    options: SplitOptions,
) -> np.ndarray:
    """int8 [target rows]: each one's part, or -1 for rows that are dropped."""
    chosen = core[is_target]
    if options.kind == "given":
        return _given_parts(rows, chosen)
    users, user, counts = np.unique(table.user[chosen], return_inverse=True, return_counts=True)
    part = np.zeros(len(chosen), np.int8)
    if options.kind == "user":
        drawn = draws.take(users, "user", options.validation_share, options.test_share)
    else:
        # 0 for a user's last interaction; rows are sorted by user, then time.
        from_end = np.cumsum(counts)[user] - 1 - np.arange(len(chosen))
        total = counts[user]
        if options.kind == "leave_one_out":
            part[from_end == 0] = TEST
            part[from_end == 1] = VALIDATION
            part[total < 3] = _DROPPED
        else:
            test, validation = _held_out_counts(total, options)
            part[from_end < test + validation] = VALIDATION
            part[from_end < test] = TEST
        both = users[np.isin(users, table.user[core[~is_target]])]
        drawn = draws.take(both, "cold", options.cold_share / 2, options.cold_share / 2)
    for value, group in zip((VALIDATION, TEST), drawn, strict=True):
        part[np.isin(table.user[chosen], group)] = value
    return part


def _held_out_counts(total: np.ndarray, options: SplitOptions) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of test and validation interactions of users with so many; one always trains."""
    test = np.floor(total * options.test_share + 0.5).astype(np.int64)
    test = np.minimum(test, total - 1)
    validation = np.floor(total * options.validation_share + 0.5).astype(np.int64)
    return test, np.minimum(validation, total - 1 - test)


def _source_parts(
    table: _Table, chosen: np.ndarray, rows: pd.DataFrame, draws: _Draws, options: SplitOptions
) -> np.ndarray:
    """int8 [source rows]: the part of each one's user."""
    part = np.zeros(len(chosen), np.int8)
    if options.kind == "given":
        part = _given_parts(rows, chosen).astype(np.int8)
        if part.any():
            per_user = pd.Series(part).groupby(table.user[chosen]).nunique()
            if (per_user > 1).any():
                mixed = table.user_ids[per_user.index[int(np.argmax(per_user.to_numpy() > 1))]]
                raise DataError(
                    f"--split.kind=given: user_id {mixed!r} has source interactions in several "
                    "parts; a user's source sequence is of one part, so leave the files of "
                    "held-out source interactions out."
                )
            return part
    users = np.unique(table.user[chosen])
    drawn = draws.take(users, "source", options.source_validation_share, options.source_test_share)
    for value, group in zip((VALIDATION, TEST), drawn, strict=True):
        part[np.isin(table.user[chosen], group)] = value
    return part


def _require_training(
    table: _Table,
    core: np.ndarray,
    part: np.ndarray,
    domains: tuple[str, ...],
    options: SplitOptions,
) -> None:
    training = np.bincount(table.domain[core[part == TRAIN]], minlength=len(domains))
    for name, count in zip(domains, training, strict=True):
        if not count:
            raise DataError(
                f"domain {name!r} has no interaction left to train on: lower "
                "--split.min_user_interactions, --split.min_item_interactions or the shares, or "
                f"use another kind than {options.kind}."
            )
