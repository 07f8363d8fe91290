"""Each view against a plain Python writing of its rule, on drawn logs of people of all sorts."""

import collections
import types
import typing
from collections.abc import Mapping

import numpy as np
import pytest

from data_pipelines.logs import PARTS
from data_pipelines.prepared import build
from data_pipelines.splitting.split_log import SplitOptions
from data_pipelines.splitting.splits import split
from data_pipelines.views import user_records
from tests.data_pipelines.small_logs import (
    DOMAINS,
    assert_at_once_as_by_a_pipeline,
    drawn_rows,
    given_rows,
    joined,
    log_of,
    read,
    source_of,
)
from tests.data_pipelines.views import plain_rules


class Case(typing.NamedTuple):
    """How the log is split, how a run reads it, and the views that are looked at."""

    split: dict
    targets: list
    sources: list
    views: tuple
    options: Mapping = types.MappingProxyType({})
    comparable_times: bool = True
    parts: tuple = PARTS
    users_at_once: int = 64
    joint: bool = False


CASES = {
    "three_domains": Case(
        {},
        ["toys"],
        [],
        ("next_item", "joint_next_item", "joint_masked_item", "transfer", "leave_one_out"),
        {"min_history": 0},
    ),
    "two_targets_and_cold_users": Case(
        {},
        ["toys", "books"],
        ["films"],
        ("next_item", "joint_next_item", "transfer", "leave_one_out"),
        {"cold_share": 0.4, "min_history": 3},
        parts=("train", "test"),
    ),
    "a_source_left_out_and_repeats": Case(
        {"kind": "ratio", "repeats": "all"},
        ["films"],
        ["books"],
        ("masked_item", "leave_one_out"),
        {"source_history": "all"},
        parts=("train", "validation"),
        users_at_once=13,
    ),
    "time": Case(
        {"kind": "time", "cut_times": (8, 14)},
        ["books"],
        [],
        ("next_item", "transfer"),
        {"source_validation_share": 0.3},
        parts=("train", "validation"),
        users_at_once=1,
    ),
    "last_of_all": Case(
        {"kind": "last_of_all", "repeats": "all"},
        ["books"],
        ["toys"],
        ("leave_one_out",),
        {"cold_share": 0.2},
        parts=("train", "test"),
        users_at_once=13,
    ),
    "users_without_comparable_times": Case(
        {"kind": "user", "validation_share": 0.2, "test_share": 0.2},
        ["films", "toys"],
        [],
        ("masked_item", "transfer"),
        {"source_history": "all", "min_history": 2, "max_length": 2},
        comparable_times=False,
        parts=("train", "test"),
    ),
    "given": Case({"kind": "given"}, ["toys"], [], ("next_item", "leave_one_out")),
    "every_domain_a_target": Case({}, ["all"], [], ("leave_one_out",), parts=("train", "test")),
    "one_model_for_all": Case(
        {"kind": "last_of_all", "repeats": "all"},
        ["all"],
        [],
        ("multi_domain_sequence",),
        joint=True,
    ),
    "one_model_for_two_and_a_source": Case(
        {}, ["toys", "books"], [], ("multi_domain_sequence",), users_at_once=13, joint=True
    ),
    "one_model_by_time": Case(
        {"kind": "time", "cut_times": (8, 14)},
        ["toys", "films"],
        ["books"],
        ("multi_domain_sequence",),
        joint=True,
        parts=("train", "test"),
    ),
    "no_target": Case({}, [], ["films", "books"], ("masked_item",), parts=("train", "test")),
}
CANDIDATES = 5
RECENT = 6


