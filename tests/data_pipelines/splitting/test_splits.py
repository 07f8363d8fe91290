import collections

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest

from data_pipelines.coding.summary import summary_table
from data_pipelines.errors import DataError
from data_pipelines.logs import PARTS, InteractionLog
from data_pipelines.splitting.split_log import SplitOptions
from data_pipelines.splitting.splits import split

COLUMNS = ["user_id", "item_id", "domain", "timestamp"]


def log_of(rows, comparable_times=True, columns=COLUMNS, **rest):
    frame = pd.DataFrame(rows, columns=columns)
    domains = tuple(sorted(frame["domain"].unique()))
    return InteractionLog(frame, domains, comparable_times, **rest)


def parts_of(result, *columns):
    names = list(columns or ["user_id", "item_id", "part"])
    return list(result.interactions[names].itertuples(index=False, name=None))


def target_rows(result):
    return result.interactions[result.interactions["domain"] == result.target]


# By hand


def test_leave_one_out_by_hand():
    log = log_of(
        [
            ("u", "t3", "T", 30),
            ("u", "t1", "T", 10),
            ("u", "s1", "S", 15),
            ("v", "t1", "T", 1),
            ("v", "t2", "T", 2),
            ("u", "t2", "T", 20),
            ("u", "t4", "T", 20),  # as old as t2, and after it in the file
            ("v", "s2", "S", 3),
        ]
    )
    result = split(
        log, SplitOptions(target="T", source_validation_share=0.0, source_test_share=0.0)
    )
    assert parts_of(result) == [
        ("u", "t1", "train"),
        ("u", "s1", "train"),
        ("u", "t2", "train"),
        ("u", "t4", "validation"),
        ("u", "t3", "test"),
        ("v", "s2", "train"),
    ]
    assert result.dropped == {
        "target interactions of users with fewer than 3": 2,
        "users with fewer than 3 target interactions": 1,
    }
    assert (result.target, result.sources, result.domains) == ("T", ("S",), ("S", "T"))


def test_ratio_by_hand():
    rows = [("u", f"t{k}", "T", k) for k in range(10)] + [("v", "t1", "T", 0), ("u", "s", "S", 0)]
    options = SplitOptions(
        target="T",
        kind="ratio",
        validation_share=0.3,
        test_share=0.2,
        source_validation_share=0.0,
        source_test_share=0.0,
    )
    rows = target_rows(split(log_of(rows), options))
    assert rows["part"].tolist() == ["train"] * 5 + ["validation"] * 3 + ["test"] * 2 + ["train"]


def test_repeats_in_the_target_count_once_and_repeats_in_the_source_stay():
    log = log_of(
        [("u", item, "T", time) for time, item in enumerate("abcacbd")]
        + [("u", "s", "S", 1), ("u", "s", "S", 2)]
    )
    result = split(log, SplitOptions(target="T", source_validation_share=0, source_test_share=0))
    rows = target_rows(result)
    assert list(zip(rows["item_id"], rows["timestamp"], rows["part"], strict=True)) == [
        ("a", 0, "train"),
        ("b", 1, "train"),
        ("c", 2, "validation"),
        ("d", 6, "test"),
    ]
    assert (result.interactions["domain"] == "S").sum() == 2
    assert result.dropped == {"repeated target interactions": 3}


def test_k_core_is_iterated_to_the_fixed_point():
    # v leaves first (1 interaction); then b has one user; then w, who has only c left, leaves.
    log = log_of(
        [
            ("u", "a", "S", 0),
            ("u", "c", "S", 0),
            ("x", "a", "S", 0),
            ("x", "c", "S", 0),
            ("v", "b", "S", 0),
            ("w", "b", "S", 0),
            ("w", "c", "S", 0),
        ]
    )
    result = split(
        log,
        SplitOptions(
            min_user_interactions=2,
            min_item_interactions=2,
            source_validation_share=0,
            source_test_share=0,
        ),
    )
    assert [row[:2] for row in parts_of(result)] == [("u", "a"), ("u", "c"), ("x", "a"), ("x", "c")]
    assert result.dropped == {"interactions outside the k-core": 3}


