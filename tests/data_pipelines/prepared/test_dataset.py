import itertools
import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

from data_pipelines.coding import user_histories
from data_pipelines.errors import DataError
from data_pipelines.prepared import build, dataset
from data_pipelines.views import VIEWS, record_batches
from data_pipelines.views.view import ExampleOptions
from tests.data_pipelines.small_logs import demo_log

TRAINING_KEYS = {
    "next_item": {"items": [7, 6]},
    "masked_item": {
        "masked_items": [7, 5],
        "positions": [7, 2],
        "labels": [7, 2],
        "label_weight": [7, 2],
    },
    "transfer": {"context": [7, 6], "target_item": [7], "negative_items": [7, 1]},
    "leave_one_out": {"history": [7, 5], "target_item": [7], "negative_items": [7, 1]},
}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prepared") / "data"
    build.build(demo_log(), list(VIEWS), folder, ExampleOptions(max_length=5), num_shards=3)
    return folder


@pytest.fixture(scope="module")
def prepared(data_dir):
    return dataset.open_prepared(data_dir)


@pytest.fixture
def broken(data_dir, tmp_path):
    """A copy to damage."""
    return shutil.copytree(data_dir, tmp_path / "data")


def read(prepared, view, split, batch_size=7, seed=1, epoch=0, **options):
    batches = prepared.batches(
        view, split, batch_size=batch_size, seed=seed, epoch=epoch, **options
    )
    return [{key: value.numpy() for key, value in batch.items()} for batch in batches]


def joined(batches):
    """All rows that count, as one dict of arrays."""
    weight = np.concatenate([batch["example_weight"] for batch in batches])
    return {
        key: np.concatenate([batch[key] for batch in batches])[weight > 0] for key in batches[0]
    }


def same(first, second):
    return all(
        np.array_equal(a[key], b[key]) for a, b in zip(first, second, strict=True) for key in a
    )


@pytest.mark.parametrize("view", list(VIEWS))
def test_training_batches_are_static_int32(prepared, view):
    spec = prepared.batches(view, "train", batch_size=7, seed=0).element_spec
    expected = {**TRAINING_KEYS[view], "user": [7], "example_weight": [7]}
    assert {key: value.shape.as_list() for key, value in spec.items()} == expected
    for key, value in spec.items():
        assert value.dtype == (tf.float32 if key.endswith("weight") else tf.int32)


@pytest.mark.parametrize("split", ["validation", "test"])
def test_evaluation_batches_are_static(prepared, split):
    spec = prepared.batches("transfer", split, batch_size=7, seed=0, candidates=3).element_spec
    longest = prepared.metadata["views"]["transfer"]["splits"][split]["longest"]["seen_items"]
    shapes = {key: value.shape.as_list() for key, value in spec.items()}
    assert shapes["seen_items"] == [7, longest]
    assert shapes["candidates"] == [7, 4]
    assert all(None not in shape for shape in shapes.values())


