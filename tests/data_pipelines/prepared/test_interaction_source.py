import dataclasses

import numpy as np
import pytest

from data_pipelines.errors import DataError
from data_pipelines.logs import PARTS
from data_pipelines.parts import REPEATED, TRAIN
from data_pipelines.prepared import build, dataset
from data_pipelines.prepared.interaction_source import InteractionSource
from data_pipelines.splitting.split_log import SplitOptions
from data_pipelines.splitting.splits import split
from data_pipelines.views.example_options import ExampleOptions
from data_pipelines.views.roles import roles_of
from tests.data_pipelines.small_logs import (
    built,
    drawn_rows,
    joined,
    log_of,
    read,
    rows_of,
    source_of,
)
from tests.data_pipelines.views import plain_rules


@pytest.fixture(scope="module")
def log():
    return split(log_of(drawn_rows()), SplitOptions())


@pytest.fixture(scope="module")
def data_dir(log, tmp_path_factory):
    folder = tmp_path_factory.mktemp("prepared") / "data"
    build.build(log, folder)
    return folder


def test_spaces_hold_the_items_of_their_domains_and_what_of_them_trains(log, data_dir):
    source = source_of(data_dir, ["films", "toys"], ["books"], cold_share=0.3)
    target, books, joint = (source.vocabulary(space) for space in ("target", "source", "joint"))
    assert set(target.tokens) == {row[1] for row in rows_of(log) if row[2] == "films"}
    assert joint.tokens[: target.size] == tuple(f"films:{token}" for token in target.tokens)
    assert joint.tokens[target.size :] == tuple(f"books:{token}" for token in books.tokens)
    assert joint.counts.tolist() == [*target.counts.tolist(), *books.counts.tolist()]
    people = plain_rules.people_of(log, source.roles, source.options).values()
    expected = dict.fromkeys(joint.tokens, 0)
    for person in people:
        for event in person.events:
            early = person.source_part == TRAIN and event.time < person.held_out_from
            expected[event.item] += event.part == TRAIN or (event.part is None and early)
    assert joint.counts.tolist() == list(expected.values())
    both = source_of(data_dir, ["toys"])
    assert both.vocabulary("source").tokens[0].startswith("books:")
    assert both.sources == ("books", "films")
    assert source.user_names([2, 1]) == [source.prepared.users[1], source.prepared.users[0]]


@pytest.mark.parametrize("source_history", ["before_target", "all"])
def test_whole_histories_hold_all_that_is_no_repeat_in_a_target(log, data_dir, source_history):
    source = source_of(data_dir, ["films"], ["books"], source_history=source_history)
    tokens = source.vocabulary("joint").tokens
    found = {}
    for users, splits, items in source.whole_histories():
        names = source.user_names(users)
        for place, user in enumerate(names):
            own = items[splits[place] : splits[place + 1]]
            found[user] = [tokens[item - 1] for item in own]
    expected = {user: [] for user, *_ in rows_of(log)}
    for user, item, domain, _, part, _ in rows_of(log):
        if domain == "books" or (domain == "films" and part != REPEATED):
            expected[user].append(f"{domain}:{item}")
    if source_history == "all":
        for user, items in expected.items():
            expected[user] = sorted(items, key=lambda name: name.startswith("films:"))
    assert found == expected


def test_fingerprints_follow_the_roles_and_the_options(data_dir):
    sources = [
        source_of(data_dir, ["toys"]),
        source_of(data_dir, ["books"]),
        source_of(data_dir, ["toys"], ["books"]),
        source_of(data_dir, ["toys", "films"], ["books"]),
        source_of(data_dir, ["toys"], max_length=6),
        source_of(data_dir, ["toys"], seed=6),
    ]
    assert len({source.fingerprint for source in sources}) == len(sources)
    assert sources[0].fingerprint == source_of(data_dir, ["toys"]).fingerprint
    # What a stage without target learns about: the same whoever the target is.
    shared = [source.shared_fingerprint for source in sources]
    assert shared[2] == shared[3] == source_of(data_dir, ["films"], ["books"]).shared_fingerprint
    assert len({shared[0], shared[1], shared[2], shared[4]}) == 4


