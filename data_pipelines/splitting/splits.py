"""Which interactions train, which validate and which test, and what is dropped on the way.

In this order, each step counting what it drops:

0. with `max_user_interactions`, all but a user's latest interactions in a domain leave the log;
1. with `repeats=first`, a user's later interactions with one item are marked REPEATED (of a `given`
   split: all but the first in the earliest part), so that no held-out item is in its user's
   training;
2. users and items with too few interactions that are no repeats leave their domain, again and again
   until all have enough (the k-core);
3. every interaction gets the part that it has where its domain is the target.

`split` does it in one go. Its steps take the interactions of some whole users and leave what
concerns all users, the rare items, the draws and the cut-off times, to whoever calls them:
`data_pipelines.distributed` runs the same steps, one group of users after the other.
"""

import dataclasses
from collections.abc import Mapping, Sequence, Set
from typing import NamedTuple

import numpy as np
import pandas as pd

from data_pipelines.coding.coded_log import CodedLog
from data_pipelines.errors import DataError
from data_pipelines.logs import InteractionLog
from data_pipelines.parts import REPEATED, TEST, TOO_FEW, TRAIN, VALIDATION
from data_pipelines.splitting.split_log import FEWEST, SplitLog, SplitOptions
from data_pipelines.splitting.user_draws import draw

_BEYOND_CAP = "interactions before a user's latest --split.max_user_interactions"


def split(log: InteractionLog, options: SplitOptions) -> SplitLog:
    """Splits a log.

    Raises:
      DataError: the log cannot be split in this way, or leaves nothing to train on.
    """
    check(log.comparable_times, set(log.interactions), options)
    coded = CodedLog.of(log.interactions, log.domains, log.comparable_times)
    core = _core(candidates(coded, options), options)
    result = assign(core, plan(census(core, options), options), options)
    in_domain = result.log.domain[result.parts == TRAIN]
    trained = np.bincount(in_domain, minlength=len(log.domains)).tolist()
    require_training(dict(zip(log.domains, trained, strict=True)), options)
    before = dropped_before(log.left_out, log.skipped_lines)
    dropped = without_zeros({**before, **result.dropped})
    return dataclasses.replace(result, dropped=dropped, notes=log.notes, time_unit=log.time_unit)