class Run:
    """A case's data set as a run reads it, and what a plain reader makes of it."""

    def __init__(self, name, folder):
        self.case = case = CASES[name]
        columns = ("part", "negatives") if case.split.get("kind") == "given" else ()
        rows = given_rows() if columns else drawn_rows()
        log = log_of(rows, *columns, comparable_times=case.comparable_times)
        split_log = split(log, SplitOptions(**case.split))
        build.build(split_log, folder, num_shards=2)
        self.source = source_of(
            folder, case.targets, case.sources, case.joint, **{"max_length": 4, **case.options}
        )
        self.options = self.source.options
        self.people = plain_rules.people_of(split_log, self.source.roles, self.options)

    def read(self, view, part, **options):
        return joined(read(self.source, view, part, batch_size=300, **options), with_empty=True)

    def names(self, space, ids):
        """Names of the items among ids, each with its domain."""
        vocabulary = self.source.vocabulary(space)
        chosen = vocabulary.chosen
        prefix = "" if len(chosen) > 1 else f"{DOMAINS[chosen[0]]}:"
        tokens = vocabulary.tokens
        return tuple(prefix + tokens[item - 1] for item in ids if 0 < item <= len(tokens))

    def users(self, rows):
        return self.source.user_names(rows["user"].tolist())


@pytest.fixture(scope="module", params=list(CASES))
def run(request, tmp_path_factory):
    """Few users a window, so that batches reach over several; or one, who may have nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(user_records, "USERS_AT_ONCE", CASES[request.param].users_at_once)
        yield Run(request.param, tmp_path_factory.mktemp("prepared") / "data")


def test_examples_are_those_of_the_plain_rule(run):
    for view in run.case.views:
        for part in run.case.parts:
            number = PARTS.index(part)
            if view == "multi_domain_sequence":
                check = compare_training_sequences if part == "train" else compare_histories
            else:
                check = compare_labels if view in ("transfer", "leave_one_out") else compare_windows
            check(run, view, number, part)
    if run.case.users_at_once == 1:  # Many windows, and some without a row.
        assert_at_once_as_by_a_pipeline(run.source, "next_item")


@pytest.mark.parametrize("space", ["source", "target", "joint"])
@pytest.mark.parametrize("most", [2, 100])
def test_training_histories_hold_what_trains_and_no_more(run, space, most):
    roles = run.source.roles
    if (space == "source" and not roles.sources) or (space != "source" and not roles.predicted):
        pytest.skip("These roles make no such space.")
    found = []
    for row, item, weight in run.source.training_histories(space, most):
        assert (np.diff(row) >= 0).all()
        assert (weight == 1).all()
        for number in np.unique(row):
            found.append(run.names(space, item[row == number]))
    expected = [
        tuple(history)
        for person in run.people.values()
        if (history := plain_rules.training_histories(person, space, most))
    ]
    assert collections.Counter(found) == collections.Counter(expected)
    assert expected


def compare_windows(run, view, number, part):
    rows = run.read(view, part, recent=RECENT)
    joint, overlap = view.startswith("joint_"), view.endswith("next_item")
    if overlap:
        ids = rows["items"]
    else:  # What was hidden is put back.
        ids = rows["masked_items"].copy()
        row, slot = np.nonzero(rows["label_weight"])
        ids[row, rows["positions"][row, slot]] = rows["labels"][row, slot]
    found = zip(
        run.users(rows),
        (run.names("joint" if joint else "source", row) for row in ids),
        strict=True,
    )
    expected = [
        (user, window)
        for user, person in run.people.items()
        for window in plain_rules.windows(person, number, run.options, overlap, joint)
    ]
    assert collections.Counter(found) == collections.Counter(expected)
    assert expected
    if part != "train":
        space = "joint" if joint else "source"
        before = [run.names(space, row)[:-1][-RECENT:] for row in ids]
        assert [run.names(space, row) for row in rows["recent_items"]] == before


def compare_labels(run, view, number, part):
    """Validation of leave_one_out reads histories of the target's own items."""
    own = view == "leave_one_out" and part == "validation"
    options = {"negatives": 3} if part == "train" else {"candidates": CANDIDATES, "recent": RECENT}
    rows = run.read(view, part, **options, **({"history_domains": "target"} if own else {}))
    key, space = ("context", "source") if view == "transfer" else ("history", "joint")
    users = run.users(rows)
    (items,) = zip(*(run.names("target", [item]) for item in rows["target_item"]), strict=True)
    histories = [run.names(space, history) for history in rows[key]]
    expected = []
    for user, person in run.people.items():
        for *found, event in getattr(plain_rules, view)(person, number, run.options):
            expected.append((user, tuple(found[own][-run.options.max_length :]), event.item))
    found = zip(users, histories, items, strict=True)
    assert collections.Counter(found) == collections.Counter(expected)
    assert expected
    if part != "train":
        compare_recent_items(run, view, number, users, items, rows["recent_items"])
    if view == "leave_one_out":
        assert rows["example_weight"].tolist() == [bool(history) for history in histories]
    for row, (user, item) in enumerate(zip(users, items, strict=True)):
        person = run.people[user]
        if part == "train":
            negatives = run.names("target", rows["negative_items"][row])
            assert len(negatives) == 3
            assert not person.trained & set(negatives)
        else:
            compare_what_is_ranked(run, person, item, {k: v[row] for k, v in rows.items()})


