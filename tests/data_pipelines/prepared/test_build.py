import dataclasses
import json

import numpy as np
import pytest
import tensorflow_datasets as tfds

from data_pipelines.coding import user_histories
from data_pipelines.errors import DataError
from data_pipelines.logs import PARTS
from data_pipelines.prepared import build, dataset, records
from data_pipelines.views import VIEWS
from data_pipelines.views.view import ExampleOptions
from tests.data_pipelines.small_logs import demo_log, split_log

OPTIONS = ExampleOptions(max_length=5, min_history=0)


def folder_content(path):
    return sorted(str(file.relative_to(path)) for file in path.rglob("*"))


@pytest.mark.parametrize("view", list(VIEWS))
def test_tfds_reads_every_record_back(tmp_path, view):
    log = demo_log(users=20)
    build.build(log, [view], tmp_path / "data", OPTIONS)
    builder = tfds.builder_from_directory(tmp_path / "data" / view / "1.0.0")
    histories = user_histories.number(log).histories
    for number, part in enumerate(PARTS):
        expected = [
            sorted((name, np.asarray(value).tolist()) for name, value in example.items())
            for history in histories
            for example in VIEWS[view].examples(history, number, OPTIONS)
        ]
        found = [
            sorted((name, value.tolist()) for name, value in example.items())
            for example in tfds.as_numpy(builder.as_dataset(split=part))
        ]
        assert sorted(found) == sorted(expected)
        assert found != expected or len(found) < 3  # The records are mixed on disk.


def test_metadata_says_what_was_written(tmp_path):
    log = demo_log()
    provenance = {"reader": "csv", "split": {"target": "toys"}}
    metadata = build.build(log, ["transfer"], tmp_path / "data", OPTIONS, provenance=provenance)
    assert json.loads((tmp_path / "data" / "prepared.json").read_text()) == metadata
    assert metadata["domains"] == ["books", "toys"]
    assert (metadata["sources"], metadata["target"]) == (["books"], "toys")
    assert metadata["interactions"] == len(log.interactions)
    assert metadata["options"]["examples"] == dataclasses.asdict(OPTIONS)
    assert metadata["options"]["reader"] == "csv"
    splits = metadata["views"]["transfer"]["splits"]
    targets = log.interactions[log.interactions["domain"] == "toys"]
    assert {part: splits[part]["examples"] for part in PARTS} == dict(
        targets["part"].value_counts()
    )
    assert splits["train"]["longest"]["source_history"] == 5
    assert splits["test"]["longest"]["seen_items"] == targets.groupby("user_id").size().max() - 1
    assert any("toys" in line for line in metadata["summary"])


def test_fingerprint_follows_the_content(tmp_path):
    def fingerprint(log, options=OPTIONS, view="transfer"):
        return build.build(log, [view], tmp_path / "data", options, overwrite=True)["fingerprint"]

    first = fingerprint(demo_log())
    assert first == fingerprint(demo_log())
    assert first == fingerprint(demo_log(), view="next_item")
    assert first != fingerprint(demo_log(seed=1))
    assert first != fingerprint(demo_log(), ExampleOptions(max_length=6))
    renamed = demo_log()
    renamed.interactions["user_id"] = renamed.interactions["user_id"].str.replace("u", "w")
    assert first != fingerprint(renamed)


@pytest.mark.parametrize("num_shards", [1, 3, 1000])
def test_shards(tmp_path, num_shards):
    build.build(demo_log(), ["next_item"], tmp_path / "data", OPTIONS, num_shards=num_shards)
    prepared = dataset.open_prepared(tmp_path / "data")
    shards = list((tmp_path / "data" / "next_item" / "1.0.0").glob("*train.tfrecord*"))
    assert len(shards) == min(num_shards, prepared.num_examples("next_item", "train"))


def test_shards_stay_small_enough_for_one_worker(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "_MAX_SHARD_BYTES", 1000)
    build.build(demo_log(), ["next_item"], tmp_path / "data", OPTIONS)
    folder = tmp_path / "data" / "next_item" / "1.0.0"
    sizes = [path.stat().st_size for path in folder.glob("*train.tfrecord*")]
    assert len(sizes) > 2
    assert max(sizes) < 1500  # What each record's frame adds included.


