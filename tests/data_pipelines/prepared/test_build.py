import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from data_pipelines.coding import user_histories
from data_pipelines.errors import DataError
from data_pipelines.prepared import build, dataset, records
from data_pipelines.splitting.split_log import SplitOptions
from data_pipelines.splitting.splits import split
from tests.data_pipelines.small_logs import demo_log, given_rows, log_of


def folder_content(path):
    return sorted(str(file.relative_to(path)) for file in path.rglob("*"))


def test_tfds_reads_every_record_back(tmp_path):
    rows = [(*row, float(number)) for number, row in enumerate(given_rows())]
    log = split(log_of(rows, "part", "negatives", "rating"), SplitOptions(kind="given"))
    build.build(log, tmp_path / "data")
    builder = tfds.builder_from_directory(tmp_path / "data" / "histories" / "1.0.0")
    numbered = user_histories.number(log.log, log.parts)
    expected = {
        record["user"]: {name: np.asarray(value).tolist() for name, value in record.items()}
        for _, record in user_histories.records(numbered.histories)
    }
    found = [
        {name: value.tolist() for name, value in record.items()}
        for record in tfds.as_numpy(builder.as_dataset("users"))
    ]
    assert {record["user"]: record for record in found} == expected
    assert len(found) == len(expected)
    assert [record["user"] for record in found] != sorted(expected)  # They are mixed on disk.
    assert set(found[0]) == {
        *("user", "items", "gaps", "parts", "ratings", "negatives", "negative_counts")
    }


def test_metadata_says_what_was_written(tmp_path):
    log = demo_log(kind="time", validation_share=0.2, test_share=0.1)
    metadata = build.build(log, tmp_path / "data", provenance={"reader": "csv"})
    assert json.loads((tmp_path / "data" / "prepared.json").read_text()) == metadata
    expected = {
        "log": "interactions",
        "domains": ["books", "toys"],
        "comparable_times": True,
        "users": 60,
        "interactions": len(log.log.item),
        "ratings": False,
        "negatives": False,
        "split_kind": "time",
        "repeats": "first",
        "cut_times": list(log.cut_times),
        "options": {"reader": "csv"},
    }
    assert {name: metadata[name] for name in expected} == expected
    assert any("toys" in line for line in metadata["summary"])
    prepared = dataset.open_prepared(tmp_path / "data")
    assert (prepared.users, prepared.items.size) == (tuple(log.log.users), metadata["items"])


def test_fingerprint_follows_the_content(tmp_path):
    def fingerprint(log):
        return build.build(log, tmp_path / "data", overwrite=True)["fingerprint"]

    log = demo_log()
    renamed, moved, rated = (
        log.log.users.copy(),
        log.parts.copy(),
        np.ones(len(log.parts), np.float32),
    )
    renamed[0] = "someone"
    moved[0] = 2
    others = [
        demo_log(seed=1),
        demo_log(repeats="all"),
        dataclasses.replace(log, parts=moved),
        dataclasses.replace(log, log=dataclasses.replace(log.log, users=renamed)),
        dataclasses.replace(log, log=dataclasses.replace(log.log, ratings=rated)),
        dataclasses.replace(log, log=dataclasses.replace(log.log, domains=("books", "games"))),
        dataclasses.replace(log, log=dataclasses.replace(log.log, times=log.log.times + 1)),
    ]
    assert fingerprint(log) == fingerprint(demo_log())
    assert len({fingerprint(other) for other in [log, *others]}) == 1 + len(others)


@pytest.mark.parametrize("num_shards", [1, 3, 1000])
def test_shards(tmp_path, num_shards):
    build.build(demo_log(), tmp_path / "data", num_shards=num_shards)
    shards = list((tmp_path / "data" / "histories" / "1.0.0").glob("*.tfrecord*"))
    assert len(shards) == min(num_shards, 60)


def test_shards_stay_small_enough_for_one_worker(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "_MAX_SHARD_BYTES", 1000)
    build.build(demo_log(), tmp_path / "data")
    sizes = [path.stat().st_size for path in tmp_path.rglob("*.tfrecord*")]
    assert len(sizes) > 2
    assert max(sizes) < 2500  # What each record's frame adds included.


