"""Both engines prepare the same data set from the same files and flags."""

import gzip
import json
import random

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from data_pipelines import distributed, readers
from data_pipelines.distributed import coding, pieces, reading
from data_pipelines.errors import DataError
from data_pipelines.logs import InteractionLog
from data_pipelines.parts import REPEATED, TEST, TOO_FEW, TRAIN, VALIDATION
from data_pipelines.prepared import build, dataset
from data_pipelines.readers.amazon import AmazonOptions
from data_pipelines.readers.delimited import CsvOptions
from data_pipelines.readers.reader import Reader
from data_pipelines.readers.rechorus import ReChorusOptions
from data_pipelines.readers.synthetic import SyntheticOptions
from data_pipelines.splitting import splits
from data_pipelines.splitting.split_log import SplitOptions


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    monkeypatch.setattr(pieces, "_PIECE_BYTES", 4000)
    monkeypatch.setattr(reading, "_FEWEST_GROUPS", 3)
    monkeypatch.setattr(reading, "_ROWS_PER_PIECE", 100)


def log_lines(*, part=False, described=False):
    """Lines of 40 users with books, films and toys; in no order of time or user.

    Args:
      part: with a column of parts.
      described: with ratings, and with categories that differ from line to line.
    """
    rng = random.Random(0)
    lines = []
    for user in range(40):
        for domain in ("books", "films", "toys"):
            for _ in range(rng.randint(1, 9)):
                time, item = rng.randint(0, 500), rng.randint(0, 25)
                end = f",{rng.choice(['train', 'train', 'validation', 'test'])}" if part else ""
                if described:
                    category = rng.choice(["", "", f"{domain} {rng.randint(0, 5)}"])
                    end = f",{rng.choice(['0.1', '3', '5'])},{category}"
                lines.append(f"u{user},i{item},{domain},{time}{end}")
    rng.shuffle(lines)
    header = "user_id,item_id,domain,timestamp"
    return [header + ",part" * part + ",rating,category" * described, *lines]


@pytest.fixture
def csv_log(tmp_path_factory):
    """A function that writes lines to a file outside `tmp_path` and returns --input for it."""

    def write(lines):
        path = tmp_path_factory.mktemp("log") / "log.csv"
        path.write_bytes(("\n".join(lines) + "\n").encode("latin-1"))
        return [str(path)]

    return write


def convert(engine, data_dir, reader, inputs, read, split, **more):
    source = (reader, inputs, read)
    if engine == "beam":
        return distributed.load_conversion().convert(*source, split, data_dir, **more)
    more.pop("beam_options", None)
    return build.build(splits.split(readers.read(*source), split), data_dir, **more)


def records(data):
    """The records of all users, shard after shard."""
    found = []
    for raw in tf.data.TFRecordDataset(data.files("users")).as_numpy_iterator():
        features = tf.train.Example.FromString(raw).features.feature
        found.append(
            {
                name: list(value.float_list.value if name == "ratings" else value.int64_list.value)
                for name, value in features.items()
            }
        )
    return found


def both(tmp_path, *arguments, **more):
    """Converts by both engines and compares; returns the Beam engine's data set."""
    engines = ("local", "beam")
    metadata = [convert(engine, tmp_path / engine, *arguments, **more) for engine in engines]
    texts = [(tmp_path / engine / "prepared.json").read_text() for engine in engines]
    assert [json.loads(text) for text in texts] == json.loads(json.dumps(metadata))
    for of_engine in metadata:
        # Shards end at other records, which TFDS notes.
        kept = {n: f for n, f in of_engine["files"].items() if "sha256" in f and "info" not in n}
        assert len(kept) == 3
        of_engine["files"] = kept
    assert json.dumps(metadata[0]) == json.dumps(metadata[1])
    local, beam = ((tmp_path / engine / "users.txt").read_text() for engine in engines)
    assert local == beam
    local, beam = (dataset.open_prepared(tmp_path / engine) for engine in engines)
    for name in ("ids", "starts", "categories", "parts"):
        assert getattr(local.items, name).tolist() == getattr(beam.items, name).tolist()
    files = [(tmp_path / engine / "items.parquet").read_bytes() for engine in engines]
    assert files[0] == files[1]
    # TFDS' order by hashed keys is the same, too; only shards end at other records.
    assert records(local) == records(beam)
    assert len(records(beam)) == len(beam.users) > 0
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["beam", "local"]
    return beam


def parts_of(data):
    """Which parts its interactions have."""
    return set().union(*(record["parts"] for record in records(data)))