@pytest.mark.parametrize("view", list(VIEWS))
@pytest.mark.parametrize("split", ["train", "validation"])
@pytest.mark.parametrize("batch_size", [1, 7, 1000])
def test_every_record_comes_once_and_the_rest_is_zero(prepared, view, split, batch_size):
    batches = read(prepared, view, split, batch_size)
    records = prepared.num_examples(view, split)
    assert len(batches) == -(-records // batch_size)
    weight = np.concatenate([batch["example_weight"] for batch in batches])
    assert weight.tolist() == [1.0] * records + [0.0] * (len(weight) - records)
    for key, value in batches[-1].items():
        assert len(value) == batch_size
        assert not np.any(value[batches[-1]["example_weight"] == 0]), key

    coded = user_histories.number(demo_log())
    part = ("train", "validation").index(split)
    expected = sorted(
        example["user"]
        for history in coded.histories
        for example in VIEWS[view].examples(history, part, ExampleOptions(max_length=5))
    )
    assert sorted(joined(batches)["user"].tolist()) == expected


def test_rows_are_the_records(prepared):
    rows = joined(read(prepared, "transfer", "train"))
    histories = user_histories.number(demo_log()).histories
    expected = set()
    for history in histories:
        for example in VIEWS["transfer"].examples(history, 0, ExampleOptions(max_length=5)):
            source = example["source_history"].tolist()
            context = [0] * (5 - len(source)) + source + [prepared.vocabulary("source").cls_id]
            expected.add((example["user"], example["target_item"], tuple(context)))
    found = zip(rows["user"], rows["target_item"], map(tuple, rows["context"]), strict=True)
    assert {(int(u), int(t), tuple(map(int, c))) for u, t, c in found} == expected


def test_no_training_negative_was_seen_in_any_epoch(prepared):
    histories = user_histories.number(demo_log()).histories
    for epoch in range(3):
        rows = joined(read(prepared, "transfer", "train", epoch=epoch, negatives=8))
        for user, negatives in zip(rows["user"], rows["negative_items"], strict=True):
            history = histories[user - 1]
            trained = history.items[history.is_target & (history.parts == 0)]
            assert not np.isin(negatives, trained).any()
            assert np.all((negatives >= 1) & (negatives <= prepared.vocabulary("target").size))


@pytest.mark.parametrize("view", list(VIEWS))
def test_seed_and_epoch_decide_everything(prepared, view):
    tf.random.set_seed(1)
    first = read(prepared, view, "train", seed=3, epoch=4)
    tf.random.set_seed(99)
    read(prepared, view, "train", seed=5, epoch=0)
    assert same(first, read(prepared, view, "train", seed=3, epoch=4))
    for other in ({"seed": 3, "epoch": 5}, {"seed": 4, "epoch": 4}):
        batches = read(prepared, view, "train", **other)
        assert not same(first, batches)
        users = joined(first)["user"], joined(batches)["user"]
        assert users[0].tolist() != users[1].tolist()
        assert sorted(users[0].tolist()) == sorted(users[1].tolist())


@pytest.mark.parametrize("view", list(VIEWS))
def test_order_entries_and_split_are_chosen_apart(prepared, view):
    """Training rows in the order of the records, with what training reads, or evaluation."""
    in_order = read(prepared, view, "train", shuffled=False)
    for epoch in (1, 5):
        again = read(prepared, view, "train", epoch=epoch, shuffled=False)
        for one, other in zip(in_order, again, strict=True):
            np.testing.assert_array_equal(one["user"], other["user"])
    assert set(in_order[0]) == {*TRAINING_KEYS[view], "user", "example_weight"}
    shuffled = joined(read(prepared, view, "train"))["user"]
    assert sorted(joined(in_order)["user"]) == sorted(shuffled)
    assert not np.array_equal(joined(in_order)["user"], shuffled)
    held_out = read(prepared, view, "validation", for_training=True)
    assert set(held_out[0]) == set(in_order[0])
    evaluated = read(prepared, view, "train", for_training=False, shuffled=False)
    assert set(evaluated[0]) == set(read(prepared, view, "validation")[0])
    np.testing.assert_array_equal(joined(evaluated)["user"], joined(in_order)["user"])


def test_raw_user_names(prepared):
    assert prepared.user_names([2, 1]) == [prepared.users[1], prepared.users[0]]


def test_negatives_differ_between_epochs(prepared):
    def negatives(epoch):
        rows = joined(read(prepared, "transfer", "train", epoch=epoch))
        examples = zip(rows["user"].tolist(), rows["target_item"].tolist(), strict=True)
        return dict(zip(examples, rows["negative_items"].ravel().tolist(), strict=True))

    first, second = negatives(0), negatives(1)
    assert np.mean([first[example] != second[example] for example in first]) > 0.8


def test_every_batch_draws_anew(prepared):
    options = {"negatives": 30, "negatives_exclude": "positive"}
    first, second, *_ = read(prepared, "transfer", "train", **options)
    assert np.mean(first["negative_items"] == second["negative_items"]) < 0.15
    full = [
        batch["positions"][np.all(batch["label_weight"] == 1, axis=1)]
        for batch in read(prepared, "masked_item", "train", mask_share=0.4)
    ]
    assert len({str(rows[0]) for rows in full if len(rows)}) > 3


@pytest.mark.parametrize("split", ["train", "validation"])
@pytest.mark.parametrize("view", list(VIEWS))
def test_processes_that_share_batches_read_the_same_ones_together(prepared, view, split):
    """Draws included; the last batch, of one example, leaves some with nothing but filling rows."""
    size = prepared.num_examples(view, split) - 1
    options = {"batch_size": size}
    if (view, split) == ("transfer", "validation"):
        options["candidates"] = 5
    whole = read(prepared, view, split, **options)
    cuts = [0, size // 3, size // 3 + 1, size]
    parts = [read(prepared, view, split, rows=rows, **options) for rows in itertools.pairwise(cuts)]
    for batch, *shares in zip(whole, *parts, strict=True):
        for key, value in batch.items():
            together = np.concatenate([share[key] for share in shares])
            np.testing.assert_array_equal(together, value, err_msg=key)


def test_evaluation_is_the_same_in_every_epoch_and_batch_size(prepared):
    first = joined(read(prepared, "transfer", "test", candidates=5))
    for other in (
        read(prepared, "transfer", "test", candidates=5, epoch=3),
        read(prepared, "transfer", "test", candidates=5, batch_size=16),
    ):
        other = joined(other)
        for key in first:
            np.testing.assert_array_equal(first[key], other[key])


def test_blocks_are_shuffled_when_the_split_does_not_fit_one(prepared, monkeypatch):
    monkeypatch.setattr(record_batches, "SHUFFLE_BLOCK", 10)
    batches = read(prepared, "transfer", "train")
    assert {len(batch["user"]) for batch in batches} == {7}
    records = prepared.num_examples("transfer", "train")
    weight = np.concatenate([batch["example_weight"] for batch in batches])
    assert (weight.sum(), weight[:records].all()) == (records, True)
    assert same(batches, read(prepared, "transfer", "train"))


def test_vocabularies_travel_with_the_records(prepared):
    coded = user_histories.number(demo_log())
    assert prepared.users == coded.users
    for space in ("source", "target"):
        assert prepared.vocabulary(space).tokens == coded.vocabularies[space].tokens
        lines = prepared.vocabulary_path(space).read_text().split("\n")
        assert lines[2] == prepared.vocabulary(space).tokens[2]
    assert prepared.max_length == 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mask": 1}, "no batching option 'mask', only: negatives, sampler"),
        ({"negatives": 0}, "view transfer: negatives must be at least 1"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"negatives_exclude": "none"}, "negatives_exclude must be one of"),
    ],
)
def test_bad_options_are_refused(prepared, arguments, message):
    with pytest.raises(DataError, match=message):
        prepared.batches("transfer", "train", **{"batch_size": 7, "seed": 0, **arguments})