@pytest.mark.parametrize("own_share", [0.25, 0.5, 1.0])
def test_a_share_of_the_history_is_kept_for_the_targets_own_items(run, own_share):
    if "leave_one_out" not in run.case.views:
        pytest.skip("another view's case")
    length = run.options.max_length
    kept_own = round(own_share * length)
    rows = run.read("leave_one_out", "train", own_share=own_share)
    found = zip(run.users(rows), (run.names("joint", row) for row in rows["history"]), strict=True)
    expected, changed = [], 0
    for user, person in run.people.items():
        for history, own, _ in plain_rules.leave_one_out(person, 0, run.options):
            kept = plain_rules.latest_with_own(history, own, length, kept_own)
            expected.append((user, kept))
            changed += kept != tuple(history[-length:])
    assert collections.Counter(found) == collections.Counter(expected)
    # Where all sources come first, the latest are the target's own in any case.
    assert changed or run.options.source_history == "all" or len(run.source.roles.sources) == 0


@pytest.mark.parametrize("history_domains", ["all", "target"])
def test_cold_users_may_be_read_by_their_sources_alone(run, history_domains):
    if "leave_one_out" not in run.case.views or not run.options.cold_share:
        pytest.skip("another view's case, or one without cold users")
    options = {"history_domains": history_domains, "recent": run.options.max_length}
    usual, rows = (
        run.read("leave_one_out", "test", cold_history=cold_history, **options)
        for cold_history in ("held_out", "sources")
    )
    cold = rows["cold"] == 1
    of_sources = rows["recent_items"] * (history_domains == "all")
    np.testing.assert_array_equal(rows["history"][~cold], usual["history"][~cold])
    np.testing.assert_array_equal(rows["history"][cold], of_sources[cold])
    np.testing.assert_array_equal(rows["example_weight"], rows["history"][:, -1] > 0)
    assert (rows["history"] != usual["history"]).any()


def compare_recent_items(run, view, number, users, items, recent):
    assert recent.shape[1] == RECENT
    found = zip(users, items, (run.names("joint", row) for row in recent), strict=True)
    expected = collections.Counter(
        (user, event.item, tuple(history[-RECENT:]))
        for user, person in run.people.items()
        for event, history in plain_rules.recent_items(person, number, run.options)
    )
    if view == "leave_one_out":  # It leaves out who has no history; cold users keep the sources'.
        assert not collections.Counter(found) - expected
    else:
        assert collections.Counter(found) == expected


def compare_what_is_ranked(run, person, item, row):
    again = run.case.split.get("repeats") == "all"
    seen = run.names("target", row["seen_items"])
    assert sorted(seen) == sorted([] if again else person.taken - {item})
    assert row["cold"] == (not person.trained)
    first, *others = run.names("target", row["candidates"])
    assert first == item
    assert len(others) == CANDIDATES
    if run.case.split.get("kind") == "given":
        lists = [event.negatives for event in person.events if event.item == item]
        assert others in [[f"toys:{name}" for name in names[:CANDIDATES]] for names in lists]
    else:
        assert len(set(others) - person.taken) == CANDIDATES


