"""View `leave_one_out` against its definition in plain Python, records and batches alike."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipelines.coding import user_histories
from data_pipelines.coding.vocabulary import Vocabulary
from data_pipelines.errors import DataError
from data_pipelines.logs import PARTS
from data_pipelines.prepared import build, dataset
from data_pipelines.splitting.split_log import TRAIN
from data_pipelines.views import VIEWS
from data_pipelines.views.leave_one_out import Batching
from data_pipelines.views.split_read import SplitRead
from data_pipelines.views.view import ExampleOptions
from tests.data_pipelines.small_logs import demo_log, split_log, split_logs

VIEW = VIEWS["leave_one_out"]
SOURCES, TARGETS = 9, 12


def cut(history, part, **options):
    return list(VIEW.examples(history, PARTS.index(part), ExampleOptions(**options)))


def interactions(history):
    """(id, whether of the target, time, part) of each interaction, in the order of the log."""
    columns = (history.items, history.is_target, history.timestamps, history.parts)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def preceding(rows, place, source_history="before_target"):
    """What a history holds: (id, whether of the target) of the items before `rows[place]`."""
    time = rows[place][2]
    everything = source_history == "all"
    chosen = [
        (item, target)
        for k, (item, target, when, _) in enumerate(rows)
        if (target and k < place) or (not target and (everything or when < time))
    ]
    # Without comparable times the whole source sequence stands before the target's items.
    return sorted(chosen, key=lambda row: row[1]) if everything else chosen


def ragged(rows):
    return tf.ragged.constant(rows, tf.int64, ragged_rank=1, row_splits_dtype=tf.int64)


def split_read(split, rows, *, length=4, targets=TARGETS, seed=0, negatives=(0, 0)):
    """A split of `rows` records; `negatives`: their greatest number, and how many have none."""
    vocabularies = {
        "source": Vocabulary(tuple(map(str, range(SOURCES))), np.arange(SOURCES, 0, -1)),
        "target": Vocabulary(tuple(map(str, range(targets))), np.arange(targets, 0, -1)),
    }
    longest = {"seen_items": 5, "negatives": negatives[0]}
    empty = {"seen_items": 0, "negatives": negatives[1]}
    return SplitRead(
        VIEW.name,
        split,
        split == "train",
        split == "train",
        rows,
        (0, rows),
        length,
        vocabularies,
        longest,
        empty,
        seed,
    )


def assemble(records, read, seed=(1, 2), **options):
    """A batch of records that `cut` gave, as arrays."""
    columns = {
        **{name: tf.constant([r[name] for r in records], tf.int64) for name in VIEW.scalars},
        **{name: ragged([list(r[name]) for r in records]) for name in VIEW.sequences},
    }
    made = VIEW.assembler(read, Batching(**options))(columns, tf.constant(seed, tf.int64))
    return {name: value.numpy() for name, value in made.items()}


def record(history=((5, 0),), target_item=3, seen=(), negatives=(), user=1, cold=0):
    """A record by hand; its history is pairs of an id and whether it is of the target."""
    return {
        "user": user,
        "history": [item for item, _ in history],
        "history_is_target": [is_target for _, is_target in history],
        "target_item": target_item,
        "seen_items": list(seen),
        "cold": cold,
        "negatives": list(negatives),
    }


@settings(max_examples=40)
@given(split_logs(), st.sampled_from(["before_target", "all"]), st.sampled_from([2, 4]))
def test_records_against_the_definition(log, source_history, length):
    """Recomputes every record from the log, row by row."""
    for history in user_histories.number(log).histories:
        rows = interactions(history)
        taken = {item for item, target, *_ in rows if target}
        trained = {item for item, target, _, part in rows if target and part == TRAIN}
        for number, name in enumerate(PARTS):
            options = {"source_history": source_history, "max_length": length}
            expected = []
            for place, (item, target, _, part) in enumerate(rows):
                before = preceding(rows, place, source_history)
                if not target or part != number or not before:
                    continue
                recent = before[-length:]
                own = [row for row in before if row[1]][-length:]
                # The latest of all, behind those of the target's latest that are older.
                older = own[: max(0, len(own) - sum(is_target for _, is_target in recent))]
                expected.append((item, older + recent))
            found = cut(history, name, **options)
            for example, (item, kept) in zip(found, expected, strict=True):
                assert example["user"] == history.user
                assert example["target_item"] == item
                pairs = zip(
                    example["history"].tolist(), example["history_is_target"].tolist(), strict=True
                )
                assert list(pairs) == kept
                seen = trained if name == "train" else taken - {item}
                assert example["seen_items"].tolist() == sorted(seen)
                assert example["cold"] == (not trained)
                assert example["negatives"].tolist() == []


@settings(max_examples=25)
@given(split_logs(), st.sampled_from(["before_target", "all"]))
def test_batches_hold_the_latest_items_of_all_domains_or_of_the_target(log, source_history):
    """What a model reads, against the definition, whatever the records keep."""
    records, expected = [], {"all": [], "target": []}
    for history in user_histories.number(log).histories:
        rows = interactions(history)
        for name in PARTS:
            records += cut(history, name, source_history=source_history, max_length=4)
            for place, (_, target, _, part) in enumerate(rows):
                before = preceding(rows, place, source_history)
                if target and PARTS[part] == name and before:
                    joint = [item if own else item + TARGETS for item, own in before]
                    expected["all"].append(joint[-4:])
                    expected["target"].append([item for item, own in before if own][-4:])
    read = split_read("test", len(records))
    for domains, histories in expected.items():
        batch = assemble(records, read, history_domains=domains)
        padded = [[0] * (4 - len(items)) + items for items in histories]
        assert batch["history"].tolist() == padded
        assert batch["example_weight"].tolist() == [float(bool(items)) for items in histories]


def by_hand(comparable_times=True):
    """One user; ids by falling count, then name: books b0 1, b1 2, b2 3; toys t0..t3 1..4."""
    rows = [
        ("u", "b0", "books", 1, "train"),
        ("u", "t0", "toys", 3, "train"),
        ("u", "b1", "books", 3, "train"),
        ("u", "t1", "toys", 5, "train"),
        ("u", "t2", "toys", 5, "validation"),
        ("u", "b2", "books", 6, "train"),
        ("u", "t3", "toys", 7, "test"),
        ("v", "b1", "books", 1, "train"),
        ("v", "b1", "books", 2, "train"),
        ("v", "b0", "books", 3, "train"),
    ]
    return split_log(rows, domains=("books", "toys"), comparable_times=comparable_times)


def named_histories(log, **options):
    """Target item -> history as raw ids, of the first user."""
    coded = user_histories.number(log)
    tokens = {space: vocabulary.tokens for space, vocabulary in coded.vocabularies.items()}
    found = {}
    for part in PARTS:
        for example in cut(coded.histories[0], part, **options):
            spaces = ["target" if own else "source" for own in example["history_is_target"]]
            items = zip(spaces, example["history"].tolist(), strict=True)
            history = " ".join(tokens[space][item - 1] for space, item in items)
            found[tokens["target"][example["target_item"] - 1]] = history
    return found


def test_histories_by_hand():
    # b1 happens with t0, so it precedes t1, not t0; t1 and t2 share a time and keep their order.
    assert named_histories(by_hand()) == {
        "t0": "b0",
        "t1": "b0 t0 b1",
        "t2": "b0 t0 b1 t1",
        "t3": "b0 t0 b1 t1 t2 b2",
    }
    # The latest two of all and of the target.
    assert named_histories(by_hand(), max_length=2) == {
        "t0": "b0",
        "t1": "t0 b1",
        "t2": "t0 b1 t1",
        "t3": "t1 t2 b2",
    }


def test_all_puts_the_whole_source_sequence_first():
    log = by_hand(comparable_times=False)
    assert named_histories(log, source_history="all") == {
        "t0": "b0 b1 b2",
        "t1": "b0 b1 b2 t0",
        "t2": "b0 b1 b2 t0 t1",
        "t3": "b0 b1 b2 t0 t1 t2",
    }
    assert named_histories(log, source_history="all", max_length=2)["t2"] == "t0 t1"
    VIEW.check(log, ExampleOptions(source_history="all"))
    with pytest.raises(DataError, match=r"--examples\.source_history=all"):
        VIEW.check(log, ExampleOptions())


def test_training_never_reads_what_is_held_out():
    # A split that came with the data need not follow the time.
    parts = ["train", "test", "train", "validation", "train", "test", "validation"]
    rows = [("u", f"t{k}", "toys", k, part) for k, part in enumerate(parts)]
    log = split_log([*rows, ("v", "b0", "books", 1, "train")], domains=("books", "toys"))
    assert named_histories(log) == {
        "t2": "t0",
        "t4": "t0 t2",
        "t3": "t0 t2",
        "t6": "t0 t2 t3 t4",
        "t1": "t0",
        "t5": "t0 t1 t2 t3 t4",
    }
    assert named_histories(log, max_length=2)["t6"] == "t3 t4"


def test_needs_a_target_but_no_source():
    sources = split_log([("u", "a", "books", 1, "train")], target="", domains=("books",))
    with pytest.raises(DataError, match=r"--split\.target"):
        VIEW.check(sources, ExampleOptions())
    rows = [("u", item, "toys", k, PARTS[k]) for k, item in enumerate("abc")]
    # Without sources there are no times to compare.
    targets = split_log(rows, domains=("toys",), comparable_times=False)
    VIEW.check(targets, ExampleOptions())
    assert named_histories(targets) == {"b": "a", "c": "a b"}


def test_rows_without_history_of_the_target_weigh_nothing():
    records = [record([(5, 0), (9, 0)]), record([(5, 0), (2, 1)]), record([(2, 1)])]
    read = split_read("train", 3)
    batch = assemble(records, read)
    joint = TARGETS + np.array([5, 9])
    assert batch["history"].tolist() == [[0, 0, *joint], [0, 0, joint[0], 2], [0, 0, 0, 2]]
    assert batch["example_weight"].tolist() == [1.0, 1.0, 1.0]
    batch = assemble(records, read, history_domains="target")
    assert batch["history"].tolist() == [[0, 0, 0, 0], [0, 0, 0, 2], [0, 0, 0, 2]]
    assert batch["example_weight"].tolist() == [0.0, 1.0, 1.0]


@pytest.mark.parametrize("sampler", ["uniform", "popularity", "lambdafm"])
def test_negatives_are_never_items_of_the_users_training(sampler):
    records = [record(seen=[1, 2, 3, 4, 5]), record(target_item=12, seen=[12], user=2)]
    batch = assemble(records, split_read("train", 2), negatives=2000, sampler=sampler)
    assert batch["negative_items"].shape == (2, 2000)
    assert set(batch["negative_items"][0].tolist()) == {6, 7, 8, 9, 10, 11, 12}
    assert set(batch["negative_items"][1].tolist()) == set(range(1, 12))
    again = assemble(records, split_read("train", 2), negatives=2000, sampler=sampler, seed=(1, 3))
    assert not np.array_equal(batch["negative_items"], again["negative_items"])


def test_given_negatives_are_the_candidates_in_their_order():
    own = [[7, 7, 12, 1], [2, 9, 9, 11]]
    records = [record(negatives=own[0]), record(target_item=12, negatives=own[1], user=2)]
    read = split_read("test", 2, negatives=(4, 0))
    for number in (1, 3, 4):
        batch = assemble(records, read, candidates=number)
        assert batch["candidates"].tolist() == [[3, *own[0][:number]], [12, *own[1][:number]]]
    # Whatever the seeds.
    other = split_read("test", 2, negatives=(4, 0), seed=5)
    again = assemble(records, other, seed=(8, 9), candidates=4)
    np.testing.assert_array_equal(again["candidates"], batch["candidates"])
    assert "candidates" not in assemble(records, read)


def test_more_candidates_than_given_are_refused():
    records = [record(negatives=[7, 8]), record(negatives=[9, 10], user=2)]
    read = split_read("test", 2, negatives=(2, 0))
    with pytest.raises(DataError, match=r"brings 2 negatives .* asks for 3: lower it"):
        assemble(records, read, candidates=3)
    some = split_read("test", 2, negatives=(2, 1))
    with pytest.raises(DataError, match=r"for 1 of them none.* give every line"):
        assemble([records[0], record(user=2)], some, candidates=2)


def test_candidates_are_drawn_where_the_data_brings_none():
    records = [record(seen=[1, 2]), record(target_item=12, user=2)]
    first = assemble(records, split_read("test", 2), candidates=6)["candidates"]
    assert first[:, 0].tolist() == [3, 12]
    for row, never in zip(first, ({1, 2, 3}, {12}), strict=True):
        assert len(set(row[1:].tolist()) - never) == 6
    again = assemble(records, split_read("test", 2), seed=(8, 9), candidates=6)["candidates"]
    np.testing.assert_array_equal(first, again)
    with pytest.raises(DataError, match="leaves 6 to draw from"):
        assemble(records, split_read("test", 2), candidates=7)


def test_evaluation_entries():
    records = [record(seen=[1, 2]), record(seen=[7, 8, 9, 10, 11], user=2, cold=1)]
    batch = assemble(records, split_read("validation", 2))
    assert batch["seen_items"].tolist() == [[1, 2, 0, 0, 0], [7, 8, 9, 10, 11]]
    assert batch["cold"].tolist() == [0, 1]
    assert set(batch) == {"history", "example_weight", "target_item", "seen_items", "cold"}


def test_bad_options_are_refused():
    with pytest.raises(ValueError, match=r"history_domains must be one of all, target.*'source'"):
        Batching(history_domains="source")
    with pytest.raises(ValueError, match="negatives must be at least 1"):
        Batching(negatives=0)


# Through files, with negatives of the data's own.


def log_with_negatives():
    """The demo log; every held-out toy has five other toys to be ranked among, duplicates too."""
    log = demo_log()
    rows = log.interactions.copy()
    rng = np.random.default_rng(3)
    toys = rows["item_id"][rows["domain"] == "toys"].unique()
    held_out = (rows["domain"] == "toys") & (rows["part"] != "train")
    rows["negatives"] = [
        "\t".join(rng.choice(toys[toys != item], 5)) if held else ""
        for item, held in zip(rows["item_id"], held_out, strict=True)
    ]
    return dataclasses.replace(log, interactions=rows)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prepared") / "data"
    options = ExampleOptions(max_length=5)
    build.build(log_with_negatives(), ["leave_one_out"], folder, options, num_shards=2)
    return dataset.open_prepared(folder)


def batches(prepared, split, **options):
    return prepared.batches("leave_one_out", split, batch_size=7, seed=1, **options)


def rows_of(read):
    """All rows, those of weight 0 too, as one dict of arrays."""
    read = [{key: value.numpy() for key, value in batch.items()} for batch in read]
    return {key: np.concatenate([batch[key] for batch in read]) for key in read[0]}


@pytest.mark.parametrize("domains", ["all", "target"])
@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_batches_are_static(prepared, split, domains):
    """Whatever the histories; XLA would compile every new shape anew."""
    options = {"negatives": 3} if split == "train" else {"candidates": 4}
    spec = batches(prepared, split, history_domains=domains, **options).element_spec
    shapes = {key: value.shape.as_list() for key, value in spec.items()}
    expected = {"history": [7, 5], "user": [7], "target_item": [7], "example_weight": [7]}
    if split == "train":
        expected["negative_items"] = [7, 3]
    else:
        longest = prepared.metadata["views"]["leave_one_out"]["splits"][split]["longest"]
        expected |= {"cold": [7], "candidates": [7, 5], "seen_items": [7, longest["seen_items"]]}
    assert shapes == expected
    for key, value in spec.items():
        assert value.dtype == (tf.float32 if key == "example_weight" else tf.int32)


def test_every_item_space_is_described(prepared):
    target, source = (prepared.vocabulary(space) for space in ("target", "source"))
    joint = prepared.vocabulary("joint")
    spaces = {"source": source.size, "target": target.size, "joint": target.size + source.size}
    assert prepared.metadata["spaces"] == spaces
    assert joint.tokens[: target.size] == tuple(f"toys:{token}" for token in target.tokens)
    assert joint.tokens[target.size :] == tuple(f"books:{token}" for token in source.tokens)
    assert joint.counts.tolist() == [*target.counts.tolist(), *source.counts.tolist()]


def test_given_negatives_come_through_the_files(prepared):
    rows = log_with_negatives().interactions
    expected = {
        (user, item): [item, *negatives.split("\t")]
        for user, item, negatives in zip(
            rows["user_id"], rows["item_id"], rows["negatives"], strict=True
        )
        if negatives
    }
    tokens = ("", *prepared.vocabulary("target").tokens)
    found = 0
    for split in ("validation", "test"):
        read = rows_of(batches(prepared, split, candidates=5))
        for user, candidates, weight in zip(
            read["user"], read["candidates"], read["example_weight"], strict=True
        ):
            if not weight:
                assert not candidates.any()
                continue
            items = [tokens[item] for item in candidates]
            assert items == expected[prepared.users[user - 1], items[0]]
            found += 1
    assert found == sum(prepared.num_examples("leave_one_out", s) for s in ("validation", "test"))
    with pytest.raises(DataError, match="brings 5 negatives"):
        batches(prepared, "test", candidates=6)


@pytest.mark.parametrize("split", ["train", "validation"])
def test_target_histories_are_the_joint_ones_without_sources(prepared, split):
    """The longest histories are cut to other places, so only shorter ones must agree."""
    both = [
        rows_of(batches(prepared, split, history_domains=domains)) for domains in ("all", "target")
    ]
    targets = prepared.vocabulary("target").size
    for key in ("user", "target_item"):
        np.testing.assert_array_equal(both[0][key], both[1][key])
    shared, newcomers = 0, 0
    for joint, own, weight in zip(
        both[0]["history"], both[1]["history"], both[1]["example_weight"], strict=True
    ):
        items = [item for item in joint if 0 < item <= targets]
        assert own[own > 0].tolist()[len(own[own > 0]) - len(items) :] == items
        assert weight == own.any()
        shared += len(items)
        newcomers += joint.any() and not own.any()
    assert shared
    assert newcomers


def test_no_training_negative_was_seen_in_any_epoch(prepared):
    histories = user_histories.number(log_with_negatives()).histories
    drawn = []
    for epoch in range(2):
        rows = rows_of(batches(prepared, "train", epoch=epoch, negatives=8))
        rows = {key: value[rows["example_weight"] > 0] for key, value in rows.items()}
        for user, negatives in zip(rows["user"], rows["negative_items"], strict=True):
            history = histories[user - 1]
            trained = history.items[history.is_target & (history.parts == TRAIN)]
            assert not np.isin(negatives, trained).any()
            assert negatives.min() >= 1
            assert negatives.max() <= prepared.vocabulary("target").size
        order = np.lexsort((rows["target_item"], rows["user"]))
        drawn.append(rows["negative_items"][order])
    assert np.mean(drawn[0] != drawn[1]) > 0.8


def test_records_are_a_data_set_of_tensorflow_datasets(prepared):
    import tensorflow_datasets as tfds

    builder = tfds.builder_from_directory(prepared.data_dir / "leave_one_out" / "1.0.0")
    assert builder.info.splits["test"].num_examples == prepared.num_examples(
        "leave_one_out", "test"
    )
    histories = user_histories.number(log_with_negatives()).histories
    options = ExampleOptions(max_length=5)
    expected = [
        {key: np.asarray(value).tolist() for key, value in example.items()}
        for history in histories
        for example in VIEW.examples(history, PARTS.index("test"), options)
    ]
    found = [
        {key: value.tolist() for key, value in example.items()}
        for example in tfds.as_numpy(builder.as_dataset("test"))
    ]
    assert sorted(found, key=str) == sorted(
        ({key: example[key] for key in found[0]} for example in expected), key=str
    )