def test_too_many_candidates_are_refused(prepared):
    with pytest.raises(DataError, match="candidates=40 is too many"):
        prepared.batches("transfer", "test", batch_size=7, seed=0, candidates=40)


def test_missing_view_names_the_views_and_the_flag(broken):
    metadata = json.loads((broken / "prepared.json").read_text())
    del metadata["views"]["masked_item"]
    (broken / "prepared.json").write_text(json.dumps(metadata))
    with pytest.raises(DataError, match=r"has no view masked_item, only next_item, transfer") as e:
        dataset.open_prepared(broken).batches("masked_item", "train", batch_size=2, seed=0)
    assert "--view=next_item,transfer,leave_one_out,masked_item" in str(e.value)


def test_missing_and_half_built_folders_are_refused(broken, tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        dataset.open_prepared(tmp_path / "nowhere")
    (broken / "prepared.json").write_text('{"format_version": 1')
    with pytest.raises(DataError, match=r"prepared\.json: damaged"):
        dataset.open_prepared(broken)
    (broken / "prepared.json").write_text('{"format_version": 99}')
    with pytest.raises(DataError, match="format_version is 99"):
        dataset.open_prepared(broken)
    (broken / "prepared.json").unlink()
    with pytest.raises(DataError, match="did not finish"):
        dataset.open_prepared(broken)


def test_missing_shard_and_info_are_named(broken):
    prepared = dataset.open_prepared(broken)
    shard = next((broken / "transfer" / "1.0.0").glob("*train*00001*"))
    shard.unlink()
    with pytest.raises(DataError, match=f"{shard.name}: the shard is missing"):
        prepared.batches("transfer", "train", batch_size=2, seed=0)
    (broken / "transfer" / "1.0.0" / "dataset_info.json").unlink()
    with pytest.raises(DataError, match=r"1\.0\.0: damaged"):
        prepared.batches("transfer", "train", batch_size=2, seed=0)


@pytest.mark.parametrize("kept", ["half a record", "whole records", "nothing"])
def test_a_truncated_shard_is_named_before_anything_is_read(broken, prepared, kept):
    assert prepared.corrupt_shard() is None
    shard = next((broken / "transfer" / "1.0.0").glob("*train*00001*"))
    content = shard.read_bytes()
    # A record is its length, the length's checksum, the record and its checksum.
    first = int.from_bytes(content[:8], "little") + 16
    end = {"half a record": len(content) - 20, "whole records": first, "nothing": 0}[kept]
    shard.write_bytes(content[:end])
    damaged = dataset.open_prepared(broken)
    with pytest.raises(DataError, match=f"{shard.name}: damaged or truncated"):
        damaged.batches("transfer", "train", batch_size=2, seed=0)
    damaged.batches("transfer", "test", batch_size=2, seed=0)
    assert damaged.corrupt_shard() == str(shard)


def test_a_shard_with_a_wrong_byte_is_named_when_it_is_read(broken):
    shard = next((broken / "transfer" / "1.0.0").glob("*train*00001*"))
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    damaged = dataset.open_prepared(broken)
    with (
        pytest.raises(DataError, match=f"{shard.name}: damaged or truncated"),
        damaged.naming_corrupt_shards(),
    ):
        read(damaged, "transfer", "train")
    assert damaged.corrupt_shard() == str(shard)


def test_damage_outside_the_data_set_keeps_its_own_error(prepared, tmp_path):
    other = tmp_path / "other.tfrecord"
    other.write_bytes(b"no record, though long enough")
    with pytest.raises(tf.errors.DataLossError), prepared.naming_corrupt_shards():
        next(iter(tf.data.TFRecordDataset(str(other))))
