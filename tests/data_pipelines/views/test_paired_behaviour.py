"""The view against a plain Python writing of its rule, and what is drawn of a pool."""

import collections
import dataclasses

import numpy as np
import pytest

from data_pipelines.errors import DataError
from data_pipelines.logs import PARTS
from data_pipelines.prepared import build
from data_pipelines.prepared.interaction_source import InteractionSource
from data_pipelines.splitting.split_log import SplitOptions
from data_pipelines.splitting.splits import split
from data_pipelines.views import user_records
from tests.data_pipelines.small_logs import (
    DOMAINS,
    assert_at_once_as_by_a_pipeline,
    built,
    demo_log,
    drawn_rows,
    joined,
    log_of,
    read,
    source_of,
)
from tests.data_pipelines.views import plain_rules

CASES = {
    "example": ({}, ["toys"], [], {}),
    "held_out": ({}, ["toys"], ["books"], {"behaviour_cutoff": "held_out", "cold_share": 0.4}),
    "without_comparable_times": (
        {"kind": "ratio"},
        ["films"],
        [],
        {"source_history": "all", "positive_above": 1.5},
    ),
    "time": ({"kind": "time", "cut_times": (8, 14)}, ["books"], [], {}),
}
CATEGORIES = ("", "red", "green", "blue")


def category_of(item):
    return CATEGORIES[int(item[1:]) % len(CATEGORIES)]


class Run:
    """A case's data set as a run reads it, and what a plain reader makes of it."""

    def __init__(self, split_options, targets, sources, options, folder):
        rows = drawn_rows(users=120)
        rated = [
            (*row, float(place % 5 + 1), category_of(row[1])) for place, row in enumerate(rows)
        ]
        split_log = split(log_of(rated, "rating", "category"), SplitOptions(**split_options))
        build.build(split_log, folder, num_shards=2)
        self.source = source_of(folder, targets, sources, max_length=4, **options)
        self.people = plain_rules.people_of(split_log, self.source.roles, self.source.options)

    def read(self, part, **options):
        return joined(read(self.source, "paired_behaviour", part, batch_size=64, **options))

    def named(self, space, ids):
        """Names of the items among ids, each with its domain."""
        vocabulary = self.source.vocabulary(space)
        chosen = vocabulary.chosen
        prefix = "" if len(chosen) > 1 else f"{DOMAINS[chosen[0]]}:"
        return tuple(prefix + vocabulary.tokens[item - 1] for item in ids if item > 0)

    def categories(self, space, ids):
        """Names of categories without their domain, "" for none."""
        names = ["", *(name.split(":")[-1] for name in self.source.vocabulary(space).categories)]
        return tuple(names[number] for number in ids)


