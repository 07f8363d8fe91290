import collections
import itertools

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from data_pipelines.errors import DataError
from data_pipelines.logs import PARTS, InteractionLog
from data_pipelines.parts import REPEATED, TEST, TOO_FEW, TRAIN, VALIDATION
from data_pipelines.splitting.split_log import SplitOptions
from data_pipelines.splitting.splits import split
from data_pipelines.splitting.user_draws import draw
from tests.data_pipelines.small_logs import log_of, rows_of

NAMES = {TRAIN: "train", VALIDATION: "validation", TEST: "test", REPEATED: "again", TOO_FEW: "few"}


def parts_of(log, **options):
    """Item -> names of the parts of its interactions, in the order of time."""
    found = collections.defaultdict(list)
    for _, item, _, _, part, _ in rows_of(split(log, SplitOptions(**options))):
        found[item].append(NAMES[part])
    return {item: " ".join(parts) for item, parts in found.items()}


# By hand


def test_leave_one_out_by_hand():
    log = log_of(
        [
            ("u", "t3", "T", 30),
            ("u", "t1", "T", 10),
            ("u", "s1", "S", 15),
            ("v", "t5", "T", 1),
            ("v", "t6", "T", 2),
            ("u", "t2", "T", 20),
            ("u", "t4", "T", 20),  # as old as t2, and after it in the file
            ("v", "s2", "S", 3),
            ("v", "s3", "S", 4),
            ("v", "s4", "S", 2),
        ]
    )
    # Every domain is split by the same rule; u has too few in S, v in T.
    assert parts_of(log) == {
        "t1": "train",
        "t2": "train",
        "t4": "validation",
        "t3": "test",
        "s1": "few",
        "t5": "few",
        "t6": "few",
        "s4": "train",
        "s2": "validation",
        "s3": "test",
    }
    # Of the whole sequence, v has enough.
    assert parts_of(log, kind="last_of_all") == {
        "t1": "train",
        "s1": "train",
        "t2": "train",
        "t4": "validation",
        "t3": "test",
        "t5": "train",
        "t6": "train",
        "s4": "train",
        "s2": "validation",
        "s3": "test",
    }


def test_ratio_by_hand():
    rows = [("u", f"t{k}", "T", k) for k in range(10)] + [("v", "t", "T", 0), ("u", "s", "S", 0)]
    shares = {"validation_share": 0.3, "test_share": 0.2}
    names = parts_of(log_of(rows), kind="ratio", **shares)
    expected = ["train"] * 5 + ["validation"] * 3 + ["test"] * 2
    assert [names[f"t{k}"] for k in range(10)] == expected
    assert (names["t"], names["s"]) == ("train", "train")  # The only one of a user trains.


def test_repeats_are_no_labels_or_interactions_like_any_other():
    log = log_of(
        [("u", item, "T", time) for time, item in enumerate("abcacbd")]
        + [("u", "a", "S", 1), ("u", "a", "S", 2)]
    )
    first = [
        part for *_, domain, _, part, _ in rows_of(split(log, SplitOptions())) if domain == "T"
    ]
    assert [NAMES[part] for part in first] == [
        *("train", "train", "validation", "again", "again", "again", "test")
    ]
    every = rows_of(split(log, SplitOptions(repeats="all")))
    assert [NAMES[part] for _, _, domain, _, part, _ in every if domain == "T"] == [
        *["train"] * 5, "validation", "test"
    ]  # fmt: skip