def test_existing_data_is_replaced_only_when_asked(tmp_path):
    data = tmp_path / "data"
    data.mkdir()  # An empty folder is used.
    build.build(demo_log(), data)
    before = dataset.open_prepared(data).fingerprint
    (data / "histories" / "of_old").mkdir()
    with pytest.raises(DataError, match="use --overwrite"):
        build.build(demo_log(seed=1), data)
    assert dataset.open_prepared(data).fingerprint == before
    build.build(demo_log(seed=1), data, overwrite=True)
    assert dataset.open_prepared(data).fingerprint != before
    assert not (data / "histories" / "of_old").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_a_foreign_folder_is_never_touched(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    (data / "thesis.txt").write_text("ten years of work")
    with pytest.raises(DataError, match="not a prepared data set"):
        build.build(demo_log(), data, overwrite=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        build.build(demo_log(), tmp_path / "file" / "data")
    assert folder_content(tmp_path) == ["data", "data/thesis.txt", "file"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_failure_half_way_leaves_everything_as_it_was(tmp_path, monkeypatch, overwrite):
    data = tmp_path / "data"
    if overwrite:
        build.build(demo_log(), data)
    before = folder_content(tmp_path)
    whole = user_histories.records

    def breaking(histories):
        for key, record in whole(histories):
            if key == "30":
                raise KeyboardInterrupt
            yield key, record

    monkeypatch.setattr(user_histories, "records", breaking)
    with pytest.raises(KeyboardInterrupt):
        build.build(demo_log(seed=1), data, overwrite=overwrite)
    assert folder_content(tmp_path) == before


def test_a_failing_last_rename_keeps_the_old_data_set(tmp_path, monkeypatch):
    data = tmp_path / "data"
    build.build(demo_log(), data)
    before, fingerprint = folder_content(tmp_path), dataset.open_prepared(data).fingerprint
    rename = build.os.rename

    def failing(source, target):
        if str(source).endswith("new"):
            raise OSError(28, "No space left on device")
        rename(source, target)

    monkeypatch.setattr(build.os, "rename", failing)
    monkeypatch.setattr(build, "_exchanged", lambda one, other: False)  # As on other systems.
    with pytest.raises(DataError, match="could not be written"):
        build.build(demo_log(seed=1), data, overwrite=True)
    assert folder_content(tmp_path) == before
    assert dataset.open_prepared(data).fingerprint == fingerprint


def test_a_disk_that_is_full_below_tfds_is_named(tmp_path, monkeypatch):
    def full(writer, record):
        raise tf.errors.ResourceExhaustedError(None, None, "shard; No space left on device")

    monkeypatch.setattr(tf.io.TFRecordWriter, "write", full)
    with pytest.raises(DataError, match=r"data: could not be written .*No space left on device"):
        build.build(demo_log(), tmp_path / "data")
    assert list(tmp_path.iterdir()) == []


def test_what_killed_conversions_left_is_cleared_and_a_data_set_put_aside_comes_back(tmp_path):
    data = tmp_path / "data"
    build.build(demo_log(), data)
    before = folder_content(tmp_path)
    left = tmp_path / ".data.unfinished-x1"
    (left / "new").mkdir(parents=True)
    (tmp_path / ".data.work-x2").mkdir()
    data.rename(left / "old")
    build.clear_leftovers(data)
    assert folder_content(tmp_path) == before


def test_domains_without_common_users_are_warned_of_with_ids_of_both(tmp_path):
    rows = [
        (f"{'B' * (d == 'books')}u{k}", f"i{j}", d, j)
        for k in (0, 1)
        for d in ("books", "toys")
        for j in range(4)
    ]
    metadata = build.build(split(log_of(rows), SplitOptions()), tmp_path / "data")
    (warning,) = [line for line in metadata["summary"] if line.startswith("warning")]
    assert "books has 'Bu0', 'Bu1'; toys has 'u0', 'u1'" in warning
