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

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Mapping

import numpy as np
import pandas as pd

from data_pipelines.errors import DataError
from data_pipelines.logs import PARTS, InteractionLog

KINDS = ("leave_one_out", "ratio", "user", "given")
_TRAIN, _VALIDATION, _TEST, _DROPPED = 0, 1, 2, -1


@dataclasses.dataclass(frozen=True)
class SplitOptions:
    """How a log is split.

    Attributes:
      target: the target domain; all others are sources. Empty: every domain is a source, for
        pre-training only.
      kind: how target interactions are split. leave_one_out: of each user the last one tests, the
        last but one validates, the others train; users with fewer than 3 are dropped from the
        target. ratio: of each user the last test_share test, the validation_share before them
        validate. user: validation_share and test_share of the target's users are held out
        with all their target interactions. given: the log's part column.
      validation_share: for ratio and user, the share that validates.
      test_share: for ratio and user, the share that tests.
      cold_share: for leave_one_out and ratio, the share of the users with source and target
        interactions of whom all target interactions are held out, one half of these users
        validating, the other testing. They are cold in the target.
      source_validation_share: share of users whose source interactions validate pre-training.
      source_test_share: share of users whose source interactions test pre-training.
      min_user_interactions: users with fewer interactions in a domain leave that domain.
      min_item_interactions: items with fewer interactions leave the log.
      seed: of the draws of users.
    """

    target: str = ""
    kind: str = "leave_one_out"
    validation_share: float = 0.1
    test_share: float = 0.1
    cold_share: float = 0.0
    source_validation_share: float = 0.05
    source_test_share: float = 0.05
    min_user_interactions: int = 1
    min_item_interactions: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise DataError(f"kind {self.kind!r}: use {', '.join(KINDS)}.")
        pairs = [
            ("validation_share", "test_share"),
            ("source_validation_share", "source_test_share"),
        ]
        for name in (*pairs[0], *pairs[1], "cold_share"):
            if not 0 <= getattr(self, name) < 1:
                raise DataError(f"{name} is {getattr(self, name)}: it must be in [0, 1).")
        for first, second in pairs:
            if getattr(self, first) + getattr(self, second) >= 1:
                raise DataError(f"{first} and {second} leave nothing to train on: lower them.")
        for name in ("min_user_interactions", "min_item_interactions"):
            if getattr(self, name) < 1:
                raise DataError(f"{name} is {getattr(self, name)}: it must be at least 1.")
        if self.cold_share and self.kind in ("user", "given"):
            raise DataError(f"cold_share has no meaning with kind {self.kind}: leave it out.")
        defaults = SplitOptions.__dataclass_fields__
        if self.kind in ("leave_one_out", "given"):
            for name in pairs[0]:
                if getattr(self, name) != defaults[name].default:
                    raise DataError(f"{name} has no meaning with kind {self.kind}: leave it out.")


@dataclasses.dataclass(frozen=True)
class SplitLog:
    """A log with a part for every interaction.

    Attributes:
      interactions: the log's columns and `part` (train, validation or test), sorted by user_id,
        then timestamp; equal timestamps keep their order in the file. Source rows carry the part
        of their user's source sequence, the same in all source domains.
      domains: all domains, in the log's order.
      target: the target domain, or "".
      sources: the other domains, in the log's order.
      comparable_times: as in the log.
      dropped: what -> how many, for the summary.
    """

    interactions: pd.DataFrame
    domains: tuple[str, ...]
    target: str
    sources: tuple[str, ...]
    comparable_times: bool
    dropped: Mapping[str, int]


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
            part[from_end == 0] = _TEST
            part[from_end == 1] = _VALIDATION
            part[total < 3] = _DROPPED
        else:
            test, validation = _held_out_counts(total, options)
            part[from_end < test + validation] = _VALIDATION
            part[from_end < test] = _TEST
        both = users[np.isin(users, table.user[core[~is_target]])]
        drawn = draws.take(both, "cold", options.cold_share / 2, options.cold_share / 2)
    for value, group in zip((_VALIDATION, _TEST), drawn, strict=True):
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
    for value, group in zip((_VALIDATION, _TEST), drawn, strict=True):
        part[np.isin(table.user[chosen], group)] = value
    return part


def _require_training(
    table: _Table,
    core: np.ndarray,
    part: np.ndarray,
    domains: tuple[str, ...],
    options: SplitOptions,
) -> None:
    training = np.bincount(table.domain[core[part == _TRAIN]], minlength=len(domains))
    for name, count in zip(domains, training, strict=True):
        if not count:
            raise DataError(
                f"domain {name!r} has no interaction left to train on: lower "
                "--split.min_user_interactions, --split.min_item_interactions or the shares, or "
                f"use another kind than {options.kind}."
            )


def summary_table(split_log: SplitLog) -> str:
    """The split as text: a row for each domain, then the overlap and what was dropped."""
    rows = split_log.interactions
    target_users = rows["user_id"][rows["domain"] == split_log.target].unique()
    lines = []
    for name in split_log.domains:
        of = rows[rows["domain"] == name]
        users, items = of["user_id"].nunique(), of["item_id"].nunique()
        parts = of["part"].value_counts()
        shared = int(of["user_id"].drop_duplicates().isin(target_users).sum())
        density = len(of) / (users * items)
        lines.append(
            {
                "domain": name + (" (target)" if name == split_log.target else ""),
                "users": f"{users:,}",
                "items": f"{items:,}",
                "interactions": f"{len(of):,}",
                **{part: f"{parts.get(part, 0):,}" for part in PARTS},
                "users in target": f"{shared:,}" if split_log.target else "-",
                "sparsity": f"{100 * (1 - density):.3f}%",
            }
        )
    text = [pd.DataFrame(lines).to_string(index=False)]
    if split_log.target:
        text.append(_cold_line(split_log))
    text += [f"dropped: {what}: {count:,}" for what, count in split_log.dropped.items()]
    return "\n".join(text)


def _cold_line(split_log: SplitLog) -> str:
    """How many held-out users are cold, and how many held-out items were never trained on."""
    rows = split_log.interactions
    target = rows[rows["domain"] == split_log.target]
    training = target[target["part"] == PARTS[_TRAIN]]
    texts = []
    for part in PARTS[1:]:
        held = target[target["part"] == part]
        users = held["user_id"].drop_duplicates()
        cold = int((~users.isin(training["user_id"])).sum())
        new = int((~held["item_id"].isin(training["item_id"])).sum())
        texts.append(
            f"{part}: {len(users):,} users, {cold:,} of them cold; "
            f"{new:,} interactions with items that do not train"
        )
    return "\n".join(texts)