def test_time_by_hand():
    rows = [("u", f"i{k}", "ST"[k % 2], k // 2) for k in range(20)]
    assert parts_of(log_of(rows), kind="time", cut_times=(3, 8)) == {
        f"i{k}": "train" if k < 6 else "validation" if k < 16 else "test" for k in range(20)
    }
    # Two of a time: the shares are not exceeded.
    shares = parts_of(log_of(rows), kind="time", validation_share=0.25, test_share=0.1)
    assert collections.Counter(shares.values()) == {"train": 14, "validation": 4, "test": 2}
    none = split(log_of(rows), SplitOptions(kind="time", validation_share=0.1, test_share=0.0))
    assert none.cut_times == (9, 10)
    # Nothing validates where both cut-offs are one time.
    assert "validation" not in parts_of(log_of(rows), kind="time", cut_times=(5, 5)).values()


def test_k_core_is_iterated_to_the_fixed_point():
    # v leaves first (1 interaction); then b has one user; then w, who has only c left, leaves.
    rows = [(user, item, "S", 0) for user, item in ("ua", "uc", "xa", "xc", "vb", "wb", "wc")]
    options = SplitOptions(kind="ratio", min_user_interactions=2, min_item_interactions=2)
    result = split(log_of(rows), options)
    assert [row[:2] for row in rows_of(result)] == [("u", "a"), ("u", "c"), ("x", "a"), ("x", "c")]
    assert result.dropped == {"interactions outside the k-core": 3}
    # Repeats do not make an item or a user frequent, and stay with those that are.
    again = [*rows, ("v", "b", "S", 1), ("u", "a", "S", 1)]
    assert len(rows_of(split(log_of(again), options))) == 5


def test_the_same_item_id_in_two_domains_is_two_items():
    rows = [("u", "1", "S", 0), ("v", "1", "S", 1), ("u", "1", "T", 2), ("v", "2", "T", 3)]
    result = split(log_of(rows), SplitOptions(kind="ratio", min_item_interactions=2))
    assert {row[2] for row in rows_of(result)} == {"S"}


def test_a_given_split_is_kept_but_an_item_that_trains_does_not_test():
    rows = [
        ("u", "t", "T", 0, "test"),
        ("u", "t", "T", 1, "train"),
        ("u", "x", "T", 2, "validation"),
        ("u", "s", "S", 0, "test"),
    ]
    log = log_of(rows, "part")
    assert parts_of(log, kind="given") == {"t": "again train", "x": "validation", "s": "test"}
    assert parts_of(log, kind="given", repeats="all")["t"] == "test train"


def test_dropped_counts_what_the_reader_left_out():
    rows = [("u", f"i{k}", "S", k) for k in range(4)]
    log = log_of(rows, skipped_lines=2, left_out={"of no category": 5})
    assert split(log, SplitOptions()).dropped == {"of no category": 5, "bad lines": 2}


# Draws of users


def test_a_split_by_user_holds_out_the_exact_shares_of_each_domain():
    rows = [(f"u{u}", f"i{k}", "T", k) for u in range(199) for k in range(3)]
    rows += [(f"u{u}", "i", "S", 0) for u in range(40)]
    log = log_of(rows)
    options = {"kind": "user", "validation_share": 0.25, "test_share": 0.1}
    found = collections.defaultdict(set)
    for user, _, domain, _, part, _ in rows_of(split(log, SplitOptions(**options))):
        found[domain, user].add(part)
    assert all(len(parts) == 1 for parts in found.values())
    counts = collections.Counter((domain, *parts) for (domain, _), parts in found.items())
    assert (counts["T", VALIDATION], counts["T", TEST]) == (50, 20)
    assert (counts["S", VALIDATION], counts["S", TEST]) == (10, 4)
    # Whatever the order of rows, and for another seed others.
    shuffled = log.interactions.sample(frac=1.0, random_state=1)
    other = InteractionLog(shuffled, log.domains, True)
    assert by_user(split(other, SplitOptions(**options))) == by_user(
        split(log, SplitOptions(**options))
    )
    again = split(log, SplitOptions(**options, seed=1))
    assert by_user(again) != by_user(split(log, SplitOptions(**options)))


def by_user(result):
    return {row[0]: row[4] for row in rows_of(result) if row[2] == "T"}


def test_draws_are_the_same_on_every_machine_and_independent():
    users = np.array([f"u{k}" for k in range(200)], object)
    everybody = np.ones(200, bool)
    drawn = draw(users, everybody, 1, "user", 0.1, 0.1)
    assert sorted(users[drawn == TEST])[:5] == ["u106", "u117", "u118", "u121", "u125"]
    assert (drawn == VALIDATION).sum() == (drawn == TEST).sum() == 20
    other = draw(users, everybody, 1, "cold", 0.1, 0.1)
    assert (drawn != other).any()
    some = draw(users, np.arange(200) < 50, 1, "user", 0.5, 0.1)
    assert (some[50:] == TRAIN).all()
    assert ((some == VALIDATION).sum(), (some == TEST).sum()) == (25, 5)


# Mistakes

CUT = {"kind": "time", "cut_times": (3, 8)}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"kind": "given"}, "the log has no part column"),
        ({"min_user_interactions": 9}, "no domain has an interaction left"),
        ({"kind": "time", "cut_times": (0, 2)}, "0 lies outside the log, .* from 0 to 3"),
        ({"kind": "time", "cut_times": (1, 4)}, "4 lies outside the log"),
        (
            {"kind": "time", "min_item_interactions": 99},
            "no domain has an interaction left to train on",
        ),
    ],
)
def test_splits_that_cannot_be_made_say_so(options, expected):
    log = log_of([("u", f"i{k}", "T", k) for k in range(4)])
    with pytest.raises(DataError, match=expected):
        split(log, SplitOptions(**options))