def test_the_same_item_id_in_two_domains_is_two_items():
    rows = [("u", "1", "S", 0), ("v", "1", "S", 1), ("u", "1", "T", 2), ("v", "2", "T", 3)]
    options = SplitOptions(target="T", kind="ratio", min_item_interactions=2)
    with pytest.raises(DataError, match="domain 'T' has no interaction left"):
        split(log_of(rows), options)


def test_a_given_split_is_kept_and_source_users_are_still_drawn():
    rows = [(f"u{k}", "t", "T", k, PARTS[k % 3]) for k in range(6)]
    rows += [(f"u{k}", "s", "S", 0, "train") for k in range(6)]
    log = log_of(rows, columns=[*COLUMNS, "part"])
    result = split(
        log,
        SplitOptions(target="T", kind="given", source_validation_share=0.5, source_test_share=0),
    )
    assert target_rows(result)["part"].tolist() == [PARTS[k % 3] for k in range(6)]
    sources = result.interactions[result.interactions["domain"] == "S"]
    assert collections.Counter(sources["part"]) == {"train": 3, "validation": 3}


def test_a_given_split_never_keeps_a_training_item_as_a_test_item():
    rows = [("u", "t", "T", 0, "test"), ("u", "t", "T", 1, "train"), ("u", "s", "S", 0, "train")]
    result = split(log_of(rows, columns=[*COLUMNS, "part"]), SplitOptions(target="T", kind="given"))
    assert target_rows(result)["part"].tolist() == ["train"]
    assert result.dropped == {"repeated target interactions": 1}


def test_given_parts_of_sources_are_kept_by_user_or_refused():
    columns = [*COLUMNS, "part"]
    rows = [
        ("u", "t", "T", 0, "train"),
        ("u", "s", "S", 0, "validation"),
        ("v", "s", "S", 0, "train"),
    ]
    result = split(log_of(rows, columns=columns), SplitOptions(target="T", kind="given"))
    assert parts_of(result, "user_id", "domain", "part") == [
        ("u", "T", "train"),
        ("u", "S", "validation"),
        ("v", "S", "train"),
    ]
    with pytest.raises(DataError, match="user_id 'u' has source interactions in several parts"):
        split(
            log_of([*rows, ("u", "s2", "S", 0, "train")], columns=columns),
            SplitOptions(target="T", kind="given"),
        )


def many(users=200, target_events=4):
    rows = [(f"u{u}", f"s{u % 7}", "S", 0) for u in range(users)]
    rows += [(f"u{u}", f"t{k}", "T", k) for u in range(users) for k in range(target_events)]
    rows += [("only target", f"t{k}", "T", k) for k in range(target_events)]
    return log_of(rows)


def held_out_users(result):
    """Users all of whose target interactions are in one part, by that part."""
    rows = target_rows(result)
    of = rows.groupby("user_id")["part"].agg(set)
    return {part: set(of.index[of == {part}]) for part in ("validation", "test")}


@pytest.mark.parametrize("kind", ["leave_one_out", "ratio"])
def test_cold_users_have_no_target_training_and_are_half_validation_half_test(kind):
    result = split(many(), SplitOptions(target="T", kind=kind, cold_share=0.1))
    users = held_out_users(result)
    assert len(users["validation"]) == len(users["test"]) == 10
    assert "only target" not in users["validation"] | users["test"]
    warm = split(many(), SplitOptions(target="T", kind=kind))
    assert held_out_users(warm) == {"validation": set(), "test": set()}


def test_cold_users_need_no_three_interactions():
    result = split(
        many(users=10, target_events=2), SplitOptions(target="T", kind="ratio", cold_share=0.4)
    )
    assert [len(users) for users in held_out_users(result).values()] == [2, 2]


