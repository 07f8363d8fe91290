"""Opening a data set; what is missing or damaged is named."""

import json
import shutil

import pytest
import tensorflow as tf

from data_pipelines.errors import DataError
from data_pipelines.prepared import build, dataset
from tests.data_pipelines.small_logs import demo_log, read_by_pipeline, source_of


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prepared") / "data"
    build.build(demo_log(), folder, num_shards=3)
    return folder


@pytest.fixture
def broken(data_dir, tmp_path):
    """A copy to damage."""
    return shutil.copytree(data_dir, tmp_path / "data")


def shard_of(folder):
    return next((folder / "histories" / "1.0.0").glob("*00001*"))


def batches(folder):
    return read_by_pipeline(source_of(folder, ["toys"], max_length=5), "next_item", "train")


def test_missing_and_half_built_folders_are_refused(broken, tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        dataset.open_prepared(tmp_path / "nowhere")
    metadata = broken / "prepared.json"
    for text in ('{"format_version": 2', "{}", "[]", "3", ""):
        metadata.write_text(text)
        with pytest.raises(DataError, match=r"prepared\.json: damaged"):
            dataset.open_prepared(broken)
    metadata.write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match=r"prepared\.json: damaged"):
        dataset.open_prepared(broken)
    # What was converted before there were records of users.
    metadata.write_text('{"format_version": 1, "views": {}}')
    with pytest.raises(DataError, match=r"format_version is 1, this program reads 2; run .*again"):
        dataset.open_prepared(broken)
    metadata.unlink()
    with pytest.raises(DataError, match="did not finish"):
        dataset.open_prepared(broken)


def test_metadata_without_an_entry_are_damaged(broken):
    metadata = json.loads((broken / "prepared.json").read_text())
    for key in ("log", "domains", "fingerprint", "records", "summary"):
        others = {name: entry for name, entry in metadata.items() if name != key}
        (broken / "prepared.json").write_text(json.dumps(others))
        with pytest.raises(DataError, match=r"prepared\.json: damaged"):
            dataset.open_prepared(broken)


@pytest.mark.parametrize("name", ["items.parquet", "users.txt"])
def test_missing_and_damaged_tables_are_named(broken, name):
    path = broken / name
    path.write_bytes(b"\xff" + path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match=f"{name}: damaged"):
        batches(broken)
    path.unlink()
    with pytest.raises(DataError, match=f"{name}: the file is missing"):
        batches(broken)


def test_tables_that_lack_what_the_records_name_are_damaged(broken, tmp_path):
    lines = (broken / "users.txt").read_text().splitlines(keepends=True)
    (broken / "users.txt").write_text("".join(lines[:-1]))
    with pytest.raises(DataError, match=r"users\.txt: damaged"):
        batches(broken)
    build.build(demo_log(users=5), tmp_path / "other")
    shutil.copy(tmp_path / "other" / "items.parquet", broken)
    with pytest.raises(DataError, match=r"items\.parquet: damaged"):
        batches(broken)


def test_missing_shards_and_descriptions_are_named(broken):
    prepared = dataset.open_prepared(broken)
    shard = shard_of(broken)
    shard.unlink()
    with pytest.raises(DataError, match=f"{shard.name}: the shard is missing"):
        prepared.files("users")
    with pytest.raises(DataError, match=f"{shard.name}: the shard is missing"):
        batches(broken)
    (broken / "histories" / "1.0.0" / "dataset_info.json").unlink()
    with pytest.raises(DataError, match=r"1\.0\.0: damaged"):
        prepared.files("users")


@pytest.mark.parametrize("kept", ["half a record", "whole records", "nothing"])
def test_a_truncated_shard_is_named_before_anything_is_read(broken, kept):
    assert dataset.open_prepared(broken).corrupt_shard() is None
    shard = shard_of(broken)
    content = shard.read_bytes()
    # A record is its length, the length's checksum, the record and its checksum.
    first = int.from_bytes(content[:8], "little") + 16
    end = {"half a record": len(content) - 20, "whole records": first, "nothing": 0}[kept]
    shard.write_bytes(content[:end])
    with pytest.raises(DataError, match=f"{shard.name}: damaged or truncated"):
        batches(broken)
    assert dataset.open_prepared(broken).corrupt_shard() == str(shard)


def test_a_shard_with_a_wrong_byte_is_named_when_it_is_read(broken):
    shard = shard_of(broken)
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    with (
        pytest.raises(DataError, match=f"{shard.name}: damaged or truncated"),
        dataset.open_prepared(broken).naming_corrupt_shards(),
    ):
        batches(broken)


def test_damage_outside_the_data_set_keeps_its_own_error(data_dir, tmp_path):
    other = tmp_path / "other.tfrecord"
    other.write_bytes(b"no record, though long enough")
    prepared = dataset.open_prepared(data_dir)
    with pytest.raises(tf.errors.DataLossError), prepared.naming_corrupt_shards():
        next(iter(tf.data.TFRecordDataset(str(other))))


def test_files_that_changed_are_named(broken):
    dataset.open_prepared(broken).check_files()
    for name in ("users.txt", "items.parquet", "histories/1.0.0/features.json"):
        path = broken / name
        content = path.read_bytes()
        path.write_bytes(content[:-9] + bytes(reversed(content[-9:])))
        with pytest.raises(DataError, match=f"{name}: damaged or changed since the conversion"):
            dataset.open_prepared(broken).check_files()
        path.unlink()
        with pytest.raises(DataError, match=f"{name}: the file is missing"):
            dataset.open_prepared(broken).check_files()
        path.write_bytes(content)
    with shard_of(broken).open("ab") as file:
        file.write(b"more")
    with pytest.raises(DataError, match="tfrecord-00001-of-00003: damaged or changed"):
        dataset.open_prepared(broken).check_files()


def test_vocabulary_lines_that_were_exchanged_are_a_change(broken):
    lines = (broken / "users.txt").read_text().splitlines()
    lines[0], lines[1] = lines[1], lines[0]
    (broken / "users.txt").write_text("\n".join(lines) + "\n")
    with pytest.raises(DataError, match=r"users\.txt: damaged or changed"):
        dataset.open_prepared(broken).check_files()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "tensorflow_datasets.core.features.tensor_feature.Tensor",
            "os.system",
            "class 'os.system'",
        ),
        ('"pythonClassName"', '"pythonClassNam', "damaged"),
        ("{", "[", "damaged"),
    ],
)
def test_features_name_no_other_classes_than_a_conversion_writes(broken, old, new, message):
    path = broken / "histories" / "1.0.0" / "features.json"
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(DataError, match=rf"features\.json.*{message}"):
        dataset.open_prepared(broken).files("users")


@pytest.mark.parametrize("name", ["../elsewhere", "/tmp", "a/b", ""])
def test_records_lie_within_the_data_set(broken, name):
    metadata = json.loads((broken / "prepared.json").read_text())
    metadata["records"]["name"] = name
    (broken / "prepared.json").write_text(json.dumps(metadata))
    with pytest.raises(DataError, match="the name of its records"):
        dataset.open_prepared(broken)


def test_a_folder_in_place_of_a_file_is_named(broken):
    for name in ("prepared.json", "users.txt", "items.parquet"):
        path = broken / name
        content = path.read_bytes()
        path.unlink()
        path.mkdir()
        with pytest.raises(DataError, match=name):
            prepared = dataset.open_prepared(broken)
            _ = prepared.users, prepared.items
        path.rmdir()
        path.write_bytes(content)
