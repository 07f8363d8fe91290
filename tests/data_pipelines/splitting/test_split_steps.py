"""The steps of a split and of coding, taken over groups of users, give what they give in one go."""

import collections
import functools
import operator

import hypothesis
import numpy as np
import pandas as pd
import pytest
from hypothesis import strategies as st

from data_pipelines.coding import user_histories, vocabulary
from data_pipelines.coding.coded_log import CodedLog
from data_pipelines.coding.summary import domain_counts, summary_lines
from data_pipelines.errors import DataError
from data_pipelines.logs import PARTS
from data_pipelines.parts import TRAIN
from data_pipelines.splitting import splits
from data_pipelines.splitting.split_log import SplitOptions
from tests.data_pipelines.small_logs import log_of, rows_of

events = st.tuples(
    st.sampled_from([f"u{k}" for k in range(8)]),
    st.sampled_from([f"i{k}" for k in range(12)]),
    st.sampled_from(["S", "T", "R"]),
    st.integers(0, 20),
    st.sampled_from(PARTS),
)
whole = [
    (f"u{u}", f"i{i}", domain, 5, "train") for u in range(3) for i in range(4) for domain in "RST"
]
kinds = st.sampled_from(
    [
        {"kind": "leave_one_out", "repeats": "all"},
        {"kind": "last_of_all"},
        {"kind": "ratio", "validation_share": 0.2, "test_share": 0.3},
        {"kind": "user", "validation_share": 0.2, "test_share": 0.3},
        {"kind": "time", "validation_share": 0.2, "test_share": 0.3},
        {"kind": "given"},
    ]
)


def by_groups(log, options, group_of):
    """Splits and codes the log group by group, as workers do that see no other users.

    Returns:
      The split rows by user, the digest of the histories and the lines of the summary.
    """
    splits.check(log.comparable_times, set(log.interactions), options)
    numbers = log.interactions["user_id"].map(group_of)
    groups = [
        CodedLog.of(rows.reset_index(drop=True), log.domains, log.comparable_times)
        for _, rows in log.interactions.groupby(numbers)
    ]
    found = [splits.candidates(group, options) for group in groups]
    rare = set()
    while True:
        names = [list(zip(one.log.item_domains, one.log.item_ids, strict=True)) for one in found]
        left = [
            splits.without_rare(one, np.array([item in rare for item in items], bool), options)
            for one, items in zip(found, names, strict=True)
        ]
        counts = collections.Counter()
        for one, items in zip(left, names, strict=True):
            counts.update(dict(zip(items, splits.item_counts(one).tolist(), strict=True)))
        now = {item for item, number in counts.items() if number < options.min_item_interactions}
        if now <= rare:
            break
        rare |= now

    counted = [splits.census(one, options) for one in left]
    plan = splits.plan(splits.join_censuses(counted), options)
    ends = np.cumsum([len(one.user_ids) for one in counted])[:-1]
    parts = [
        splits.assign(one, splits.Plan(users, plan.cut_times), options)
        for one, users in zip(left, np.split(plan.users, ends), strict=True)
    ]
    trained = sum(int((part.parts == TRAIN).sum()) for part in parts)
    splits.require_training({"all": trained}, options)
    dropped = collections.Counter(splits.dropped_before(log.left_out, log.skipped_lines))
    for part in parts:
        dropped.update(part.dropped)

    counts = [user_histories.item_counts(part.log, part.parts) for part in parts]
    table = pd.concat(
        pd.DataFrame(
            {"id": part.log.item_ids, "domain": part.log.item_domains}
            | dict(enumerate(one.parts.T))
        )[one.used]
        for part, one in zip(parts, counts, strict=True)
    )
    table = table.groupby(["id", "domain"], as_index=False).sum()
    columns = (table["id"].to_numpy(object), table["domain"].to_numpy(np.int8))
    items, ids = vocabulary.ranked(
        log.domains, *columns, np.full(len(table), "", object), table[[0, 1, 2]].to_numpy()
    )
    id_of = dict(zip(zip(columns[1], columns[0], strict=True), ids, strict=True))
    logs = [part.log for part in parts]
    users = sorted(user for one in logs for user in one.users[np.flatnonzero(np.diff(one.offsets))])
    digest = 0
    for part, one in zip(parts, logs, strict=True):
        present = np.flatnonzero(np.diff(one.offsets))
        numbers = np.array([users.index(user) + 1 for user in one.users[present]], np.int64)
        pairs = zip(one.item_domains, one.item_ids, strict=True)
        of_codes = np.array([id_of.get(pair, 0) for pair in pairs], np.int64)
        digest += user_histories.with_ids(one, part.parts, present, numbers, of_codes).digest()
    total = functools.reduce(operator.add, (domain_counts(part.log, part.parts) for part in parts))
    rows = sorted((row for part in parts for row in rows_of(part)), key=lambda row: row[0])
    lines = summary_lines(items, total, splits.without_zeros(dropped))
    return rows, digest % user_histories.DIGEST_RANGE, lines


@hypothesis.given(
    st.lists(events, min_size=5, max_size=60),
    kinds,
    st.sampled_from([(1, 1), (3, 2), (1, 4), (4, 1)]),
    st.integers(0, 3),
    st.lists(st.integers(0, 3), min_size=8, max_size=8),
)
def test_groups_of_users_add_up_to_the_whole(rows, kind, core, seed, group):
    log = log_of(
        rows + whole, "part", domains=("S", "T", "R"), skipped_lines=2, left_out={"odd": 3}
    )
    options = SplitOptions(
        **kind, min_user_interactions=core[0], min_item_interactions=core[1], seed=seed
    )

    def found():
        return by_groups(log, options, lambda user: group[int(user[1:])])

    try:
        expected = splits.split(log, options)
    except DataError:
        with pytest.raises(DataError):
            found()
        return
    numbered = user_histories.number(expected.log, expected.parts)
    counts = domain_counts(expected.log, expected.parts)
    lines = summary_lines(numbered.items, counts, expected.dropped)
    assert found() == (rows_of(expected), numbered.histories.digest(), lines)


def test_the_summary_counts_by_hand():
    rows = [("u", f"t{k}", "T", k) for k in range(4)] + [("u", "t3", "T", 9)]
    rows += [("v", "t1", "T", 1), ("u", "s", "S", 0), ("w", "s", "S", 0)]
    left_out = {"items of none of the named categories": 5}
    result = splits.split(log_of(rows, skipped_lines=2, left_out=left_out), SplitOptions())
    items = user_histories.number(result.log, result.parts).items
    lines = summary_lines(items, domain_counts(result.log, result.parts), result.dropped)
    assert [line.split() for line in lines[1:3]] == [
        ["S", "2", "1", "1", "2", "0", "0", "0", "2", "0", "0.000%"],
        ["T", "2", "1", "4", "6", "2", "1", "1", "2", "1", "37.500%"],
    ]
    assert "in others, too" in lines[0] and "no labels" in lines[0]
    assert lines[3:] == [
        "S: n = 0 in train and validation and test, so that it can be no target",
        "dropped: items of none of the named categories: 5",
        "dropped: bad lines: 2",
    ]