@pytest.mark.parametrize("kind", ["time", "last_of_all"])
def test_times_that_cannot_be_compared_split_no_sequences(kind):
    log = log_of([("u", f"i{k}", "T", k) for k in range(4)], comparable_times=False)
    with pytest.raises(DataError, match=f"kind={kind} compares times between domains"):
        split(log, SplitOptions(kind=kind))


def test_a_log_with_negatives_keeps_its_split_and_its_items():
    rows = [("u", f"i{k}", "T", k, PARTS[k % 3], "" if k < 3 else "i0\ti9") for k in range(6)]
    log = log_of(rows, "part", "negatives")
    assert [row[5] for row in rows_of(split(log, SplitOptions(kind="given")))][2:4] == [
        [],
        ["i0", "i9"],
    ]
    with pytest.raises(DataError, match=r"use --split\.kind=given"):
        split(log, SplitOptions())
    with pytest.raises(DataError, match="would drop items"):
        split(log, SplitOptions(kind="given", min_item_interactions=2))


@pytest.mark.parametrize(
    "options",
    [
        {"kind": "random"},
        {"repeats": "last"},
        {"kind": "ratio", "validation_share": 0.6, "test_share": 0.4},
        {"kind": "ratio", "test_share": -0.1},
        {"kind": "ratio", "test_share": 1.0},
        {"kind": "leave_one_out", "test_share": 0.2},
        {"kind": "last_of_all", "validation_share": 0.2},
        {"kind": "given", "validation_share": 0.2},
        {"kind": "ratio", "cut_times": (1, 2)},
        {"kind": "time", "cut_times": (1,)},
        {"kind": "time", "cut_times": (2, 1)},
        {**CUT, "test_share": 0.2},
        {"min_user_interactions": 0},
        {"min_item_interactions": 0},
    ],
)
def test_options_out_of_range_are_refused(options):
    with pytest.raises(DataError):
        SplitOptions(**options)


def test_options_that_fit_are_taken():
    assert SplitOptions(**CUT).cut_times == (3, 8)


# Against a plain writing of the rules, on drawn logs

events = st.tuples(
    st.sampled_from([f"u{k}" for k in range(6)]),
    st.sampled_from([f"i{k}" for k in range(8)]),
    st.sampled_from(["S", "T", "R"]),
    st.integers(0, 12),
    st.sampled_from(PARTS),
)
# A user who trains in every split.
always = [("u9", f"i{k}", domain, 0, "train") for k in range(9) for domain in "RST"]
kinds = st.sampled_from(
    [
        {"kind": "leave_one_out"},
        {"kind": "last_of_all"},
        {"kind": "ratio", "validation_share": 0.2, "test_share": 0.3},
        {"kind": "user", "validation_share": 0.2, "test_share": 0.3},
        {"kind": "time", "validation_share": 0.2, "test_share": 0.3},
        {"kind": "time", "cut_times": (5, 9)},
        {"kind": "given"},
    ]
)


