"""Both engines prepare the same data set from the same files and flags."""

import json
import random

import pytest
import tensorflow as tf

from data_pipelines import distributed, readers
from data_pipelines.distributed import pieces, reading
from data_pipelines.errors import DataError
from data_pipelines.prepared import build, dataset
from data_pipelines.readers.delimited import CsvOptions
from data_pipelines.readers.rechorus import ReChorusOptions
from data_pipelines.readers.synthetic import SyntheticOptions
from data_pipelines.splitting import splits
from data_pipelines.splitting.split_log import SplitOptions
from data_pipelines.views import VIEWS
from data_pipelines.views.view import ExampleOptions

EXAMPLES = ExampleOptions(max_length=4, min_history=0)


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    monkeypatch.setattr(pieces, "_PIECE_BYTES", 4000)
    monkeypatch.setattr(reading, "_FEWEST_GROUPS", 3)
    monkeypatch.setattr(reading, "_ROWS_PER_PIECE", 100)


def log_lines(part=False):
    """Lines of 40 users with books, films and toys; in no order of time or user."""
    rng = random.Random(0)
    lines = []
    for user in range(40):
        for domain in ("books", "films", "toys"):
            for _ in range(rng.randint(1, 9)):
                time, item = rng.randint(0, 500), rng.randint(0, 25)
                held_out = rng.choice(["train", "train", "validation", "test"])
                of_source = "validation" if user % 10 == 8 else "train"
                end = f",{held_out if domain == 'toys' else of_source}" if part else ""
                lines.append(f"u{user},i{item},{domain},{time}{end}")
    rng.shuffle(lines)
    return [f"user_id,item_id,domain,timestamp{',part' if part else ''}", *lines]


def convert(engine, data_dir, reader, inputs, read, split, views, examples=EXAMPLES, **more):
    source = (reader, inputs, read)
    if engine == "beam":
        convert = distributed.load_conversion().convert
        return convert(*source, split, views, data_dir, examples, **more)
    more.pop("beam_options", None)
    split_log = splits.split(readers.read(*source), split)
    return build.build(split_log, views, data_dir, examples, **more)


def records(data_dir, view, part):
    """The records of a split, shard after shard."""
    folder = data_dir / view / VIEWS[view].version
    files = sorted(map(str, folder.glob(f"{view}-{part}.tfrecord*")))
    found = []
    for raw in tf.data.TFRecordDataset(files).as_numpy_iterator():
        features = tf.train.Example.FromString(raw).features.feature
        found.append({name: list(value.int64_list.value) for name, value in features.items()})
    return found


def both(tmp_path, *arguments, **more):
    """Converts by both engines and compares; returns the Beam engine's data set."""
    engines = ("local", "beam")
    metadata = [convert(engine, tmp_path / engine, *arguments, **more) for engine in engines]
    assert json.dumps(metadata[0]) == json.dumps(metadata[1])
    texts = [(tmp_path / engine / "prepared.json").read_text() for engine in engines]
    assert texts[0] == texts[1]
    local, beam = (dataset.open_prepared(tmp_path / engine) for engine in engines)
    assert local.users == beam.users
    for space in metadata[0]["spaces"]:
        assert local.vocabulary(space).tokens == beam.vocabulary(space).tokens
        assert local.vocabulary(space).counts.tolist() == beam.vocabulary(space).counts.tolist()
    for view, description in metadata[0]["views"].items():
        for part in description["splits"]:
            found = records(tmp_path / "beam", view, part)
            assert len(found) == beam.num_examples(view, part) > 0
            # TFDS' order by hashed keys is the same, too; only shards end at other records.
            assert found == records(tmp_path / "local", view, part)
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["beam", "local"]
    return beam


def test_every_view_of_a_csv_log_with_bad_lines(tmp_path):
    lines = log_lines()
    lines[7] = "u1,i1,books,yesterday"
    lines[300] = "u1,i1,books"
    path = tmp_path / "log.csv"
    path.write_text("\n".join(lines) + "\n")
    split = SplitOptions(target="toys", cold_share=0.3, source_validation_share=0.2)
    beam = both(
        tmp_path, "csv", [str(path)], CsvOptions(max_bad_lines=2), split, list(VIEWS), num_shards=3
    )
    assert beam.metadata["dropped"]["bad lines"] == 2
    # What was written is read: every shard is where the metadata says.
    batch = next(iter(beam.batches("transfer", "train", batch_size=8, seed=0)))
    assert batch["context"].shape == (8, 5)


def test_a_ratio_split_of_the_k_core_of_files_without_times(tmp_path):
    inputs = []
    for domain in ("books", "films", "toys"):
        path = tmp_path / f"{domain}.csv"
        rows = [line.split(",") for line in log_lines()[1:]]
        text = [f"{user},{item}" for user, item, of, _ in rows if of == domain]
        path.write_text("\n".join(["user_id,item_id", *text]) + "\n")
        inputs.append(f"{domain}={path}")
    split = SplitOptions(
        target="toys",
        kind="ratio",
        validation_share=0.2,
        test_share=0.3,
        min_user_interactions=3,
        min_item_interactions=6,
    )
    beam = both(
        tmp_path,
        "csv",
        inputs,
        CsvOptions(domain_by="file", timestamp_column=""),
        split,
        ["transfer"],
        ExampleOptions(source_history="all"),
    )
    assert beam.metadata["dropped"]["interactions outside the k-core"] > 20