def test_a_csv_log_with_bad_lines_in_several_shards(tmp_path, csv_log):
    lines = log_lines()
    lines[7] = "u1,i1,books,yesterday"
    lines[300] = "u1,i1,books"
    read = CsvOptions(max_bad_lines=2)
    provenance = {"reader": "csv"}
    arguments = ("csv", csv_log(lines), read, SplitOptions())
    beam = both(tmp_path, *arguments, num_shards=3, provenance=provenance)
    assert beam.metadata["dropped"] == {"bad lines": 2}
    assert beam.metadata["options"] == provenance
    assert len(beam.files("users")) == 3
    assert parts_of(beam) == {TRAIN, VALIDATION, TEST, REPEATED, TOO_FEW}


@pytest.mark.parametrize(
    "split",
    [
        SplitOptions(kind="last_of_all"),
        SplitOptions(kind="last_of_all", repeats="all"),
        SplitOptions(kind="leave_one_out", repeats="all"),
        SplitOptions(kind="ratio", validation_share=0.2, test_share=0.3),
        SplitOptions(kind="user", validation_share=0.2, test_share=0.3, seed=5),
        SplitOptions(kind="time", validation_share=0.15, test_share=0.2),
        SplitOptions(kind="time", validation_share=0.15, test_share=0.2, repeats="all"),
        SplitOptions(kind="time", cut_times=(300, 400)),
    ],
    ids=lambda split: f"{split.kind}-{split.repeats}{'-cut' * bool(split.cut_times)}",
)
def test_every_kind_of_split(tmp_path, csv_log, split):
    beam = both(tmp_path, "csv", csv_log(log_lines()), CsvOptions(), split)
    found = parts_of(beam)
    assert {TRAIN, VALIDATION, TEST} <= found
    assert (REPEATED in found) == (split.repeats == "first")
    assert bool(beam.metadata["cut_times"]) == (split.kind == "time")


def test_ratings_and_categories(tmp_path, csv_log):
    lines = log_lines(described=True)
    beam = both(tmp_path, "csv", csv_log(lines), CsvOptions(), SplitOptions())
    ratings = np.concatenate([record["ratings"] for record in records(beam)])
    assert set(ratings.tolist()) == {float(np.float32(0.1)), 3.0, 5.0}
    rows = [line.split(",") for line in lines[1:]]
    for item, domain, category in zip(
        beam.items.ids, beam.items.domain_of(), beam.items.categories, strict=True
    ):
        named = {row[5] for row in rows if row[1:3] == [item, beam.domains[domain]]} - {""}
        assert category == min(named, default="")


def test_the_category_of_an_item_is_told_by_dropped_lines_too(tmp_path, csv_log):
    """A user who leaves the domain names the smallest category, whatever group he is in."""
    lines = ["user_id,item_id,domain,timestamp,category"]
    lines += [f"u{user},i{item},toys,{item},z" for user in range(6) for item in range(4)]
    lines += [f"leaver{k},i{k},toys,1,a{k}" for k in range(4)]
    lines += [f"leaver{k},rare{k},films,2,a" for k in range(4)]
    split = SplitOptions(min_user_interactions=2)
    beam = both(tmp_path, "csv", csv_log(lines), CsvOptions(), split)
    assert beam.items.categories.tolist() == ["a0", "a1", "a2", "a3"]
    assert len(beam.users) == 6


def test_the_k_core_of_files_without_times(tmp_path, tmp_path_factory):
    inputs = []
    for domain in ("books", "films", "toys"):
        path = tmp_path_factory.mktemp("log") / f"{domain}.csv"
        rows = [line.split(",") for line in log_lines()[1:]]
        text = [f"{user},{item}" for user, item, of, _ in rows if of == domain]
        path.write_text("\n".join(["user_id,item_id", *text]) + "\n")
        inputs.append(f"{domain}={path}")
    split = SplitOptions(
        kind="ratio",
        validation_share=0.2,
        test_share=0.3,
        min_user_interactions=3,
        min_item_interactions=6,
    )
    read = CsvOptions(domain_by="file", timestamp_column="")
    beam = both(tmp_path, "csv", inputs, read, split)
    assert beam.metadata["dropped"]["interactions outside the k-core"] > 20
    assert not beam.metadata["comparable_times"]


@pytest.mark.parametrize(
    "split",
    [
        SplitOptions(kind="user", min_user_interactions=3, min_item_interactions=5),
        SplitOptions(repeats="all", min_user_interactions=3, min_item_interactions=5),
    ],
    ids=lambda split: split.repeats,
)
def test_users_without_an_interaction_left_get_no_number(tmp_path, csv_log, split):
    lines = log_lines()
    lines += [f"single{user},only{user},toys,{user}" for user in range(5)]
    beam = both(tmp_path, "csv", csv_log(lines), CsvOptions(), split)
    assert len(beam.users) > 20
    assert not any(user.startswith("single") for user in beam.users)


