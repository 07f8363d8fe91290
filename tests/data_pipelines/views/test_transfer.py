import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings

from data_pipelines.coding import user_histories
from data_pipelines.coding.vocabulary import Vocabulary
from data_pipelines.errors import DataError
from data_pipelines.logs import PARTS
from data_pipelines.splitting.split_log import TRAIN
from data_pipelines.views import VIEWS
from data_pipelines.views.split_read import SplitRead
from data_pipelines.views.transfer import Batching
from data_pipelines.views.view import ExampleOptions
from tests.data_pipelines.small_logs import split_log, split_logs

VIEW = VIEWS["transfer"]
SOURCES, TARGETS = 9, 12
CLS = SOURCES + 1


def cut(history, part, **options):
    options = {"min_history": 0, **options}
    return list(VIEW.examples(history, PARTS.index(part), ExampleOptions(**options)))


@settings(max_examples=60, deadline=None)
@given(split_logs())
def test_records_against_the_definition(log):
    """Recomputes every record from the table, row by row."""
    coded = user_histories.number(log)
    for history in coded.histories:
        rows = list(
            zip(history.items, history.is_target, history.timestamps, history.parts, strict=True)
        )
        sources = [(item, time) for item, target, time, _ in rows if not target]
        targets = [(item, time, part) for item, target, time, part in rows if target]
        trained = {item for item, _, part in targets if part == TRAIN}
        for index, name in enumerate(PARTS):
            examples = cut(history, name, max_length=4)
            mine = [(item, time) for item, time, part in targets if part == index]
            assert len(examples) == len(mine)
            for example, (item, time) in zip(examples, mine, strict=True):
                assert example["user"] == history.user
                assert example["target_item"] == item
                before = [source for source, when in sources if when < time]
                assert example["source_history"].tolist() == before[-4:]
                seen = trained if name == "train" else {other for other, *_ in targets} - {item}
                assert example["seen_items"].tolist() == sorted(seen)
                assert example["cold"] == (not trained)


@settings(max_examples=20)
@given(split_logs())
def test_training_leaves_short_histories_out_and_evaluation_keeps_everybody(log):
    for history in user_histories.number(log).histories:
        for part in PARTS:
            everything = cut(history, part)
            long_enough = [e for e in everything if len(e["source_history"]) >= 2]
            kept = cut(history, part, min_history=2)
            assert len(kept) == len(long_enough if part == "train" else everything)


def test_all_takes_the_whole_source_sequence():
    rows = [("u", f"i{k}", "books", 10 + k, "train") for k in range(3)]
    rows += [("u", f"i{k}", "toys", k, PARTS[k]) for k in range(3)]
    log = split_log(rows, comparable_times=False)
    history = user_histories.number(log).histories[0]
    assert [len(e["source_history"]) for e in cut(history, "test")] == [0]
    assert [len(e["source_history"]) for e in cut(history, "test", source_history="all")] == [3]
    VIEW.check(log, ExampleOptions(source_history="all"))
    with pytest.raises(DataError, match=r"--examples\.source_history=all"):
        VIEW.check(log, ExampleOptions())


def test_needs_both_sides():
    sources = split_log([("u", "a", "books", 1, "train")], target="", domains=("books",))
    with pytest.raises(DataError, match=r"--split\.target"):
        VIEW.check(sources, ExampleOptions())
    targets = split_log([("u", "a", "toys", 1, "train")], domains=("toys",))
    with pytest.raises(DataError, match="needs a source domain"):
        VIEW.check(targets, ExampleOptions())


def ragged(rows):
    return tf.ragged.constant(rows, tf.int64, ragged_rank=1, row_splits_dtype=tf.int64)


def assemble(split="train", *, users=None, seed=(1, 2), run_seed=0, targets=TARGETS, **options):
    """Batches two records: user 1 with a history, user 2 without."""
    vocabularies = {
        "source": Vocabulary(tuple("abcdefghi"), np.arange(SOURCES, 0, -1)),
        "target": Vocabulary(tuple(map(str, range(targets))), np.arange(targets, 0, -1)),
    }
    read = SplitRead(
        "transfer",
        split,
        split == "train",
        split == "train",
        2,
        (0, 2),
        4,
        vocabularies,
        {"seen_items": 5},
        {},
        run_seed,
    )
    records = {
        "user": tf.constant(users or [1, 2], tf.int64),
        "target_item": tf.constant([3, 12], tf.int64),
        "source_history": ragged([[5, 6, 7], []]),
        "seen_items": ragged([[1, 2, 3, 4, 5], [12]] if split == "train" else [[1, 2], []]),
        "cold": tf.constant([0, 1], tf.int64),
    }
    made = VIEW.assembler(read, Batching(**options))(records, tf.constant(seed, tf.int64))
    return {name: value.numpy() for name, value in made.items()}


def test_context_layouts():
    assert assemble()["context"].tolist() == [[0, 5, 6, 7, CLS], [0, 0, 0, 0, CLS]]
    assert assemble(cls="both")["context"].tolist() == [
        [CLS, 0, 5, 6, 7, CLS],
        [CLS, 0, 0, 0, 0, CLS],
    ]


@pytest.mark.parametrize("sampler", ["uniform", "popularity", "lambdafm"])
def test_negatives_are_never_seen_items(sampler):
    negatives = assemble(negatives=2000, sampler=sampler)["negative_items"]
    assert set(negatives[0].tolist()) == {6, 7, 8, 9, 10, 11, 12}
    assert set(negatives[1].tolist()) == set(range(1, 12))
    if sampler == "uniform":
        counts = np.bincount(negatives[1], minlength=12)[1:12]
        assert ((counts - 2000 / 11) ** 2 / (2000 / 11)).sum() / 10 < 2.5
    else:
        assert np.mean(negatives[1] <= 4) > np.mean(negatives[1] >= 8)


def test_released_protocol_spares_the_positive_alone():
    negatives = assemble(negatives=2000, negatives_exclude="positive")["negative_items"]
    assert set(negatives[0].tolist()) == set(range(1, 13)) - {3}


def test_evaluation_entries():
    batch = assemble("test")
    assert batch["seen_items"].tolist() == [[1, 2, 0, 0, 0], [0, 0, 0, 0, 0]]
    assert batch["cold"].tolist() == [0, 1]
    assert set(batch) == {"context", "target_item", "seen_items", "cold"}


def test_candidates_are_distinct_unseen_and_fixed():
    first = assemble("test", candidates=6)["candidates"]
    assert first[:, 0].tolist() == [3, 12]
    for row, never in zip(first, ({1, 2, 3}, {12}), strict=True):
        assert len(set(row[1:].tolist())) == 6
        assert not never & set(row[1:].tolist())
    # Whatever the epoch and the place in the batch; another run seed draws anew.
    again = assemble("test", candidates=6, seed=(8, 9))["candidates"]
    np.testing.assert_array_equal(first, again)
    other = assemble("test", candidates=6, run_seed=5)["candidates"]
    assert not np.array_equal(first, other)


def test_too_small_a_catalogue_is_refused():
    with pytest.raises(DataError, match="leaves 6 to draw from"):
        assemble("test", candidates=7)
    with pytest.raises(DataError, match="negatives_exclude=positive"):
        assemble(targets=5)


@pytest.mark.parametrize(
    "options",
    [
        {"cls": "first"},
        {"sampler": "zipf"},
        {"negatives_exclude": "none"},
        {"negatives": 0},
        {"candidates": -1},
        {"lambdafm_rho": 0.0},
        {"lambdafm_rho": float("nan")},
    ],
)
def test_bad_options_are_refused(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        Batching(**options)