def test_existing_data_is_replaced_only_when_asked(tmp_path):
    data = tmp_path / "data"
    build.build(demo_log(), ["transfer"], data, OPTIONS)
    before = dataset.open_prepared(data).fingerprint
    with pytest.raises(DataError, match="use --overwrite"):
        build.build(demo_log(seed=1), ["transfer"], data, OPTIONS)
    assert dataset.open_prepared(data).fingerprint == before
    build.build(demo_log(seed=1), ["next_item"], data, OPTIONS, overwrite=True)
    prepared = dataset.open_prepared(data)
    assert (prepared.fingerprint != before, prepared.views) == (True, ("next_item",))
    assert not (data / "transfer").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_a_foreign_folder_is_never_touched(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    (data / "thesis.txt").write_text("ten years of work")
    with pytest.raises(DataError, match="not a prepared data set"):
        build.build(demo_log(), ["transfer"], data, OPTIONS, overwrite=True)
    assert folder_content(tmp_path) == ["data", "data/thesis.txt"]


def test_an_empty_folder_is_used(tmp_path):
    (tmp_path / "data").mkdir()
    build.build(demo_log(), ["transfer"], tmp_path / "data", OPTIONS)
    assert dataset.open_prepared(tmp_path / "data").views == ("transfer",)


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_failure_half_way_leaves_everything_as_it_was(tmp_path, monkeypatch, overwrite):
    data = tmp_path / "data"
    if overwrite:
        build.build(demo_log(), ["transfer"], data, OPTIONS)
    before = folder_content(tmp_path)

    class Breaking(type(VIEWS["transfer"])):
        def examples(self, history, part, options):
            if history.user == 30:
                raise KeyboardInterrupt
            yield from super().examples(history, part, options)

    monkeypatch.setitem(VIEWS, "transfer", Breaking())
    with pytest.raises(KeyboardInterrupt):
        build.build(demo_log(seed=1), ["next_item", "transfer"], data, OPTIONS, overwrite=overwrite)
    assert folder_content(tmp_path) == before


def test_a_failing_last_rename_keeps_the_old_data_set(tmp_path, monkeypatch):
    data = tmp_path / "data"
    build.build(demo_log(), ["transfer"], data, OPTIONS)
    before = folder_content(tmp_path)
    rename = build.os.rename

    def failing(source, target):
        if str(source).endswith("new"):
            raise OSError(28, "No space left on device")
        rename(source, target)

    monkeypatch.setattr(build.os, "rename", failing)
    with pytest.raises(DataError, match="could not be written"):
        build.build(demo_log(seed=1), ["next_item"], data, OPTIONS, overwrite=True)
    assert folder_content(tmp_path) == before


def test_refusals_come_before_anything_is_written(tmp_path):
    data = tmp_path / "data"
    with pytest.raises(DataError, match="unknown view 'sideways'"):
        build.build(demo_log(), ["sideways"], data, OPTIONS)
    with pytest.raises(DataError, match="no view is named"):
        build.build(demo_log(), [], data, OPTIONS)
    untimed = dataclasses.replace(demo_log(), comparable_times=False)
    with pytest.raises(DataError, match="source_history=all"):
        build.build(untimed, ["next_item", "transfer"], data, OPTIONS)
    short = split_log([(f"u{k}", "a", "books", k, "train") for k in range(3)], target="")
    with pytest.raises(DataError, match="next_item has no training example"):
        build.build(short, ["next_item"], data, OPTIONS)
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        build.build(demo_log(), ["transfer"], tmp_path / "file" / "data", OPTIONS)
    assert folder_content(tmp_path) == ["file"]


def test_an_empty_held_out_split_is_left_out(tmp_path):
    rows = [("u", f"i{k}", "books", k, "train") for k in range(9)]
    build.build(split_log(rows, target=""), ["next_item"], tmp_path / "data", OPTIONS)
    prepared = dataset.open_prepared(tmp_path / "data")
    assert prepared.num_examples("next_item", "test") == 0
    with pytest.raises(DataError, match="split test of view next_item is empty"):
        prepared.batches("next_item", "test", batch_size=2, seed=0)
    with pytest.raises(DataError, match="no item space 'target'"):
        prepared.vocabulary("target")
