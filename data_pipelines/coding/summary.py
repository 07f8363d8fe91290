"""A split log as a table for people: domains, parts, cold users, what was dropped."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from data_pipelines.coding.coded_log import CodedLog, ItemCounts, UserCounts
from data_pipelines.logs import PARTS
from data_pipelines.splitting.split_log import TEST, TRAIN, VALIDATION, DomainRoles, SplitLog


def summary_table(split_log: SplitLog) -> str:
    """The split as text: a row for each domain, then the held-out users and what was dropped."""
    codes = CodedLog.of(split_log)
    items, users = codes.item_counts(), codes.user_counts(split_log)
    return "\n".join(summary_lines(split_log, items, users, split_log.dropped))


def summary_lines(
    roles: DomainRoles, items: ItemCounts, users: UserCounts, dropped: Mapping[str, int]
) -> list[str]:
    """The lines of the table, from counts over the whole log."""
    rows = []
    for number, name in enumerate(roles.domains):
        of = items.domains == number
        parts = items.parts[of].sum(axis=0)
        cells = max(1, int(users.by_domain[number]) * int(of.sum()))
        rows.append(
            {
                "domain": name + (" (target)" if name == roles.target else ""),
                "users": f"{users.by_domain[number]:,}",
                "items": f"{of.sum():,}",
                "interactions": f"{parts.sum():,}",
                **{text: f"{count:,}" for text, count in zip(PARTS, parts, strict=True)},
                "users in target": f"{users.in_target[number]:,}" if roles.target else "-",
                "sparsity": f"{100 * (1 - parts.sum() / cells):.3f}%",
            }
        )
    lines = pd.DataFrame(rows).to_string(index=False).split("\n")
    if roles.target:
        parts = items.parts[items.domains == roles.target_number]
        untrained = parts[parts[:, TRAIN] == 0].sum(axis=0)
        lines += [_held_out_line(number, users, untrained) for number in (VALIDATION, TEST)]
    return lines + [f"dropped: {what}: {count:,}" for what, count in dropped.items()]


def _held_out_line(part: int, users: UserCounts, untrained: np.ndarray) -> str:
    """How many held-out users are cold, and how many held-out items were never trained on."""
    return (
        f"{PARTS[part]}: {users.held_out[part]:,} users, {users.cold[part]:,} of them cold; "
        f"{untrained[part]:,} interactions with items that do not train"
    )