def test_what_another_target_trained_too_late(log, data_dir):
    prepared = dataset.open_prepared(data_dir)
    options = ExampleOptions()
    first, second, both = (
        roles_of(prepared.domains, targets, ["books"], shared=True)[0]
        for targets in (["toys"], ["films"], ["films", "toys"])
    )
    people = {role: plain_rules.people_of(log, role, options) for role in (first, second, both)}
    sources = {role: InteractionSource(prepared, role, options) for role in people}
    for theirs, ours in ((first, second), (second, first), (first, both), (both, first)):
        late = {}
        for user, person in people[theirs].items():
            from_then = people[ours][user].held_out_from
            late[user] = sum(
                event.part is None
                and person.source_part == TRAIN
                and from_then <= event.time < person.held_out_from
                for event in person.events
            )
        expected = sum(late.values()), sum(map(bool, late.values()))
        assert sources[ours].trained_too_late(sources[theirs]) == expected
        assert bool(expected[0]) == (theirs != both)  # A run with both holds more back.


def test_the_summary_counts_by_hand(tmp_path):
    rows = [("u", f"t{k}", "toys", k) for k in range(4)] + [
        ("v", f"t{k}", "toys", k) for k in (0, 9)
    ]
    rows += [(user, "s", "books", 0) for user in "uuw"]
    log = split(log_of(rows), SplitOptions())
    options = {"source_validation_share": 0.0, "source_test_share": 0.0}
    lines = built(tmp_path / "data", log, ["toys"], **options).summary()
    assert [line.split() for line in lines[1:3]] == [
        ["books", "2", "1", "3", "3", "0", "0", "1", "0.000%"],
        ["toys", "(target)", "1", "5", "4", "2", "1", "1", "1", "20.000%"],
    ]
    assert lines[3:] == [
        "validation: 1 users, 0 of them cold; 1 interactions with items that do not train",
        "test: 1 users, 0 of them cold; 1 interactions with items that do not train",
        "no labels of toys: 0 repeated interactions, 2 of users with fewer than 3",
    ]
    pretraining = source_of(tmp_path / "data", []).summary()
    assert len(pretraining) == 3


def test_cold_users_are_exact_and_need_no_three_interactions(tmp_path):
    rows = [(f"u{u}", f"t{k}", "toys", k) for u in range(100) for k in range(2)]
    rows += [(f"u{u}", "b", "books", 0) for u in range(60)]
    rows += [("w", f"t{k}", "toys", k) for k in range(3)]
    source = built(tmp_path / "data", split(log_of(rows), SplitOptions()), ["toys"], cold_share=0.2)
    found = [source.num_examples("transfer", part) for part in ("train", "validation", "test")]
    assert found == [0, 2 * 6 + 1, 2 * 6 + 1]  # One of w, who has no books and is never cold.
    # Another seed, other users.
    users = [source_of(tmp_path / "data", ["toys"], cold_share=0.2, seed=s) for s in (0, 1)]
    drawn = [set(np.flatnonzero(one._assignment.drawn[0])) for one in users]
    assert len(drawn[0]) == len(drawn[1]) == 12 and drawn[0] != drawn[1]


@pytest.mark.parametrize(
    ("targets", "view", "options", "message"),
    [
        (["toys"], "sideways", {}, "has no view sideways, only next_item, masked_item, joint_"),
        (["toys"], "transfer", {"mask": 1}, "no batching option 'mask', only: negatives, sampler"),
        (["toys"], "next_item", {"mask": 1}, "no batching option 'mask', only: recent"),
        (["toys"], "transfer", {"negatives": -1}, "view transfer: negatives must not be negative"),
        (["toys"], "transfer", {"batch_size": 0}, "batch_size must be at least 1"),
        ([], "transfer", {}, "view transfer needs a target domain: name it with --target"),
        ([], "leave_one_out", {}, "view leave_one_out needs a target domain"),
        (["all"], "transfer", {}, "view transfer needs a source domain, but every domain that is"),
        (["all"], "next_item", {}, "books, films, toys, is a target: name fewer with --target"),
    ],
)
def test_readings_that_cannot_be_are_refused(data_dir, targets, view, options, message):
    with pytest.raises(DataError, match=message):
        source_of(data_dir, targets).batches(
            view, "train", **{"batch_size": 7, "seed": 0, **options}
        )