def plain_split(rows, options):
    """Returns (user, time, place in the file) -> part, after the k-core, in plain Python."""
    rows = [(*row, place) for place, row in enumerate(rows)]
    order = sorted(rows, key=lambda row: row[3])
    if options.kind == "given":
        order.sort(key=lambda row: PARTS.index(row[4]))
    taken, repeated = set(), set()
    for user, item, domain, _, _, place in order:
        if options.repeats == "first" and (user, item, domain) in taken:
            repeated.add(place)
        taken.add((user, item, domain))
    while True:
        labels = [row for row in rows if row[5] not in repeated]
        of_user = collections.Counter((row[0], row[2]) for row in labels)
        of_item = collections.Counter((row[1], row[2]) for row in labels)
        kept = [
            row
            for row in rows
            if of_user[row[0], row[2]] >= options.min_user_interactions
            and of_item[row[1], row[2]] >= options.min_item_interactions
        ]
        if len(kept) == len(rows):
            break
        rows = kept
    parts = {row[5]: REPEATED for row in rows}
    labels = sorted((row for row in rows if row[5] not in repeated), key=lambda row: row[3])
    if options.kind == "given":
        parts |= {row[5]: PARTS.index(row[4]) for row in labels}
    elif options.kind == "time":
        cuts = options.cut_times or time_cuts([row[3] for row in labels], options)
        parts |= {row[5]: sum(row[3] >= cut for cut in cuts) for row in labels}
    elif options.kind == "user":
        for domain in "RST":
            users = sorted({row[0] for row in rows if row[2] == domain})
            shares = options.validation_share, options.test_share
            everybody = np.ones(len(users), bool)
            drawn = draw(np.array(users, object), everybody, options.seed, "user", *shares)
            of = dict(zip(users, drawn.tolist(), strict=True))
            parts |= {row[5]: of[row[0]] for row in labels if row[2] == domain}
    else:
        groups = collections.defaultdict(list)
        for row in labels:
            groups[row[0], "" if options.kind == "last_of_all" else row[2]].append(row[5])
        for group in groups.values():
            parts |= dict(zip(group, of_group(len(group), options), strict=True))
    return parts


def of_group(number, options):
    if options.kind != "ratio":
        return [TRAIN] * (number - 2) + [VALIDATION, TEST] if number > 2 else [TOO_FEW] * number
    test = min(int(number * options.test_share + 0.5), number - 1)
    validation = min(int(number * options.validation_share + 0.5), number - 1 - test)
    return [TRAIN] * (number - test - validation) + [VALIDATION] * validation + [TEST] * test


def time_cuts(times, options):
    """The first times from which on no more than the share of all is left."""
    cuts = []
    for share in (options.validation_share + options.test_share, options.test_share):
        fit = [t for t in times if sum(u >= t for u in times) <= share * len(times) + 1e-9]
        cuts.append(min(fit, default=max(times) + 1))
    return cuts


@hypothesis.given(
    st.lists(events, min_size=10, max_size=60),
    kinds,
    st.sampled_from(["first", "all"]),
    st.sampled_from([(1, 1), (3, 1), (2, 2)]),
    st.integers(0, 3),
)
@hypothesis.settings(max_examples=100)
def test_parts_are_those_of_the_plain_rule(rows, kind, repeats, core, seed):
    rows = [*rows, *always, ("u9", "i0", "S", 12, "train")]
    options = SplitOptions(
        **kind,
        repeats=repeats,
        min_user_interactions=core[0],
        min_item_interactions=core[1],
        seed=seed,
    )
    expected = plain_split(rows, options)
    # The place in the file travels as rating: it tells rows apart that are otherwise equal.
    log = log_of([(*row, place) for place, row in enumerate(rows)], "part", "rating")
    if TRAIN not in expected.values():
        with pytest.raises(DataError, match=r"interaction (is )?left"):
            split(log, options)
        return
    result = split(log, options)
    places = result.log.ratings.astype(int).tolist()
    assert dict(zip(places, result.parts.tolist(), strict=True)) == expected
    # Every row is as it was, by user, time and place in the file.
    found = [(*row[:4], place) for row, place in zip(rows_of(result), places, strict=True)]
    assert found == [(*rows[place][:4], place) for place in places]
    assert found == sorted(found, key=lambda row: (row[0], row[3], row[4]))
    assert len(rows) == len(found) + sum(result.dropped.values())
    if repeats == "first":  # No held-out item trains.
        labels = [row for row in rows_of(result) if row[4] < REPEATED]
        for _, own in itertools.groupby(labels, key=lambda row: row[0]):
            pairs = [row[1:3] for row in own]
            assert len(set(pairs)) == len(pairs)


def test_a_users_latest_interactions_are_kept_up_to_the_cap():
    rows = [("u", f"t{time}", "T", time) for time in range(6)]
    rows += [("u", f"s{time}", "S", time) for time in range(3)] + [("v", "t0", "T", 0)]
    result = split(log_of(rows), SplitOptions(max_user_interactions=3))
    left = sorted(item for _, item, *_ in rows_of(result))
    assert left == ["s0", "s1", "s2", "t0", "t3", "t4", "t5"]
    what = "interactions before a user's latest --split.max_user_interactions"
    assert result.dropped == {what: 3}
    with pytest.raises(DataError, match="max_user_interactions is -1"):
        SplitOptions(max_user_interactions=-1)