def test_a_group_may_lose_all_of_its_users(tmp_path, csv_log):
    lines = ["user_id,item_id,domain,timestamp", *(f"stays,i{k},toys,{k}" for k in range(4))]
    lines += [f"leaver{user},i1,toys,1" for user in range(20)]
    split = SplitOptions(min_user_interactions=2)
    beam = both(tmp_path, "csv", csv_log(lines), CsvOptions(), split)
    assert beam.users == ("stays",)


def test_a_given_split(tmp_path, csv_log):
    split = SplitOptions(kind="given")
    beam = both(tmp_path, "csv", csv_log(log_lines(part=True)), CsvOptions(), split)
    assert parts_of(beam) == {TRAIN, VALIDATION, TEST, REPEATED}


def test_a_given_split_with_negatives(tmp_path, tmp_path_factory):
    """Reader `rechorus`; a user's negatives are mostly items of users in other groups."""
    rng = random.Random(1)
    folder = tmp_path_factory.mktemp("shop")
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
    beam = both(
        tmp_path, "rechorus", [f"shop={folder}"], ReChorusOptions(), SplitOptions(kind="given")
    )
    assert all(record["negative_counts"] == [0, 0, 0, 0, 3, 3] for record in records(beam))


def test_negatives_of_several_domains_that_nobody_took(tmp_path, monkeypatch):
    """A negative is an item of its interaction's domain; the same id is another item elsewhere."""
    rng = random.Random(2)
    rows = []
    for user in range(30):
        for domain, number in (("books", 2), ("toys", 3)):
            for time in range(5):
                negatives = [f"i{item}" for item in rng.sample(range(40), number)]
                held_out = time > 2 and user != 7  # All that user 7 did trains.
                part = ("validation", "test")[time - 3] if held_out else "train"
                own = "\t".join(negatives) if held_out else ""
                rows.append((f"u{user}", f"i{rng.randrange(20)}", domain, time, part, own))
    names = ["user_id", "item_id", "domain", "timestamp", "part", "negatives"]
    log = InteractionLog(pd.DataFrame(rows, columns=names), ("books", "toys"), True)
    reader = Reader("drawn", SyntheticOptions, lambda inputs, options: log)
    monkeypatch.setitem(readers.READERS, reader.name, reader)
    split = SplitOptions(kind="given")
    beam = both(tmp_path, reader.name, [], SyntheticOptions(), split)
    domain_of = beam.items.domain_of()
    for record in records(beam):
        domains = domain_of[np.array(record["items"]) - 1]
        counts = np.array(record["negative_counts"])
        if beam.users[record["user"][0] - 1] != "u7":
            assert counts.tolist() == np.where(np.repeat(range(5), 2) > 2, domains + 2, 0).tolist()
        of_negatives = domain_of[np.array(record["negatives"], int) - 1]
        assert of_negatives.tolist() == np.repeat(domains, counts).tolist()
    assert (beam.items.parts.sum(axis=1) == 0).sum() > 10


def test_a_log_whose_reader_has_notes(tmp_path, tmp_path_factory):
    """Reader `amazon`, which the launching machine reads: categories, and what metadata lack."""
    rng = random.Random(3)
    folder = tmp_path_factory.mktemp("amazon")
    inputs = []
    for domain in ("Books", "Toys"):
        reviews = [
            {
                "reviewerID": f"A{rng.randrange(40)}",
                "asin": f"{domain}{rng.randrange(25)}",
                "overall": float(rng.randint(1, 5)),
                "unixReviewTime": 1_400_000_000 + 86_400 * rng.randrange(200),
            }
            for _ in range(400)
        ]
        items = [
            {"asin": f"{domain}{item}", "categories": [[domain, f"It's {item % 4}"]]}
            for item in range(20)
        ]
        path = folder / f"reviews_{domain}_5.json.gz"
        path.write_bytes(gzip.compress("".join(f"{json.dumps(r)}\n" for r in reviews).encode()))
        (folder / f"meta_{domain}.json").write_text("".join(f"{item}\n" for item in items))
        inputs.append(f"{domain}={path}")
    split = SplitOptions(min_item_interactions=3)
    beam = both(tmp_path, "amazon", inputs, AmazonOptions(), split)
    assert beam.metadata["summary"][-1].endswith("their category is 'others': 5")
    assert set(beam.items.categories) == {"others", *(f"It's {k}" for k in range(4))}
    assert beam.metadata["ratings"]