def test_a_split_by_user_holds_out_the_exact_shares():
    options = SplitOptions(target="T", kind="user", validation_share=0.25, test_share=0.1)
    users = held_out_users(split(many(users=199), options))
    assert (len(users["validation"]), len(users["test"])) == (50, 20)


def test_source_users_are_drawn_and_the_same_in_all_source_domains():
    rows = [(f"u{u}", "i", domain, 0) for u in range(100) for domain in "AB"]
    options = SplitOptions(source_validation_share=0.2, source_test_share=0.1)
    result = split(log_of(rows), options)
    per_user = result.interactions.groupby("user_id")["part"].agg(set)
    assert all(len(parts) == 1 for parts in per_user)
    counts = collections.Counter(next(iter(parts)) for parts in per_user)
    assert counts == {"train": 70, "validation": 20, "test": 10}


def test_draws_depend_on_the_seed_and_not_on_the_order_of_rows():
    options = SplitOptions(target="T", cold_share=0.2, seed=3)
    log = many()
    shuffled = log.interactions.sample(frac=1.0, random_state=1)
    other = InteractionLog(shuffled, log.domains, log.comparable_times)
    assert sorted(parts_of(split(log, options))) == sorted(parts_of(split(other, options)))
    again = SplitOptions(target="T", cold_share=0.2, seed=4)
    assert held_out_users(split(log, options)) != held_out_users(split(log, again))


def test_draws_are_the_same_on_every_machine():
    users = held_out_users(split(many(), SplitOptions(target="T", kind="user", seed=1)))
    assert sorted(users["test"])[:5] == ["u106", "u117", "u118", "u121", "u125"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"target": "X"}, "--split.target=X: the log has no such domain; it has S, T"),
        ({"target": "T", "kind": "given"}, "the log has no part column"),
        ({"target": "T", "min_user_interactions": 9}, "has no interaction left to train on"),
    ],
)
def test_splits_that_cannot_be_made_say_so(options, expected):
    with pytest.raises(DataError) as caught:
        split(many(), SplitOptions(**options))
    assert expected in str(caught.value)


def test_a_target_may_be_the_only_domain():
    rows = [("u", f"i{time}", "T", time) for time in range(4)]
    result = split(log_of(rows), SplitOptions(target="T"))
    assert result.sources == ()
    assert result.interactions["part"].tolist() == ["train", "train", "validation", "test"]


@pytest.mark.parametrize(
    "options",
    [
        {"kind": "random"},
        {"kind": "ratio", "validation_share": 0.6, "test_share": 0.4},
        {"kind": "ratio", "test_share": -0.1},
        {"kind": "ratio", "test_share": 1.0},
        {"source_validation_share": 0.5, "source_test_share": 0.5},
        {"cold_share": 1.0},
        {"cold_share": 0.1, "kind": "user"},
        {"cold_share": 0.1, "kind": "given"},
        {"test_share": 0.2, "kind": "leave_one_out"},
        {"validation_share": 0.2, "kind": "given"},
        {"min_user_interactions": 0},
        {"min_item_interactions": 0},
    ],
)
def test_options_out_of_range_are_refused(options):
    with pytest.raises(DataError):
        SplitOptions(**options)


def test_the_summary_counts_by_hand():
    log = log_of(
        [("u", f"t{k}", "T", k) for k in range(4)]
        + [("v", "t1", "T", 1), ("u", "s", "S", 0), ("w", "s", "S", 0)],
        skipped_lines=2,
        left_out={"items of none of the named categories": 5},
    )
    text = summary_table(split(log, SplitOptions(target="T")))
    lines = text.splitlines()
    header = "domain users items interactions train validation test users in target sparsity"
    assert lines[0].split() == header.split()
    assert lines[1].split() == ["S", "2", "1", "2", "2", "0", "0", "1", "0.000%"]
    assert lines[2].split() == ["T", "(target)", "1", "4", "4", "2", "1", "1", "1", "0.000%"]
    assert lines[3:] == [
        "validation: 1 users, 0 of them cold; 1 interactions with items that do not train",
        "test: 1 users, 0 of them cold; 1 interactions with items that do not train",
        "dropped: items of none of the named categories: 5",
        "dropped: bad lines: 2",
        "dropped: target interactions of users with fewer than 3: 1",
        "dropped: users with fewer than 3 target interactions: 1",
    ]