def test_spaces_without_a_domain_are_refused(data_dir):
    with pytest.raises(DataError, match=r"no domain is a target, .* 'joint'; see --target and"):
        source_of(data_dir, []).vocabulary("joint")
    with pytest.raises(DataError, match=r"no domain is a source, .* 'source'"):
        source_of(data_dir, ["all"]).vocabulary("source")


def test_an_empty_split_is_named_with_its_target(tmp_path):
    rows = [("u", f"t{k}", "toys", k) for k in range(2)] + [
        ("u", f"b{k}", "books", k) for k in range(5)
    ]
    source = built(tmp_path / "data", split(log_of(rows), SplitOptions()), ["toys"])
    assert source.num_examples("leave_one_out", "test") == 0
    message = r"target toys, split test of view leave_one_out is empty \(n = 0\)"
    with pytest.raises(DataError, match=message):
        source.batches("leave_one_out", "test", batch_size=2, seed=0)


def test_times_that_cannot_be_compared(tmp_path, log):
    untimed = dataclasses.replace(log, log=dataclasses.replace(log.log, comparable_times=False))
    source = built(tmp_path / "data", untimed, ["toys"])
    for view in ("transfer", "leave_one_out"):
        with pytest.raises(DataError, match=r"use --examples\.source_history=all"):
            source.num_examples(view, "train")
    # Without sources there is nothing to compare.
    assert source_of(tmp_path / "data", ["all"]).num_examples("leave_one_out", "train")


def test_given_parts_that_follow_time_divide_sources_as_a_split_by_time_does(tmp_path):
    cuts = (60, 75)
    rows = [
        (f"u{user}", f"{domain}{(5 * user + k) % 11}", domain, 10 * k + user)
        for user in range(8)
        for domain in ("books", "toys")
        for k in range(9)
    ]
    rows += [(f"v{user}", "books1", "books", cuts[0] + user) for user in range(3)]
    parts = [PARTS[int(np.searchsorted(cuts, row[3], side="right"))] for row in rows]
    with_parts = [(*row, part) for row, part in zip(rows, parts, strict=True)]
    given = split(log_of(with_parts, "part"), SplitOptions(kind="given"))
    timed = split(log_of(rows), SplitOptions(kind="time", cut_times=cuts))
    read_by = {
        name: built(tmp_path / name, log, ["toys"], source_validation_share=0.0)
        for name, log in (("given", given), ("timed", timed))
    }
    windows = {
        name: joined(read(source, "next_item", "train"))["items"]
        for name, source in read_by.items()
    }
    tokens = {
        name: {tuple(source.vocabulary("source").tokens[i - 1] for i in row if i) for row in found}
        for (name, source), found in zip(read_by.items(), windows.values(), strict=True)
    }
    assert len(tokens["given"]) > 4
    assert tokens["given"] == tokens["timed"]
    for part in PARTS:
        numbers = [source.num_examples("transfer", part) for source in read_by.values()]
        assert numbers[0] == numbers[1] > 0


def test_source_sequences_in_several_given_parts_are_refused_without_times(tmp_path):
    rows = [("u", "t", "toys", 0, "train"), ("v", "b", "books", 0, "train")]
    rows += [("u", "b", "books", 0, "train"), ("u", "f", "films", 0, "test")]
    log = split(log_of(rows, "part", comparable_times=False), SplitOptions(kind="given"))
    source = built(tmp_path / "data", log, ["toys"])
    with pytest.raises(DataError, match="user_id 'u' has source interactions in several parts"):
        source.num_examples("next_item", "train")
    with pytest.raises(DataError, match=r"cold_share has no meaning with --split\.kind=given"):
        source_of(tmp_path / "data", ["toys"], cold_share=0.1, source_history="all").num_examples(
            "transfer", "train"
        )
    # One of the domains alone has one part of his.
    assert not source_of(tmp_path / "data", ["toys"], ["films"]).num_examples("next_item", "test")
