"""The steps of a split and of coding, taken over groups of users, give what they give in one go."""

import collections
import dataclasses

import hypothesis
import numpy as np
import pandas as pd
import pytest
from hypothesis import strategies as st

from data_pipelines.coding import user_histories
from data_pipelines.coding.coded_log import CodedLog, ItemCounts
from data_pipelines.coding.summary import summary_lines, summary_table
from data_pipelines.errors import DataError
from data_pipelines.logs import PARTS, InteractionLog
from data_pipelines.splitting import splits
from data_pipelines.splitting.split_log import DomainRoles, SplitOptions
from data_pipelines.splitting.user_draws import Census, Drawn, draw

events = st.tuples(
    st.sampled_from([f"u{k}" for k in range(8)]),
    st.sampled_from([f"i{k}" for k in range(12)]),
    st.sampled_from(["S", "T", "R"]),
    st.integers(0, 20),
    st.sampled_from(PARTS),
)
columns = ["user_id", "item_id", "domain", "timestamp", "part"]
whole = [
    (f"u{u}", f"i{i}", domain, 5, "train") for u in range(3) for i in range(4) for domain in "RST"
]
kinds = st.sampled_from(
    [
        {"target": ""},
        {"kind": "leave_one_out"},
        {"kind": "leave_one_out", "cold_share": 0.3},
        {"kind": "ratio", "validation_share": 0.2, "test_share": 0.3, "cold_share": 0.3},
        {"kind": "user", "validation_share": 0.2, "test_share": 0.3},
        {"kind": "given"},
    ]
)


@dataclasses.dataclass
class Whole:
    """What the steps over all groups add up to."""

    rows: pd.DataFrame
    items: ItemCounts
    digest: int
    summary: list


def by_groups(log, options, group_of):
    """Splits and codes the log group by group, as workers do that see no other users."""
    roles = DomainRoles(log.domains, options.target, log.comparable_times)
    splits.check(log.domains, set(log.interactions), options)
    numbers = log.interactions["user_id"].map(group_of)
    groups = [rows.reset_index(drop=True) for _, rows in log.interactions.groupby(numbers)]
    tables = [splits.candidates(rows, roles, options) for rows in groups]

    def items_of(table):
        first = table.table.item_rows
        rows = table.rows.iloc[first]
        return list(zip(rows["domain"], rows["item_id"], strict=True))

    rare = set()
    while True:
        left = [
            splits.without_rare(
                table, np.array([item in rare for item in items_of(table)], bool), options
            )
            for table in tables
        ]
        counts = collections.Counter()
        for table in left:
            names = items_of(table)
            counts.update(names[item] for item in table.table.item[table.kept])
        now = {item for item, count in counts.items() if count < options.min_item_interactions}
        if not now:
            break
        rare |= now

    found = [splits.census(table, options) for table in left]
    census = Census(
        np.concatenate([one.user_ids for one in found]),
        np.concatenate([one.in_source for one in found]),
        np.concatenate([one.in_target for one in found]),
        any(one.sources_given for one in found),
    )
    drawn = draw(census, options)
    ends = np.cumsum([len(one.user_ids) for one in found])[:-1]
    targets = np.split(drawn.target, ends)
    sources = [None] * len(found) if drawn.source is None else np.split(drawn.source, ends)
    parts = [
        splits.assign(table, Drawn(target, source), options)
        for table, target, source in zip(left, targets, sources, strict=True)
    ]

    codes = [CodedLog.of(part) for part in parts]
    counted = [one.item_counts() for one in codes]
    frame = pd.concat(
        pd.DataFrame(
            {"item_ids": one.item_ids, "domains": one.domains, "trained": one.trained}
            | dict(zip(PARTS, one.parts.T, strict=True))
        )
        for one in counted
    )
    frame = frame.groupby(["item_ids", "domains"], as_index=False).sum()
    items = ItemCounts(
        frame["item_ids"].to_numpy(dtype=object),
        frame["domains"].to_numpy(),
        frame[list(PARTS)].to_numpy(),
        frame["trained"].to_numpy(),
    )
    _, ids = user_histories.number_items(roles, items)
    id_of = dict(zip(zip(items.item_ids, items.domains, strict=True), ids, strict=True))
    users = sorted(user for one in codes for user in one.users)
    histories = [
        user_histories.with_ids(
            one,
            np.array([users.index(user) + 1 for user in one.users], np.int64),
            np.array(
                [id_of[pair] for pair in zip(one.item_ids, one.item_domains, strict=True)], np.int64
            ),
            np.zeros(0, np.int64),
        )
        for one in codes
    ]
    dropped = collections.Counter(splits.dropped_before(log.left_out, log.skipped_lines))
    for part in parts:
        dropped.update(part.dropped)
    user_counts = [one.user_counts(roles) for one in codes]
    total = sum(user_counts[1:], user_counts[0])
    return Whole(
        rows=pd.concat([part.interactions for part in parts]).sort_values("user_id", kind="stable"),
        items=items,
        digest=sum(one.digest() for one in histories) % user_histories.DIGEST_RANGE,
        summary=summary_lines(roles, items, total, splits.without_zeros(dropped)),
    )


@hypothesis.given(
    st.lists(events, min_size=5, max_size=60),
    kinds,
    st.sampled_from([(1, 1), (3, 2), (1, 4), (4, 1)]),
    st.booleans(),
    st.integers(0, 3),
    st.lists(st.integers(0, 3), min_size=8, max_size=8),
)
def test_groups_of_users_add_up_to_the_whole(rows, kind, core, comparable, seed, group):
    log = InteractionLog(
        pd.DataFrame(rows + whole, columns=columns), ("S", "T", "R"), comparable, 2, {"odd": 3}
    )
    options = SplitOptions(
        **{"target": "T", **kind},
        min_user_interactions=core[0],
        min_item_interactions=core[1],
        seed=seed,
    )
    try:
        expected = splits.split(log, options)
    except DataError as error:
        if "has no interaction left" in str(error):
            return  # The caller of the steps checks the sums.
        with pytest.raises(DataError, match="has source interactions in several parts"):
            by_groups(log, options, lambda user: group[int(user[1:])])
        return
    found = by_groups(log, options, lambda user: group[int(user[1:])])
    pd.testing.assert_frame_equal(
        found.rows.reset_index(drop=True), expected.interactions, check_dtype=False
    )
    assert found.digest == user_histories.number(expected).histories.digest()
    assert found.summary == summary_table(expected).splitlines()