# Properties

events = st.tuples(
    st.sampled_from([f"u{k}" for k in range(8)]),
    st.sampled_from([f"i{k}" for k in range(12)]),
    st.sampled_from(["S", "T", "R"]),
    st.integers(0, 20),
    st.sampled_from(PARTS),
)
# Some rows that every log has: no domain is ever empty.
given = [
    (f"u{user}", f"i{item}", domain, 5, "train")
    for user in range(3)
    for item in range(3)
    for domain in "RST"
]
logs = st.lists(events, min_size=10, max_size=80).map(
    lambda rows: log_of(
        # The number of the row travels as rating: it tells rows apart that are otherwise equal.
        [(*row, number) for number, row in enumerate(rows + given)],
        columns=[*COLUMNS, "part", "rating"],
    )
)
kinds = st.sampled_from(
    [
        {"kind": "leave_one_out"},
        {"kind": "leave_one_out", "cold_share": 0.3},
        {"kind": "ratio", "validation_share": 0.2, "test_share": 0.3, "cold_share": 0.3},
        {"kind": "user", "validation_share": 0.2, "test_share": 0.3},
    ]
)
cores = st.sampled_from([(1, 1), (3, 2)])


@hypothesis.given(logs, kinds, cores, st.integers(0, 5))
def test_no_interaction_is_lost_or_invented_and_no_test_item_trains(log, kind, core, seed):
    options = SplitOptions(
        target="T", min_user_interactions=core[0], min_item_interactions=core[1], seed=seed, **kind
    )
    result = split(log, options)
    before, after = log.interactions, result.interactions

    # Every row is one of the log's, as it was, at most once; the others are counted.
    numbers = after["rating"].astype(int).to_numpy()
    assert len(set(numbers)) == len(numbers)
    pd.testing.assert_frame_equal(
        after.drop(columns="part"),
        before.drop(columns="part").iloc[numbers].reset_index(drop=True),
    )
    dropped = sum(n for what, n in result.dropped.items() if not what.startswith("users"))
    assert len(before) == len(after) + dropped

    # Sorted by user, time and place in the file.
    keys = list(zip(after["user_id"], after["timestamp"], numbers, strict=True))
    assert keys == sorted(keys)

    # What is held out does not train, and is not older than what trains.
    target = after[after["domain"] == "T"]
    for _, of in target.groupby("user_id"):
        assert of["item_id"].is_unique
        order = of["part"].map(PARTS.index).to_numpy()
        assert (np.diff(order) >= 0).all()
        if kind["kind"] == "leave_one_out" and len(set(order)) > 1:
            assert (order == 2).sum() == (order == 1).sum() == 1
            assert (order == 0).sum() >= 1

    # A user's source interactions are all in one part.
    sources = after[after["domain"] != "T"]
    assert all(len(set(parts)) == 1 for _, parts in sources.groupby("user_id")["part"])


@hypothesis.given(logs)
def test_the_k_core_is_the_largest_one(log):
    options = SplitOptions(min_user_interactions=3, min_item_interactions=3)
    kept = {int(n) for n in split(log, options).interactions["rating"]}
    alive = log.interactions
    while True:  # the plain way: take away until nothing changes
        users = alive.groupby(["domain", "user_id"])["rating"].transform("size")
        items = alive.groupby(["domain", "item_id"])["rating"].transform("size")
        if ((users >= 3) & (items >= 3)).all():
            break
        alive = alive[(users >= 3) & (items >= 3)]
    assert kept == {int(n) for n in alive["rating"]}
