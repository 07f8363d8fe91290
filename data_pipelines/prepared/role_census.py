"""What follows from the roles of domains for all users of a data set, counted over its records."""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from data_pipelines.errors import DataError
from data_pipelines.logs import PARTS
from data_pipelines.parts import REPEATED, TEST, TRAIN, VALIDATION
from data_pipelines.prepared.dataset import PreparedData
from data_pipelines.splitting.user_draws import draw
from data_pipelines.views.example_options import ExampleOptions
from data_pipelines.views.roles import NEVER, Assignment, RoleRecords, Roles, cast
from data_pipelines.views.user_records import Records, UserRecords


def assign(
    data: PreparedData, windows: Iterable[UserRecords], roles: Roles, options: ExampleOptions
) -> Assignment:
    """Draws the users that are held out as a whole.

    Args:
      data: the data set.
      windows: all its `UserRecords`.
      roles: the domains'.
      options: shares and seed.

    Raises:
      DataError: the data set says which source interactions are held out, and says several things
        of a user without times; or users are drawn whose parts are decided already.
    """
    kind = data.metadata["split_kind"]
    if options.cold_share and kind in ("user", "given", "time"):
        raise DataError(
            f"--examples.cold_share has no meaning with --split.kind={kind}, which says itself "
            "whose interactions are held out: leave it out."
        )
    users = len(data.users)
    in_domain = np.zeros((users + 1, len(roles.domains)), bool)
    # The least and the greatest part of each user's source interactions, as the log gives it.
    least, greatest = np.full(users + 1, TEST), np.full(users + 1, TRAIN)
    is_source = np.zeros(len(roles.domains), bool)
    is_source[list(roles.numbers(roles.sources))] = True
    for window in windows:
        records = UserRecords(*(tensor.numpy() for tensor in window))
        user = np.repeat(records.user, np.diff(records.splits))
        in_domain[user, records.domains] = True
        chosen = is_source[records.domains] & (records.parts < REPEATED)
        np.minimum.at(least, user[chosen], records.parts[chosen])
        np.maximum.at(greatest, user[chosen], records.parts[chosen])
    ids = np.array(data.users, dtype=object)
    in_source = np.any(in_domain[1:, is_source], axis=1)
    mixed = np.flatnonzero(least < greatest) if kind == "given" else np.zeros(0, np.int64)
    comparable_times = data.metadata["comparable_times"]
    if len(mixed) and not comparable_times:
        raise DataError(
            f"{data.data_dir}: user_id {ids[mixed[0] - 1]!r} has source interactions in several "
            "parts, and these logs have no times that could be compared with those of the target; "
            "leave the files of held-out source interactions out, or name fewer --sources."
        )
    if kind == "given" and greatest.any() and not len(mixed):
        source_parts = greatest.astype(np.int8)
    else:
        shares = options.source_validation_share, options.source_test_share
        if len(mixed):  # Those who have something left of their sequence.
            in_source &= least[1:] == TRAIN
        source_parts = _by_id(draw(ids, in_source, options.seed, "source", *shares))
    half = options.cold_share / 2
    drawn = [
        _by_id(draw(ids, in_source & in_domain[1:, target], options.seed, "cold", half, half))
        for target in roles.numbers(roles.targets)
    ]
    cut_times = data.metadata["cut_times"]
    return Assignment(
        roles=roles,
        drawn=np.array(drawn, np.int8).reshape(len(roles.targets), users + 1),
        source_parts=source_parts,
        held_out_from=cut_times[0] if cut_times else NEVER,
        comparable_times=comparable_times,
        sources_are_split=bool(len(mixed)),
    )


def _by_id(of_users: np.ndarray) -> np.ndarray:
    """Prepends the user of id 0, who is nobody."""
    return np.concatenate([[TRAIN], of_users]).astype(np.int8)


@dataclasses.dataclass
class RoleCounts:
    """Counts over the interactions that a run reads.

    Attributes:
      trained: int64 [items], by the data set's items, interactions that train: of sources those
        before the user's first held-out label alone.
      parts: int64 [domains, 3], interactions in each of PARTS, source ones by their user's part.
      target_parts: int64 [items, 3], the target's interactions in each of PARTS.
      users: int64 [domains], users with interactions in the domain.
      in_target: int64 [domains], how many of them have interactions in the target, too.
      held_out: int64 [3], users with target interactions in each of PARTS.
      cold: int64 [3], how many of these have none that trains.
      most_seen: int64 [3], of users with target interactions in each part, the greatest number of
        distinct target items; in the first part of those that train.
      fewest_seen: int64 [3], the least such number.
      seen_by_domain: int64 [3, domains, 2], the least and the greatest number of each domain's
        items alone, of users with target interactions of that domain in each part.
      longest: the greatest number of a user's interactions.
      given_negatives: int64 [3, 2], for each part the least and the greatest number of given
        negatives of a target interaction.
    """

    trained: np.ndarray
    parts: np.ndarray
    target_parts: np.ndarray
    users: np.ndarray
    in_target: np.ndarray
    held_out: np.ndarray
    cold: np.ndarray
    most_seen: np.ndarray
    fewest_seen: np.ndarray
    seen_by_domain: np.ndarray
    longest: int
    given_negatives: np.ndarray