def test_more_domains_than_a_byte_counts(tmp_path, csv_log):
    lines = ["user_id,item_id,domain,timestamp"]
    lines += [f"u{user},i{k % 3},d{k},{k}" for k in range(150) for user in range(2)]
    split = SplitOptions(kind="last_of_all")
    beam = both(tmp_path, "csv", csv_log(lines), CsvOptions(), split)
    assert np.bincount(beam.items.domain_of()).tolist() == [1] * 150
    assert beam.domains[149] == "d149"


def test_whole_users_of_a_log_that_the_launching_machine_reads(tmp_path):
    split = SplitOptions(kind="user", validation_share=0.2, test_share=0.2)
    both(tmp_path, "synthetic", [], SyntheticOptions(users=60), split)


def test_through_a_temp_location(tmp_path, tmp_path_factory, csv_log):
    elsewhere = tmp_path_factory.mktemp("shared")
    both(
        tmp_path,
        "csv",
        csv_log(log_lines()),
        CsvOptions(),
        SplitOptions(),
        beam_options=[f"--temp_location={elsewhere}"],
    )
    assert list(elsewhere.iterdir()) == []


def beam_error(tmp_path, inputs, split, read=None):
    """Returns the messages of both engines, which must leave nothing behind."""
    messages = []
    for engine in ("local", "beam"):
        with pytest.raises(DataError) as caught:
            convert(engine, tmp_path / "data", "csv", inputs, read or CsvOptions(), split)
        messages.append(str(caught.value))
    assert list(tmp_path.iterdir()) == []
    return messages


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("u1,b1,books,soon", "line 401: timestamp 'soon' is not a time"),
        ("u1,b1,books", "line 401: 3 fields, the header has 4"),
        ("u1,,books,3", "line 401: item_id '' is not an id"),
        ("u1,\xff,books,3", "line 401: not utf-8 text"),
    ],
)
def test_a_bad_line_is_named_as_the_local_engine_does(tmp_path, csv_log, bad, message):
    lines = log_lines()
    lines[400] = bad
    inputs = csv_log(lines)
    local, beam = beam_error(tmp_path, inputs, SplitOptions())
    assert local == beam
    assert f"{inputs[0]}, {message}" in beam


@pytest.mark.parametrize(
    ("split", "message"),
    [
        (SplitOptions(kind="given"), "the log has no part column"),
        (SplitOptions(min_user_interactions=50), "no domain has an interaction left to train on"),
        (SplitOptions(kind="time", cut_times=(300, 501)), "501 lies outside the log"),
        (SplitOptions(kind="time", min_item_interactions=99), "no domain has an interaction left"),
        (SplitOptions(min_item_interactions=99), "no domain has an interaction left to train on"),
    ],
)
def test_mistakes_about_the_whole_log_are_those_of_the_local_engine(
    tmp_path, csv_log, split, message
):
    local, beam = beam_error(tmp_path, csv_log(log_lines()), split)
    assert local == beam
    assert message in beam


def test_times_that_cannot_be_compared_are_refused_as_by_the_local_engine(tmp_path, csv_log):
    read = CsvOptions(timestamp_column="")
    local, beam = beam_error(tmp_path, csv_log(log_lines()), SplitOptions(kind="time"), read)
    assert local == beam
    assert "compares times between domains" in beam


def test_an_existing_data_set_stays_when_the_conversion_fails(tmp_path, csv_log, monkeypatch):
    data = tmp_path / "data"
    arguments = ("csv", csv_log(log_lines()), CsvOptions(), SplitOptions())
    convert("local", data, *arguments)
    before = sorted(str(file) for file in tmp_path.rglob("*"))

    whole = coding.user_histories.records

    def breaking(histories):
        yield next(whole(histories))
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(coding.user_histories, "records", breaking)
    with pytest.raises(DataError, match="exists; use --overwrite"):
        convert("beam", data, *arguments)
    with pytest.raises((OSError, DataError, RuntimeError), match="No space left"):
        convert("beam", data, *arguments, overwrite=True)
    assert sorted(str(file) for file in tmp_path.rglob("*")) == before


@pytest.mark.slow
def test_a_worker_in_a_process_of_its_own(tmp_path, csv_log):
    both(
        tmp_path,
        "csv",
        csv_log(log_lines()),
        CsvOptions(),
        SplitOptions(),
        beam_options=["--direct_running_mode=multi_processing", "--direct_num_workers=1"],
    )