@pytest.fixture(scope="module", params=list(CASES))
def run(request, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(user_records, "USERS_AT_ONCE", 32)
        yield Run(*CASES[request.param], tmp_path_factory.mktemp("prepared") / "data")


@pytest.mark.parametrize("part", PARTS)
def test_examples_are_those_of_the_plain_rule(run, part):
    rows, length = run.read(part), run.source.options.max_length
    users = run.source.user_names(rows["user"].tolist())
    found, pools = collections.Counter(), {}
    for user, person in run.people.items():
        for event, pool, *liked in plain_rules.paired_behaviour(
            person, PARTS.index(part), run.source.options
        ):
            label = float(event.rating > run.source.options.positive_above)
            histories = [tuple(items[-length:]) for items in liked]
            cold = int(not person.trained)
            found[(user, event.item, label, cold, *histories)] += 1
            pools[user, event.item] = pool
    came = collections.Counter()
    for row, user in enumerate(users):
        (item,) = run.named("target", [rows["target_item"][row]])
        histories = [run.named(role, rows[f"{role}_history"][row]) for role in ("target", "source")]
        came[(user, item, rows["liked"][row], rows["cold"][row], *histories)] += 1
        check_categories(run, {name: values[row] for name, values in rows.items()})
        check_source(run, {name: values[row] for name, values in rows.items()}, pools[user, item])
    assert came == found
    assert found


def check_categories(run, row):
    for role in ("target", "source"):
        items = run.named(role, row[f"{role}_history"])
        assert row[f"{role}_length"] == len(items)
        padding = ("",) * (len(row[f"{role}_history"]) - len(items))
        expected = tuple(category_of(item.split(":")[1]) for item in items)
        assert run.categories(role, row[f"{role}_history_categories"]) == expected + padding
        for item in run.named(role, [row[f"{role}_item"]]):
            of_item = run.categories(role, [row[f"{role}_category"]])
            assert of_item == (category_of(item.split(":")[1]),)


def check_source(run, row, pool):
    assert row["source_effect"] == bool(pool)
    if not pool:
        assert not row["source_item"]
        assert not row["source_category"]
        assert not row["source_rating"]
        assert not row["source_liked"]
        return
    came = (*run.named("source", [row["source_item"]]), row["source_rating"])
    assert came in [(event.item, event.rating) for event in pool]
    assert row["source_liked"] == (row["source_rating"] > run.source.options.positive_above)


def by_example(run, part, **options):
    rows = run.read(part, **options)
    keys = zip(*(rows[name].tolist() for name in ("user", "target_item", "liked")), strict=True)
    drawn = zip(rows["source_item"].tolist(), rows["source_rating"].tolist(), strict=True)
    return dict(zip(keys, drawn, strict=True))


def test_training_draws_anew_in_each_epoch_and_evaluation_does_not(run):
    first, again, other = (by_example(run, "train", epoch=epoch) for epoch in (0, 0, 1))
    assert first == again
    assert first.keys() == other.keys()
    several = [key for key, (item, _) in first.items() if item]
    assert sum(first[key] != other[key] for key in several) > len(several) / 3
    for kind in ("latest", "drawn"):
        epochs = [by_example(run, "test", epoch=epoch, evaluation_source=kind) for epoch in (0, 1)]
        assert epochs[0] == epochs[1]
    seeds = [by_example(run, "test", seed=seed, evaluation_source="drawn") for seed in (0, 1)]
    assert seeds[0] != seeds[1]


def test_the_latest_source_behaviour_goes_with_held_out_examples(run):
    assert_at_once_as_by_a_pipeline(run.source, "paired_behaviour", batch_size=64)
    rows = run.read("test")
    for row, user in enumerate(run.source.user_names(rows["user"].tolist())):
        (item,) = run.named("target", [rows["target_item"][row]])
        pools = [
            pool
            for event, pool, *_ in plain_rules.paired_behaviour(
                run.people[user], PARTS.index("test"), run.source.options
            )
            if event.item == item and pool
        ]
        latest = [(pool[-1].item, pool[-1].rating) for pool in pools]
        came = (*run.named("source", [rows["source_item"][row]]), rows["source_rating"][row])
        assert not pools or came in latest


def test_a_log_without_ratings_is_refused(tmp_path):
    source = built(tmp_path, demo_log(), ["toys"])
    with pytest.raises(DataError, match=r"needs ratings.*--read\.rating_column"):
        read(source, "paired_behaviour", "train")


def test_an_unknown_source_of_evaluation_is_refused(tmp_path):
    source = built(tmp_path, demo_log(), ["toys"])
    with pytest.raises(DataError, match="evaluation_source must be one of latest, drawn"):
        read(source, "paired_behaviour", "train", evaluation_source="first")


def test_developing_examples_are_the_latest_of_a_share_of_users(run):
    """Training and developing examples share out what training has without the option."""
    options = dataclasses.replace(run.source.options, developing_share=0.5)
    source = InteractionSource(run.source.prepared, run.source.roles, options)
    found = {
        view: joined(read(source, view, "train", batch_size=64))
        for view in ("paired_behaviour", "developing_behaviour")
    }
    whole = run.read("train")
    keys = ("user", "target_item", "liked", "source_length", "target_length")
    counted = {
        name: collections.Counter(zip(*(rows[key].tolist() for key in keys), strict=True))
        for name, rows in {**found, "whole": whole}.items()
    }
    assert counted["paired_behaviour"] + counted["developing_behaviour"] == counted["whole"]
    users = found["developing_behaviour"]["user"].tolist()
    assert len(set(users)) == len(users)
    assert 0.2 < len(users) / len(set(whole["user"].tolist())) < 0.8
    for part in ("validation", "test"):
        of_both = [
            joined(read(of, "paired_behaviour", part, batch_size=64))["user"].tolist()
            for of in (source, run.source)
        ]
        assert of_both[0] == of_both[1]


def test_known_behaviour_is_all_that_is_known_of_each_user(run):
    rows = joined(read(run.source, "known_behaviour", "test", batch_size=32))
    users = run.source.user_names(rows["user"].tolist())
    assert sorted(users) == sorted(run.people)
    length, threshold = run.source.options.max_length, run.source.options.positive_above
    for row, user in enumerate(users):
        events = run.people[user].events
        sources = [event for event in events if event.part is None]
        assert rows["source_effect"][row] == bool(sources)
        if sources:
            assert run.named("source", [rows["source_item"][row]]) == (sources[-1].item,)
        liked = [event for event in events if event.rating > threshold]
        for role, of_role in (
            ("target", [event.item for event in liked if event.part is not None]),
            ("source", [event.item for event in liked if event.part is None]),
        ):
            assert run.named(role, rows[f"{role}_history"][row]) == tuple(of_role[-length:])
            assert rows[f"{role}_length"][row] == min(len(of_role), length)


def test_processes_share_each_batch(run):
    """Whoever reads which rows, they are those of one process that reads all, draws included."""
    whole = read(run.source, "paired_behaviour", "train", batch_size=32)
    parts = [
        read(run.source, "paired_behaviour", "train", batch_size=32, rows=rows)
        for rows in ((0, 5), (5, 32))
    ]
    for batch, *of_parts in zip(whole, *parts, strict=True):
        for name, values in batch.items():
            together = np.concatenate([part[name] for part in of_parts])
            np.testing.assert_array_equal(together, values)
