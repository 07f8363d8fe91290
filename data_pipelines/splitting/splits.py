"""Which interactions train, which validate and which test, and what is dropped on the way.

In this order, each step counting what it drops:

1. a user's repeated interactions with one target item are reduced to the first (a `given` split:
   to the one in the earliest part), so that no held-out item is in its user's training;
2. users and items with too few interactions leave their domain, again and again until all have
   enough (the k-core);
3. target interactions get their part from `kind`, source interactions from their user.

`split` does it in one go. Its steps take the interactions of some whole users and leave what
concerns all users, the rare items and the draws, to whoever calls them:
`data_pipelines.distributed` runs the same steps, one group of users after the other.
"""

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence, Set

import numpy as np
import pandas as pd

from data_pipelines.errors import DataError
from data_pipelines.logs import PARTS, InteractionLog
from data_pipelines.splitting.split_log import (
    TEST,
    TRAIN,
    VALIDATION,
    DomainRoles,
    SplitLog,
    SplitOptions,
)
from data_pipelines.splitting.user_draws import Census, Drawn, draw

_DROPPED = -1


def split(log: InteractionLog, options: SplitOptions) -> SplitLog:
    """Splits a log.

    Raises:
      DataError: the target is not a domain of the log, a `given` split has no parts, or nothing
        is left to train on.
    """
    check(log.domains, set(log.interactions), options)
    roles = DomainRoles(log.domains, options.target, log.comparable_times)
    core = _core(candidates(log.interactions, roles, options), options)
    result = assign(core, draw(census(core, options), options), options)
    rows = result.interactions
    trained = rows["domain"][(rows["part"] == PARTS[TRAIN]).to_numpy()].value_counts()
    require_training(trained, log.domains, options)
    before = dropped_before(log.left_out, log.skipped_lines)
    return dataclasses.replace(result, dropped=without_zeros({**before, **result.dropped}))


def check(domains: Sequence[str], columns: Set[str], options: SplitOptions) -> None:
    """Raises DataError if a log with these domains and columns cannot be split in this way."""
    target = options.target
    if target and target not in domains:
        raise DataError(
            f"--split.target={target}: the log has no such domain; it has {', '.join(domains)}."
        )
    if options.kind == "given" and "part" not in columns:
        raise DataError(
            "--split.kind=given: the log has no part column; name the files' parts in --input "
            "(DOMAIN=PATH@train) or use another kind."
        )
    if "negatives" in columns:
        # Every item among the given negatives must stay in the log.
        if options.kind != "given":
            raise DataError(
                f"--split.kind={options.kind}: the log brings negatives for the split that it came "
                "with; use --split.kind=given."
            )
        if options.min_user_interactions > 1 or options.min_item_interactions > 1:
            raise DataError(
                "--split.min_user_interactions and --split.min_item_interactions would drop items "
                "that are among the log's own negatives: leave them out."
            )


def dropped_before(left_out: Mapping[str, int], skipped_lines: int) -> dict[str, int]:
    """What the reader left out, as entries of `SplitLog.dropped`."""
    return {**left_out, "bad lines": skipped_lines}


def without_zeros(dropped: Mapping[str, int]) -> dict[str, int]:
    """The entries of what happened at all."""
    return {what: count for what, count in dropped.items() if count}


@dataclasses.dataclass(frozen=True, eq=False)
class Candidates:
    """The interactions of some whole users that are still to be split.

    Attributes:
      rows: the users' part of the log, in file order.
      roles: the log's domains.
      table: `rows` as integers.
      kept: int64 [n]; which rows are left, by user, then time, then place in the file.
      dropped: what -> how many, so far.
    """

    rows: pd.DataFrame
    roles: DomainRoles
    table: "Table"
    kept: np.ndarray
    dropped: Mapping[str, int]


class Table:
    """Rows of a log as integers, in file order.

    Attributes:
      user: int64 [rows]; number of the user in the order of sorted ids.
      item: int64 [rows]; number of the (domain, item) pair.
      domain: int64 [rows]; number of the domain.
      timestamp: int64 [rows].
      user_ids: the sorted user ids.
      item_rows: int64 [items]; a row with each (domain, item) pair.
      target: number of the target domain, -1 if there is none.
    """

    def __init__(self, rows: pd.DataFrame, roles: DomainRoles) -> None:
        self.user, self.user_ids = pd.factorize(rows["user_id"], sort=True)
        self.domain = pd.Categorical(rows["domain"], categories=roles.domains).codes.astype(
            np.int64
        )
        item, _ = pd.factorize(rows["item_id"])
        self.item, pairs = pd.factorize(item * len(roles.domains) + self.domain)
        self.item_rows = np.empty(len(pairs), np.int64)
        self.item_rows[self.item] = np.arange(len(rows))
        self.timestamp = rows["timestamp"].to_numpy()
        self.target = roles.target_number


def candidates(rows: pd.DataFrame, roles: DomainRoles, options: SplitOptions) -> Candidates:
    """Sorts the interactions of some whole users and drops the repeated ones in the target."""
    table = Table(rows, roles)
    order = np.lexsort((table.timestamp, table.user))
    kept = order[_first_of_repeats(table, order, rows, options)]
    repeated = len(order) - len(kept)
    return Candidates(rows, roles, table, kept, {"repeated target interactions": repeated})