def compare_training_sequences(run, view, number, part):
    length, rows = run.options.max_length, run.read(view, part, negatives=2)
    expected = {
        user: sequence
        for user, person in run.people.items()
        if (sequence := plain_rules.multi_domain_training(person))
    }
    users = run.users(rows)
    assert sorted(users) == sorted(expected)
    for row, user in enumerate(users):
        found, own = {key: rows[key][row] for key in rows}, expected[user]
        assert run.names("joint", found["items"]) == tuple(own[:-1][-length:])
        assert run.names("joint", found["next_items"]) == tuple(own[1:][-length:])
        compare_domains(run, found["items"], found["domains"])
        compare_domains(run, found["next_items"], found["next_domains"])
        taken = {event.item for event in run.people[user].events}
        for item, negatives in zip(found["next_items"], found["negative_items"], strict=True):
            if not item:
                assert not negatives.any()
                continue
            (name,) = run.names("joint", [item])
            drawn = run.names("joint", negatives)
            assert len(drawn) == 2
            assert not taken & set(drawn)
            assert {plain_rules.domain_of(other) for other in drawn} == {
                plain_rules.domain_of(name)
            }
    everywhere = run.read(view, part, negatives=2, negative_domains="all")["negative_items"]
    assert (np.sort(everywhere > 0) == np.sort(rows["negative_items"] > 0)).all()
    of_domains = run.read(view, part, sequences="by_domain")
    names = [DOMAINS[number] for number in run.source.vocabulary("joint").chosen]
    for row, user in enumerate(run.users(of_domains)):
        for place, name in enumerate(names):
            own = [item for item in expected[user] if plain_rules.domain_of(item) == name]
            for key, items in (("items", own[:-1]), ("next_items", own[1:])):
                found = of_domains[key][row, place]
                assert run.names("joint", found) == tuple(items[-length:])
                assert set(of_domains[key.replace("items", "domains")][row, place]) <= {
                    0,
                    place + 1,
                }


def compare_histories(run, view, number, part):
    length = run.options.max_length
    expected = [
        (user, tuple(history[-length:]), event.item)
        for user, person in run.people.items()
        for history, event in plain_rules.multi_domain_evaluation(person, number)
    ]
    for sequences in ("joint", "by_domain"):
        rows = run.read(view, part, candidates=CANDIDATES, sequences=sequences, recent=RECENT)
        users = run.users(rows)
        items = [run.names("joint", [item])[0] for item in rows["target_item"]]
        histories = [run.names("joint", history) for history in rows["items"]]
        if sequences == "joint":
            found = zip(users, histories, items, strict=True)
            assert collections.Counter(found) == collections.Counter(expected)
            assert expected
        else:
            assert len(users) == len(expected)
        for row, (user, item) in enumerate(zip(users, items, strict=True)):
            person, domain = run.people[user], plain_rules.domain_of(item)
            found = {key: rows[key][row] for key in rows}
            compare_domains(run, found["items"], found["domains"])
            compare_domains(run, found["target_item"][np.newaxis], [found["target_domain"]])
            trained = {plain_rules.domain_of(other) for other in person.trained}
            assert found["cold"] == (domain not in trained)
            assert found["example_weight"] == bool(histories[row])
            recent = run.names("joint", found["recent_items"])
            own = [name for name in recent if plain_rules.domain_of(name) == domain]
            assert not (own and found["cold"])
            if sequences == "joint" and not found["cold"]:
                assert recent[-length:] == histories[row]
            if sequences == "by_domain":
                assert {plain_rules.domain_of(other) for other in histories[row]} <= {domain}
            seen = sorted(run.names("joint", found["seen_items"]))
            again = run.case.split.get("repeats") == "all"
            assert seen == sorted([] if again else person.taken - {item})
            first, *others = run.names("joint", found["candidates"])
            assert first == item
            assert len(set(others) - {event.item for event in person.events}) == CANDIDATES
            assert {plain_rules.domain_of(other) for other in others} == {domain}
    rows = run.read(view, part, candidates=CANDIDATES, candidate_domains="all")
    drawn = {plain_rules.domain_of(name) for name in run.names("joint", rows["candidates"].ravel())}
    assert drawn == set(run.source.roles.targets)


def compare_domains(run, items, domains):
    names = [DOMAINS[number] for number in run.source.vocabulary("joint").chosen]
    found = [names[number - 1] for number in domains if number]
    assert found == [plain_rules.domain_of(name) for name in run.names("joint", items)]
    assert (np.asarray(domains) > 0).tolist() == (np.asarray(items) > 0).tolist()