def check(comparable_times: bool, columns: Set[str], options: SplitOptions) -> None:
    """Raises DataError if a log with these columns cannot be split in this way."""
    if options.kind == "given" and "part" not in columns:
        raise DataError(
            "--split.kind=given: the log has no part column; name the files' parts in --input "
            "(DOMAIN=PATH@train) or use another kind."
        )
    if options.kind in ("time", "last_of_all") and not comparable_times:
        raise DataError(
            f"--split.kind={options.kind} compares times between domains, but these logs have no "
            "such times: use another kind."
        )
    if "negatives" in columns:
        # Every item among the given negatives must stay in the log.
        if options.kind != "given":
            raise DataError(
                f"--split.kind={options.kind}: the log brings negatives for the split that it came "
                "with; use --split.kind=given."
            )
        if options.max_user_interactions:
            raise DataError(
                "--split.max_user_interactions would drop items that are among the log's own "
                "negatives: leave it out."
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


class Candidates(NamedTuple):
    """The interactions of some whole users that are still to be split.

    Attributes:
      log: the interactions.
      repeated: bool [n], which are a user's later ones with an item, to be no labels.
      dropped: what -> how many, so far.
    """

    log: CodedLog
    repeated: np.ndarray
    dropped: Mapping[str, int]


def candidates(log: CodedLog, options: SplitOptions) -> Candidates:
    """Keeps the latest interactions of some whole users, and marks those that are repeated."""
    log, dropped = _latest(log, options.max_user_interactions)
    repeated = np.zeros(len(log.item), bool)
    if options.repeats == "first":
        order = np.arange(len(log.item))
        if options.kind == "given":  # An item that trains and tests, trains.
            order = np.lexsort((order, _given_parts(log)))
        pairs = log.user[order] * len(log.item_ids) + log.item[order]
        repeated[order] = pd.Series(pairs).duplicated().to_numpy()
    return Candidates(log, repeated, {_BEYOND_CAP: dropped})


def _latest(log: CodedLog, most: int) -> tuple[CodedLog, int]:
    """Keeps the latest `most` interactions of each user in each domain; 0 keeps all."""
    if not most:
        return log, 0
    pair = log.user * len(log.domains) + log.domain
    order = np.argsort(pair, kind="stable")  # The order of time stays within a pair.
    _, number, counts = np.unique(pair[order], return_inverse=True, return_counts=True)
    from_end = np.cumsum(counts)[number] - 1 - np.arange(len(order))
    kept = np.empty(len(order), bool)
    kept[order] = from_end < most
    return log.only(kept), int((~kept).sum())


def _core(found: Candidates, options: SplitOptions) -> Candidates:
    """Leaves the k-core of every domain; `found` holds all users."""
    rare: np.ndarray = np.zeros(len(found.log.item_ids), bool)
    core = without_rare(found, rare, options)
    while True:
        counts = item_counts(core)
        # An item that has become rare stays so: its count never rises again.
        now_rare = counts < options.min_item_interactions
        if (now_rare == rare).all() or not now_rare[core.log.item].any():
            return core
        rare = now_rare
        core = without_rare(found, rare, options)


def item_counts(found: Candidates) -> np.ndarray:
    """Counts the interactions with each item that are no repeats: int64 [items]."""
    items = found.log.item[~found.repeated]
    return np.bincount(items, minlength=len(found.log.item_ids))


def without_rare(found: Candidates, rare: np.ndarray, options: SplitOptions) -> Candidates:
    """Drops rare items, then users with too few interactions in a domain from that domain.

    Args:
      found: before anything was dropped for its rarity.
      rare: bool [items], by the codes of `found.log`.
      options: how many interactions are enough.
    """
    log = found.log
    kept = ~rare[log.item]
    if options.min_user_interactions > 1:
        pair = log.user * len(log.domains) + log.domain
        counts = np.bincount(
            pair[kept & ~found.repeated], minlength=len(log.users) * len(log.domains)
        )
        kept &= counts[pair] >= options.min_user_interactions
    dropped = {**found.dropped, "interactions outside the k-core": int((~kept).sum())}
    return Candidates(log.only(kept), found.repeated[kept], dropped)


class Census(NamedTuple):
    """What a plan needs to know of all users.

    Attributes:
      user_ids: str [users], distinct.
      in_domain: bool [users, domains], where each has interactions.
      times: int64 [k], distinct, of all interactions; empty unless the split asks for them.
      at_times: int64 [k], interactions at each.
    """

    user_ids: np.ndarray
    in_domain: np.ndarray
    times: np.ndarray
    at_times: np.ndarray


def census(found: Candidates, options: SplitOptions) -> Census:
    """Counts the users of some of the log."""
    log = found.log
    in_domain = np.zeros((len(log.users), len(log.domains)), bool)
    in_domain[log.user, log.domain] = True
    times = log.times[~found.repeated] if options.kind == "time" else log.times[:0]
    return Census(log.users, in_domain, *np.unique(times, return_counts=True))


def join_censuses(parts: Sequence[Census]) -> Census:
    """Puts the censuses of groups of users together, one group behind the other."""
    users, in_domain = (np.concatenate([part[field] for part in parts]) for field in (0, 1))
    times, place = np.unique(np.concatenate([part.times for part in parts]), return_inverse=True)
    at_times = np.concatenate([part.at_times for part in parts])
    counts = np.bincount(place, at_times, len(times)).astype(np.int64)
    return Census(users, in_domain, times, counts)


class Plan(NamedTuple):
    """What is decided over all users.

    Attributes:
      users: int8 [users, domains], the part of all that each user did in a domain; TRAIN for users
        that were not drawn.
      cut_times: the first times of validation and of test; empty unless the kind is time.
    """

    users: np.ndarray
    cut_times: tuple[int, ...]


def plan(counted: Census, options: SplitOptions) -> Plan:
    """Draws the users to hold out and finds the cut-off times, all of the log being counted.

    Raises:
      DataError: the cut-off times lie outside the log.
    """
    users = np.zeros(counted.in_domain.shape, np.int8)
    if options.kind == "user":
        shares = options.validation_share, options.test_share
        for domain in range(counted.in_domain.shape[1]):
            eligible = counted.in_domain[:, domain]
            users[:, domain] = draw(counted.user_ids, eligible, options.seed, "user", *shares)
    return Plan(users, _cut_times(counted, options) if options.kind == "time" else ())


def _given_parts(log: CodedLog) -> np.ndarray:
    """Returns the parts that the log brings, which `check` has found."""
    if log.given_parts is None:
        raise ValueError("The log brings no parts.")
    return log.given_parts


def _cut_times(counted: Census, options: SplitOptions) -> tuple[int, ...]:
    times = counted.times
    if not len(times):
        require_training({}, options)
    if options.cut_times:
        first, last = int(times[0]), int(times[-1])
        for cut in options.cut_times:
            if not first < cut <= last:
                raise DataError(
                    f"--split.cut_times: {cut} lies outside the log, whose times go from {first} "
                    f"to {last}."
                )
        return tuple(options.cut_times)
    # The first time at which no more than so many of the latest interactions are left.
    from_end = np.cumsum(counted.at_times[::-1])[::-1]
    held_out = np.cumsum([options.test_share, options.validation_share])[::-1] * from_end[0]
    places = [int(np.count_nonzero(from_end > share + 1e-9)) for share in held_out]
    last = int(times[-1])
    return tuple(int(times[place]) if place < len(times) else last + 1 for place in places)


def assign(found: Candidates, decided: Plan, options: SplitOptions) -> SplitLog:
    """Gives every interaction its part.

    Args:
      found: what is left of some whole users.
      decided: with the rows of these users, in the order of `found.log.users`.
      options: how to split.

    Returns:
      The users' part of the split log; `dropped` counts what these steps dropped, zeros included.
    """
    log = found.log
    parts = np.full(len(log.item), REPEATED, np.int8)
    labels = np.flatnonzero(~found.repeated)
    if options.kind == "given":
        parts[labels] = _given_parts(log)[labels]
    elif options.kind == "user":
        parts[labels] = decided.users[log.user[labels], log.domain[labels]]
    elif options.kind == "time":
        parts[labels] = np.searchsorted(decided.cut_times, log.times[labels], side="right")
    else:
        parts[labels] = _by_place(log, labels, options)
    return SplitLog(log, parts, options.kind, options.repeats, decided.cut_times, found.dropped)


def _by_place(log: CodedLog, labels: np.ndarray, options: SplitOptions) -> np.ndarray:
    """int8 [labels]: parts by the place among the user's labels, of all or of one domain."""
    group = log.user[labels]
    if options.kind != "last_of_all":
        group = group * len(log.domains) + log.domain[labels]
    # A stable sort leaves the order of time within a group.
    order = np.argsort(group, kind="stable")
    _, number, counts = np.unique(group[order], return_inverse=True, return_counts=True)
    from_end = np.cumsum(counts)[number] - 1 - np.arange(len(order))
    total = counts[number]
    ordered = np.full(len(order), TRAIN, np.int8)
    if options.kind == "ratio":
        test, validation = _held_out_counts(total, options)
        ordered[from_end < test + validation] = VALIDATION
        ordered[from_end < test] = TEST
    else:
        ordered[from_end == 1] = VALIDATION
        ordered[from_end == 0] = TEST
        ordered[total < FEWEST] = TOO_FEW
    parts = np.empty_like(ordered)
    parts[order] = ordered
    return parts


def _held_out_counts(total: np.ndarray, options: SplitOptions) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of test and validation interactions of users with so many; one always trains."""
    test = np.floor(total * options.test_share + 0.5).astype(np.int64)
    test = np.minimum(test, total - 1)
    validation = np.floor(total * options.validation_share + 0.5).astype(np.int64)
    return test, np.minimum(validation, total - 1 - test)


def require_training(trained: Mapping[str, int], options: SplitOptions) -> None:
    """Raises DataError unless some domain has training interactions.

    Args:
      trained: domain -> number of training interactions.
      options: for the message.
    """
    if not any(trained.values()):
        raise DataError(
            "no domain has an interaction left to train on: lower --split.min_user_interactions, "
            "--split.min_item_interactions or the shares, or use another kind than "
            f"{options.kind}."
        )