def count(records: Records, assignment: Assignment, items: int, repeats: str) -> RoleCounts:
    """Counts over all records.

    Args:
      records: of the data set.
      assignment: what its users are drawn for.
      items: of the data set.
      repeats: as in `SplitOptions`.
    """
    domains, labels = len(assignment.roles.domains), len(PARTS)
    counts = RoleCounts(
        trained=np.zeros(items, np.int64),
        parts=np.zeros((domains, labels), np.int64),
        target_parts=np.zeros((items, labels), np.int64),
        users=np.zeros(domains, np.int64),
        in_target=np.zeros(domains, np.int64),
        held_out=np.zeros(labels, np.int64),
        cold=np.zeros(labels, np.int64),
        most_seen=np.zeros(labels, np.int64),
        fewest_seen=np.full(labels, NEVER),
        seen_by_domain=np.tile([NEVER, 0], (labels, domains, 1)),
        longest=0,
        given_negatives=np.tile([NEVER, 0], (labels, 1)),
    )
    for window in records.each(lambda of_window: cast(of_window, assignment)):
        _add(counts, RoleRecords(*(tensor.numpy() for tensor in window)), repeats)
    for numbers in (counts.given_negatives, counts.seen_by_domain):
        numbers[numbers[..., 1] == 0] = 0
    counts.fewest_seen[counts.most_seen == 0] = 0
    return counts


def _add(counts: RoleCounts, records: RoleRecords, repeats: str) -> None:
    rows, labels = len(records.user), len(PARTS)
    domains = len(counts.users)
    is_target, parts, item = records.is_target, records.parts, records.items - 1
    trained = (parts == TRAIN) & (is_target | records.before_held_out)
    counts.trained += np.bincount(item[trained], minlength=len(counts.trained))
    cells = np.bincount(records.domains * labels + parts, minlength=domains * labels)
    counts.parts += cells.reshape(domains, labels)
    own = np.bincount(
        item[is_target] * labels + parts[is_target], minlength=len(counts.trained) * labels
    )
    counts.target_parts += own.reshape(-1, labels)
    in_domain = np.zeros((rows, domains), bool)
    in_domain[records.row, records.domains] = True
    in_part_of_domain = np.zeros((rows, labels, domains), bool)
    in_part_of_domain[records.row[is_target], parts[is_target], records.domains[is_target]] = True
    in_part: np.ndarray = np.any(in_part_of_domain, axis=2)
    counts.longest = max(counts.longest, int(np.diff(records.splits).max(initial=0)))
    in_target = in_part.any(axis=1)
    counts.users += in_domain.sum(axis=0)
    counts.in_target += in_domain[in_target].sum(axis=0)
    counts.held_out += in_part.sum(axis=0)
    counts.cold += in_part[~in_part[:, TRAIN]].sum(axis=0)
    for part in range(labels):
        known = is_target & (parts == TRAIN) if part == TRAIN else is_target
        taken = pd.DataFrame(
            {"row": records.row[known], "item": item[known], "domain": records.domains[known]}
        )
        if repeats == "all":
            taken = taken.drop_duplicates()
        cells = np.bincount(taken["row"] * domains + taken["domain"], minlength=rows * domains)
        seen = cells.reshape(rows, domains)
        of_users = seen[in_part[:, part]].sum(axis=1)
        counts.most_seen[part] = of_users.max(initial=counts.most_seen[part])
        counts.fewest_seen[part] = of_users.min(initial=counts.fewest_seen[part])
        there = in_part_of_domain[:, part]
        least, most = counts.seen_by_domain[part].T
        np.minimum(least, seen.min(axis=0, initial=NEVER, where=there), out=least)
        np.maximum(most, seen.max(axis=0, initial=0, where=there), out=most)
        given = (records.negative_ends - records.negative_starts)[is_target & (parts == part)]
        if len(given):
            least, greatest = counts.given_negatives[part]
            counts.given_negatives[part] = min(least, given.min()), max(greatest, given.max())


class DomainSize(NamedTuple):
    """How large a domain is for a run.

    Attributes:
      name: the domain's.
      role: "source" or "target".
      counts: users, items and interactions.
      shared: of its users, those who are in the target, too.
    """

    name: str
    role: str
    counts: dict[str, int]
    shared: int | None


def domain_sizes(roles: Roles, counts: RoleCounts, items: Sequence[int]) -> list[DomainSize]:
    """Returns the size of each domain that a run reads; see `summary_lines`."""
    return [
        DomainSize(
            name,
            "target" if name in roles.predicted else "source",
            {
                "users": int(counts.users[number]),
                "items": items[number],
                "interactions": int(counts.parts[number].sum()),
            },
            int(counts.in_target[number]) if roles.predicted else None,
        )
        for name in (*roles.sources, *roles.predicted)
        for number in (roles.domains.index(name),)
    ]


def summary_lines(roles: Roles, counts: RoleCounts, domain_sizes: Sequence[int]) -> list[str]:
    """Returns the roles as a table for people, and who is held out.

    Args:
      roles: the domains'.
      counts: over all records.
      domain_sizes: items of each domain.
    """
    rows = []
    for name in (*roles.sources, *roles.predicted):
        number = roles.domains.index(name)
        parts = counts.parts[number]
        cells = max(1, int(counts.users[number]) * domain_sizes[number])
        rows.append(
            {
                "domain": name + (" (target)" if name in roles.predicted else ""),
                "users": f"{counts.users[number]:,}",
                "items": f"{domain_sizes[number]:,}",
                "interactions": f"{parts.sum():,}",
                **{text: f"{part:,}" for text, part in zip(PARTS, parts, strict=True)},
                "users in target": f"{counts.in_target[number]:,}" if roles.predicted else "-",
                "sparsity": f"{100 * max(0.0, 1 - parts.sum() / cells):.3f}%",
            }
        )
    lines = pd.DataFrame(rows).to_string(index=False).split("\n")
    if roles.predicted:
        untrained = counts.target_parts[counts.target_parts[:, TRAIN] == 0].sum(axis=0)
        lines += [
            f"{PARTS[part]}: {counts.held_out[part]:,} users, {counts.cold[part]:,} of them cold; "
            f"{untrained[part]:,} interactions with items that do not train"
            for part in (VALIDATION, TEST)
        ]
    return lines