def _first_of_repeats(
    table: Table, order: np.ndarray, rows: pd.DataFrame, options: SplitOptions
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


def _core(log: Candidates, options: SplitOptions) -> Candidates:
    """Leaves the k-core of every domain; `log` holds all users."""
    rare = np.zeros(len(log.table.item_rows), bool)
    core = without_rare(log, rare, options)
    while True:
        counts = np.bincount(log.table.item[core.kept], minlength=len(rare))
        # An item that has become rare stays so: its count never rises again.
        now_rare = counts < options.min_item_interactions
        if (now_rare == rare).all() or not now_rare[log.table.item[core.kept]].any():
            return core
        rare = now_rare
        core = without_rare(log, rare, options)


def without_rare(log: Candidates, rare: np.ndarray, options: SplitOptions) -> Candidates:
    """Drops rare items, then users with too few interactions in a domain from that domain.

    Args:
      log: before anything was dropped for its rarity.
      rare: bool [items], by the numbers of `log.table`.
      options: how many interactions are enough.
    """
    table, kept = log.table, log.kept
    kept = kept[~rare[table.item[kept]]]
    if options.min_user_interactions > 1:
        user, pairs = pd.factorize(table.user[kept] * len(log.roles.domains) + table.domain[kept])
        enough = np.bincount(user, minlength=len(pairs)) >= options.min_user_interactions
        kept = kept[enough[user]]
    outside = len(log.kept) - len(kept)
    return dataclasses.replace(
        log, kept=kept, dropped={**log.dropped, "interactions outside the k-core": outside}
    )


def census(log: Candidates, options: SplitOptions) -> Census:
    """Who of the users has interactions in the sources, and who in the target."""
    table = log.table
    is_target = table.domain[log.kept] == table.target
    users = table.user[log.kept]
    in_source, in_target = np.zeros((2, len(table.user_ids)), bool)
    in_source[users[~is_target]] = True
    in_target[users[is_target]] = True
    given = options.kind == "given" and _given_parts(log.rows, log.kept[~is_target]).any()
    return Census(table.user_ids.to_numpy(dtype=object), in_source, in_target, bool(given))


def assign(log: Candidates, drawn: Drawn, options: SplitOptions) -> SplitLog:
    """Gives every interaction its part.

    Args:
      log: what is left of some whole users.
      drawn: the users that were drawn, in the order of `log.table.user_ids`.
      options: how to split.

    Returns:
      The users' part of the split log; `dropped` counts what these steps dropped, zeros included.
    """
    table, kept, rows = log.table, log.kept, log.rows
    dropped = Counter(log.dropped)
    part = np.zeros(len(kept), np.int8)
    is_target = table.domain[kept] == table.target
    if log.roles.target:
        part[is_target] = _target_parts(table, kept[is_target], rows, drawn, options)
    short = part == _DROPPED
    dropped["target interactions of users with fewer than 3"] = int(short.sum())
    dropped["users with fewer than 3 target interactions"] = len(np.unique(table.user[kept[short]]))
    part[~is_target] = _source_parts(table, kept[~is_target], rows, drawn)
    kept, part = kept[~short], part[~short]
    interactions = rows.iloc[kept].reset_index(drop=True)
    interactions["part"] = pd.Series(np.array(PARTS, object)[part], dtype="str")
    return SplitLog(
        **{field.name: getattr(log.roles, field.name) for field in dataclasses.fields(log.roles)},
        interactions=interactions,
        dropped=dict(dropped),
    )


def _given_parts(rows: pd.DataFrame, chosen: np.ndarray) -> np.ndarray:
    return pd.Categorical(rows["part"].iloc[chosen], categories=PARTS).codes


def _target_parts(
    table: Table, chosen: np.ndarray, rows: pd.DataFrame, drawn: Drawn, options: SplitOptions
) -> np.ndarray:
    """int8 [target rows]: each one's part, or -1 for rows that are dropped."""
    if options.kind == "given":
        return _given_parts(rows, chosen)
    part = np.zeros(len(chosen), np.int8)
    if options.kind != "user":
        _, user, counts = np.unique(table.user[chosen], return_inverse=True, return_counts=True)
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
    of_user = drawn.target[table.user[chosen]]
    return np.where(of_user == TRAIN, part, of_user)


def _held_out_counts(total: np.ndarray, options: SplitOptions) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of test and validation interactions of users with so many; one always trains."""
    test = np.floor(total * options.test_share + 0.5).astype(np.int64)
    test = np.minimum(test, total - 1)
    validation = np.floor(total * options.validation_share + 0.5).astype(np.int64)
    return test, np.minimum(validation, total - 1 - test)


def _source_parts(table: Table, chosen: np.ndarray, rows: pd.DataFrame, drawn: Drawn) -> np.ndarray:
    """int8 [source rows]: the part of each one's user."""
    if drawn.source is not None:
        return drawn.source[table.user[chosen]]
    part = _given_parts(rows, chosen).astype(np.int8)
    per_user = pd.Series(part).groupby(table.user[chosen]).nunique()
    if (per_user > 1).any():
        mixed = table.user_ids[per_user.index[int(np.argmax(per_user.to_numpy() > 1))]]
        raise DataError(
            f"--split.kind=given: user_id {mixed!r} has source interactions in several parts; a "
            "user's source sequence is of one part, so leave the files of held-out source "
            "interactions out."
        )
    return part


def require_training(
    trained: Mapping[str, int], domains: Sequence[str], options: SplitOptions
) -> None:
    """Raises DataError unless every domain has training interactions.

    Args:
      trained: domain -> number of training interactions; a domain without may be missing.
      domains: the log's.
      options: for the message.
    """
    for name in domains:
        if not trained.get(name, 0):
            raise DataError(
                f"domain {name!r} has no interaction left to train on: lower "
                "--split.min_user_interactions, --split.min_item_interactions or the shares, or "
                f"use another kind than {options.kind}."
            )