def test_a_given_split(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("\n".join(log_lines(part=True)) + "\n")
    split = SplitOptions(target="toys", kind="given", source_test_share=0.2)
    both(tmp_path, "csv", [str(path)], CsvOptions(), split, ["next_item"])


def test_a_given_split_with_negatives(tmp_path):
    """Reader `rechorus`; a user's negatives are mostly items of users in other groups."""
    rng = random.Random(1)
    folder = tmp_path.with_name(tmp_path.name + "-log")
    folder.mkdir()
    lines = {"train": ["user_id\titem_id\ttime"]}
    lines |= {part: ["user_id\titem_id\ttime\tneg_items"] for part in ("dev", "test")}
    for user in range(40):
        items = rng.sample(range(1, 31), 6)
        for time, item in enumerate(items):
            part = {4: "dev", 5: "test"}.get(time, "train")
            others = rng.choices([i for i in range(1, 31) if i != item], k=3)
            end = "" if part == "train" else f"\t{others}"
            lines[part].append(f"{user}\t{item}\t{time}{end}")
    for part, of_part in lines.items():
        (folder / f"{part}.csv").write_text("\n".join(of_part) + "\n")
    split = SplitOptions(target="shop", kind="given")
    both(tmp_path, "rechorus", [f"shop={folder}"], ReChorusOptions(), split, ["leave_one_out"])
    found = records(tmp_path / "beam", "leave_one_out", "test")
    assert {len(record["negatives"]) for record in found} == {3}


def test_whole_users_of_a_log_that_the_launching_machine_reads(tmp_path):
    split = SplitOptions(target="target", kind="user", validation_share=0.2, test_share=0.2)
    both(tmp_path, "synthetic", [], SyntheticOptions(users=60), split, ["transfer"])


def test_a_log_without_target_through_a_temp_location(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("\n".join(log_lines()) + "\n")
    elsewhere = tmp_path.with_name(tmp_path.name + "-shared")
    elsewhere.mkdir()
    both(
        tmp_path,
        "csv",
        [str(path)],
        CsvOptions(),
        SplitOptions(),
        ["next_item"],
        beam_options=[f"--temp_location={elsewhere}"],
    )
    assert list(elsewhere.iterdir()) == []


def beam_error(tmp_path, inputs, read, split=None, views=("transfer",)):
    split = split or SplitOptions(target="toys")
    arguments = ("csv", inputs, read, split, views)
    with pytest.raises(DataError) as local:
        convert("local", tmp_path / "data", *arguments)
    with pytest.raises(DataError) as beam:
        convert("beam", tmp_path / "data", *arguments)
    assert not (tmp_path / "data").exists()
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []
    return str(local.value), str(beam.value)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("u1,b1,books,soon", "line 401: timestamp 'soon' is not a whole number"),
        ("u1,b1,books", "line 401: 3 fields, the header has 4"),
        ("u1,,books,3", "line 401: item_id '' is not an id"),
        ("u1,\xff,books,3", "line 401: not utf-8 text"),
    ],
)
def test_a_bad_line_is_named_as_the_local_engine_does(tmp_path, bad, message):
    path = tmp_path / "log.csv"
    lines = log_lines()
    lines[400] = bad
    path.write_bytes("\n".join(lines).encode("latin-1"))
    local, beam = beam_error(tmp_path, [str(path)], CsvOptions())
    assert local == beam
    assert f"{path}, {message}" in beam


def test_mistakes_about_the_whole_log_are_those_of_the_local_engine(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("\n".join(log_lines()) + "\n")
    for split, views in (
        (SplitOptions(target="moon"), ["transfer"]),
        (SplitOptions(target="toys", kind="given"), ["transfer"]),
        (SplitOptions(target=""), ["transfer"]),
        (SplitOptions(target="toys", min_user_interactions=50), ["next_item"]),
    ):
        local, beam = beam_error(tmp_path, [str(path)], CsvOptions(), split, views)
        assert local == beam


def test_contradicting_given_parts_are_found_on_a_worker(tmp_path):
    path = tmp_path / "log.csv"
    lines = log_lines(part=True)
    path.write_text("\n".join([*lines, "u3,i1,books,7,test", "u3,i1,films,7,train"]) + "\n")
    split = SplitOptions(target="toys", kind="given")
    local, beam = beam_error(tmp_path, [str(path)], CsvOptions(), split)
    assert local == beam
    assert "user_id 'u3' has source interactions in several parts" in beam


def test_an_existing_data_set_stays_when_the_conversion_fails(tmp_path, monkeypatch):
    path = tmp_path / "log.csv"
    path.write_text("\n".join(log_lines()) + "\n")
    data = tmp_path / "data"
    split = SplitOptions(target="toys")
    convert("local", data, "csv", [str(path)], CsvOptions(), split, ["next_item"])
    before = sorted(str(file) for file in tmp_path.rglob("*"))

    class Breaking(type(VIEWS["transfer"])):
        def examples(self, history, part, options):
            for count, example in enumerate(super().examples(history, part, options)):
                if count:
                    raise OSError(28, "No space left on device")
                yield example

    monkeypatch.setitem(VIEWS, "transfer", Breaking())
    arguments = ("csv", [str(path)], CsvOptions(), split, ["transfer"])
    with pytest.raises(DataError, match="exists; use --overwrite"):
        convert("beam", data, *arguments)
    with pytest.raises((OSError, DataError, RuntimeError), match="No space left"):
        convert("beam", data, *arguments, overwrite=True)
    assert sorted(str(file) for file in tmp_path.rglob("*")) == before


@pytest.mark.slow
def test_a_worker_in_a_process_of_its_own(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("\n".join(log_lines()) + "\n")
    both(
        tmp_path,
        "csv",
        [str(path)],
        CsvOptions(),
        SplitOptions(target="toys"),
        ["next_item"],
        beam_options=["--direct_running_mode=multi_processing", "--direct_num_workers=1"],
    )
