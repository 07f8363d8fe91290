"""A split log as a table for people: domains, users, parts, what was dropped."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from data_pipelines.coding.coded_log import CodedLog
from data_pipelines.coding.vocabulary import ItemTable
from data_pipelines.errors import shown
from data_pipelines.logs import PARTS
from data_pipelines.parts import NUM_PARTS, REPEATED


@dataclasses.dataclass(frozen=True, eq=False)
class DomainCounts:
    """Counts of users and interactions by domain; those of groups of users add up.

    Attributes:
      users: int64 [domains], users with interactions in the domain.
      elsewhere: int64 [domains], how many of them have interactions in another one, too.
      parts: int64 [domains, NUM_PARTS], interactions.
      held_out: int64 [domains, 3], users with interactions in each of PARTS.
    """

    users: np.ndarray
    elsewhere: np.ndarray
    parts: np.ndarray
    held_out: np.ndarray

    def __add__(self, other: "DomainCounts") -> "DomainCounts":
        pairs = zip(dataclasses.astuple(self), dataclasses.astuple(other), strict=True)
        return DomainCounts(*(np.add(a, b) for a, b in pairs))


def domain_counts(log: CodedLog, parts: np.ndarray) -> DomainCounts:
    """Counts the interactions and users of a split log, or of some whole users of it."""
    domains = len(log.domains)
    domain = log.domain.astype(np.int64)
    cells = np.bincount(domain * NUM_PARTS + parts, minlength=domains * NUM_PARTS)
    in_part = np.zeros((len(log.users), domains, NUM_PARTS), bool)
    in_part[log.user, domain, parts] = True
    in_domain = np.any(in_part, axis=2)
    several = np.greater(in_domain.sum(axis=1), 1)
    return DomainCounts(
        in_domain.sum(axis=0),
        in_domain[several].sum(axis=0),
        cells.reshape(domains, NUM_PARTS),
        in_part[:, :, : len(PARTS)].sum(axis=0),
    )


# So many users of a domain are shown where domains share none.
_SHOWN_USERS = 3


def user_samples(log: CodedLog) -> list[list[str]]:
    """The first few users of each domain, by their ids."""
    samples = []
    for domain in range(len(log.domains)):
        users = np.unique(log.user[log.domain == domain])[:_SHOWN_USERS]
        samples.append([str(user) for user in log.users[users]])
    return samples


def joined_samples(samples: Sequence[Sequence[Sequence[str]]]) -> list[list[str]]:
    """The samples of groups of users as those of all."""
    return [
        sorted(user for of_group in group for user in of_group)[:_SHOWN_USERS]
        for group in zip(*samples, strict=True)
    ]


def overlap_warning(
    domains: Sequence[str], counts: DomainCounts, samples: Sequence[Sequence[str]]
) -> list[str]:
    """A line if no user is in two domains; shows users of each."""
    filled = [place for place, of_domain in enumerate(samples) if of_domain]
    if len(filled) < 2 or counts.elsewhere.any():
        return []
    users = "; ".join(
        f"{domains[place]} has {', '.join(map(shown, samples[place]))}" for place in filled
    )
    return [
        "warning: no user is in two domains, so that what one did in a source says nothing about "
        f"the target; if these are the same people, their ids are written differently: {users}"
    ]


def summary_lines(
    items: ItemTable, counts: DomainCounts, dropped: Mapping[str, int], split_kind: str = ""
) -> list[str]:
    """The lines of the table, from counts over the whole log."""
    rows = []
    for number, name in enumerate(items.domains):
        catalogue = int(np.diff(items.starts)[number])
        parts = counts.parts[number]
        cells = max(1, int(counts.users[number]) * catalogue)
        distinct = parts.sum() - parts[REPEATED]
        rows.append(
            {
                "domain": name,
                "users": f"{counts.users[number]:,}",
                "in others, too": f"{counts.elsewhere[number]:,}",
                "items": f"{catalogue:,}",
                "interactions": f"{parts.sum():,}",
                **{text: f"{count:,}" for text, count in zip(PARTS, parts, strict=False)},
                "no labels": f"{parts[len(PARTS) :].sum():,}",
                "test users": f"{counts.held_out[number, -1]:,}",
                "sparsity": f"{100 * max(0.0, 1 - distinct / cells):.3f}%",
            }
        )
    lines = pd.DataFrame(rows).to_string(index=False).split("\n")
    for name, parts in zip(items.domains, counts.parts, strict=True):
        empty = [text for text, count in zip(PARTS, parts, strict=False) if not count]
        if empty:
            lines.append(f"{name}: n = 0 in {' and '.join(empty)}, so that it can be no target")
    if split_kind == "ratio" and not counts.parts[:, 1 : len(PARTS)].all():
        lines.append(
            "--split.kind=ratio holds out whole interactions: of users with few of them, none; "
            "raise --split.test_share and --split.validation_share, or use leave_one_out"
        )
    return lines + [f"dropped: {what}: {count:,}" for what, count in dropped.items()]
