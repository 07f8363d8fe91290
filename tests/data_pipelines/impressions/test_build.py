import dataclasses
import json
import os

import numpy as np
import pytest

from data_pipelines import impressions
from data_pipelines.errors import DataError
from data_pipelines.impressions import build, draws
from data_pipelines.impressions.log import Chunk, Columns, ImpressionLog
from data_pipelines.impressions.options import ImpressionSplitOptions
from data_pipelines.impressions.synthetic import SyntheticImpressionOptions
from data_pipelines.logs import BadLines
from data_pipelines.prepared import dataset
from data_pipelines.prepared.impression_source import ImpressionSource
from data_pipelines.views import block_batches
from tests.data_pipelines.impressions.raw_files import rows_by_part

DEMO = SyntheticImpressionOptions(source_pages=120, target_pages=90, test_pages=20)
SPLIT = ImpressionSplitOptions("target", 0.5, 0.25)


def demo_log():
    return impressions.read("synthetic", options=DEMO)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prepared") / "data"
    build.build(demo_log(), SPLIT, folder, provenance={"reader": "synthetic"})
    return opened(folder)


def opened(folder):
    return ImpressionSource(dataset.open_prepared(folder))


def read_rows(data, split, domain="target", batch_size=64, **others):
    """All rows of a split but those that fill the last batch up, by entry."""
    batches = data.batches(
        "impression", split, batch_size=batch_size, seed=3, domain=domain, **others
    )
    read = [{name: value.numpy() for name, value in batch.items()} for batch in batches]
    joined = {name: np.concatenate([batch[name] for batch in read]) for name in read[0]}
    present = joined.pop("example_weight") == 1
    for name, values in joined.items():
        assert not values[~present].any(), name
    number = data.num_examples("impression", split, domain=domain)
    return {name: values[present][:number] for name, values in joined.items()}


def as_set(rows):
    """Rows as sorted bytes; equal rows stay twice."""
    entries = ("categorical", "numerical", "click", "conversion")
    columns = np.concatenate(
        [np.reshape(rows[name], [len(rows["click"]), -1]).astype(np.float64) for name in entries],
        axis=1,
    )
    return sorted(row.tobytes() for row in columns)


def test_every_row_is_in_one_split(source, tmp_path):
    raw = rows_by_part(demo_log(), tmp_path / "scratch")
    for domain in ("source", "target"):
        assert as_set(read_rows(source, "test", domain)) == as_set(raw[domain, "test"])
    trained = [read_rows(source, part, "source") for part in ("train", "validation")]
    assert as_set(raw["source", "train"]) == sorted(as_set(trained[0]) + as_set(trained[1]))
    share = len(trained[1]["click"]) / len(raw["source", "train"])
    assert share == pytest.approx(0.1, abs=0.03)
    kept = [read_rows(source, part) for part in ("train", "validation")]
    assert set(as_set(kept[0]) + as_set(kept[1])) < set(as_set(raw["target", "train"]))


def test_metadata(source):
    metadata = source.prepared.metadata
    assert (metadata["sources"], metadata["target"]) == (["source"], "target")
    assert metadata["options"] == {"reader": "synthetic"}
    assert metadata["dropped"]["target: training rows without a click"] > 200
    assert any(reason.endswith("item file only") for reason in metadata["dropped"])
    described = metadata["splits"]
    for name, counts in described.items():
        role, part = name.split("_")
        rows = read_rows(source, part, role)
        assert counts["rows"] == len(rows["click"])
        assert counts["clicks"] == rows["click"].sum()
        assert counts["conversions"] == rows["conversion"].sum()
        assert source.num_examples("impression", part, domain=role) == counts["rows"]
        assert len(source.prepared.files(name)) == 1
    assert source.num_examples("impression", "train") == described["target_train"]["rows"]
    assert len(source.field_sizes) == len(source.categorical_columns) == 16
    assert source.field_sizes[6] == 50
    assert len(source.numerical_columns) == 63
    assert source.max_length == 0
    assert any("target_train" in line for line in metadata["summary"])
    assert source.prepared.corrupt_shard() is None


def test_batches_are_static_and_typed(source):
    batches = source.batches("impression", "train", batch_size=48, seed=0, domain="source")
    shapes = {name: (spec.shape.as_list(), spec.dtype.name) for name, spec in
              batches.element_spec.items()}  # fmt: skip
    assert shapes == {
        "categorical": ([48, 16], "int32"),
        "numerical": ([48, 63], "float32"),
        "click": ([48], "float32"),
        "conversion": ([48], "float32"),
        "example_weight": ([48], "float32"),
    }


def test_training_fills_its_last_batch_with_the_first_rows(source):
    number = source.num_examples("impression", "train")
    for size in (number - 3, 2 * number + 5):
        batches = source.batches("impression", "train", batch_size=size, seed=0)
        read = [batch["numerical"] for batch in batches.as_numpy_iterator()]
        rows = np.concatenate(read)
        assert len(rows) == size * -(-number // size)
        np.testing.assert_array_equal(rows, np.resize(rows[:number], rows.shape))


def test_epochs_differ_in_order_only_and_resume(source):
    first, again, second = (
        read_rows(source, "train", "source", epoch=epoch) for epoch in (0, 0, 1)
    )
    np.testing.assert_array_equal(first["numerical"], again["numerical"])
    assert not np.array_equal(first["numerical"], second["numerical"])
    assert as_set(first) == as_set(second)
    tests = [read_rows(source, "test", epoch=epoch, batch_size=size) for epoch, size in
             ((0, 7), (1, 64))]  # fmt: skip
    np.testing.assert_array_equal(tests[0]["numerical"], tests[1]["numerical"])


@pytest.mark.parametrize(("split", "epochs"), [("train", [1, 0]), ("test", [0, 1])])
def test_epochs_one_behind_the_other_are_what_each_is_alone(source, split, epochs):
    reading = {"batch_size": 50, "seed": 1, "domain": "source"}
    alone = [
        list(source.batches("impression", split, epoch=epoch, **reading).as_numpy_iterator())
        for epoch in epochs
    ]
    for steps, expected in ((None, alone[0] + alone[1]), ([1, 2], alone[0][:1] + alone[1][:2])):
        several = source.epochs("impression", split, epochs=epochs, steps=steps, **reading)
        for batch, one in zip(several.as_numpy_iterator(), expected, strict=True):
            for name, values in one.items():
                np.testing.assert_array_equal(batch[name], values)


@pytest.mark.parametrize("split", ["train", "test"])
def test_processes_share_batches(source, split):
    def batches(rows):
        read = source.batches(
            "impression", split, batch_size=50, seed=1, rows=rows, domain="source"
        )
        return [{name: value.numpy() for name, value in batch.items()} for batch in read]

    whole, parts = batches(None), [batches(rows) for rows in ((0, 20), (20, 50))]
    assert len(whole) == len(parts[0]) == len(parts[1])
    for batch, *own in zip(whole, *parts, strict=True):
        for name, values in batch.items():
            np.testing.assert_array_equal(values, np.concatenate([part[name] for part in own]))


def test_early_rows_differ_between_epochs(tmp_path, monkeypatch):
    """Who reads only the beginning of each epoch sees all rows in time, not the same ones."""
    monkeypatch.setattr(block_batches, "BLOCKS_PER_FILE", 1)
    monkeypatch.setattr(build, "KIND", dataclasses.replace(build.KIND, records_per_shard=1))
    build.build(demo_log(), SPLIT, tmp_path / "data")
    data = opened(tmp_path / "data")
    number = data.num_examples("impression", "train", domain="source")
    assert len(data.prepared.files("source_train")) == -(-number // 64)
    assert len(set(as_set(read_rows(data, "train", "source")))) == number
    seen = set()
    for epoch in range(12):
        batches = data.batches(
            "impression", "train", batch_size=64, seed=0, epoch=epoch, domain="source"
        )
        seen |= set(as_set(next(iter(batches.as_numpy_iterator()))))
    assert len(seen) > 0.3 * number


def test_a_build_repeats(source, tmp_path):
    build.build(demo_log(), SPLIT, tmp_path / "data", provenance={"reader": "synthetic"})
    again = opened(tmp_path / "data")
    assert json.dumps(again.prepared.metadata) == json.dumps(source.prepared.metadata)
    np.testing.assert_array_equal(
        read_rows(again, "train")["numerical"], read_rows(source, "train")["numerical"]
    )
    build.build(demo_log(), ImpressionSplitOptions("target", 0.5, 0.25, seed=1), tmp_path / "other")
    assert opened(tmp_path / "other").fingerprint != source.fingerprint


class SmallLog(ImpressionLog):
    """Chunks made by hand."""

    columns = Columns(("shop",), ("price",))

    def __init__(self, chunks, domains=()):
        super().__init__(BadLines("", 0))
        self._chunks, self.domains = chunks, domains

    def chunks(self, scratch):
        for domain, part, number in self._chunks:
            rows = np.zeros(number, self.columns.row_type())
            rows["categorical"][:, 0] = np.arange(number) % 5
            rows["click"] = np.arange(number) % 2
            yield Chunk(domain, part, rows)


def test_several_source_domains_are_one_source(tmp_path):
    log = SmallLog([("a", "train", 30), ("b", "train", 20), ("t", "train", 10), ("t", "test", 4)])
    split = ImpressionSplitOptions("t", validation_share=0)
    metadata = build.build(log, split, tmp_path / "data", field_sizes=(9,))
    assert metadata["domains"] == ["a", "b", "t"] and metadata["sources"] == ["a", "b"]
    data = opened(tmp_path / "data")
    assert data.num_examples("impression", "train", domain="source") == 50
    assert data.num_examples("impression", "validation", domain="source") == 0
    assert data.field_sizes == (9,)
    with pytest.raises(DataError, match="split source_validation is empty"):
        data.batches("impression", "validation", batch_size=2, seed=0, domain="source")
    with pytest.raises(DataError, match=r"domain must be one of source, target\. Received: 'a'"):
        data.batches("impression", "train", batch_size=2, seed=0, domain="a")


def test_what_impressions_do_not_have_is_refused(source):
    with pytest.raises(DataError, match="has no view transfer, only impression"):
        source.num_examples("transfer", "train")
    with pytest.raises(DataError, match="no batching option 'cls', only: domain"):
        source.batches("impression", "train", batch_size=2, seed=0, cls="last")
    with pytest.raises(DataError, match="impressions have no items, so no item space 'target'"):
        source.vocabulary("target")
    assert source.user_names([]) == []


def test_fingerprints_follow_rows_and_columns(tmp_path):
    """Of columns alone: a source model fits any target that has the same."""

    def source_of(name, number=10, sizes=(9,)):
        log = SmallLog([("a", "train", 20), ("t", "train", number)])
        build.build(log, ImpressionSplitOptions("t"), tmp_path / name, field_sizes=sizes)
        return opened(tmp_path / name)

    first, again = source_of("first"), source_of("again")
    longer, wider = source_of("longer", number=30), source_of("wider", sizes=(8,))
    assert first.fingerprint == again.fingerprint
    assert len({first.fingerprint, longer.fingerprint, wider.fingerprint}) == 3
    assert first.shared_fingerprint == longer.shared_fingerprint != wider.shared_fingerprint


def test_damage_is_named(tmp_path):
    build.build(demo_log(), SPLIT, tmp_path / "data")
    data = opened(tmp_path / "data")
    (path,) = data.prepared.files("target_train")
    with open(path, "r+b") as file:
        file.truncate(1000)
    with pytest.raises(DataError, match=r"target_train.*: damaged or truncated"):
        data.batches("impression", "train", batch_size=2, seed=0)
    assert data.batches("impression", "test", batch_size=2, seed=0)
    assert data.prepared.corrupt_shard() == path
    os.remove(path)
    with pytest.raises(DataError, match=r"target_train.*: the shard is missing"):
        data.batches("impression", "train", batch_size=2, seed=0)


@pytest.mark.parametrize("domains", [(), ("a",)])
def test_mistakes_leave_nothing_behind(tmp_path, domains):
    log = SmallLog([("a", "test", 30)], domains)
    with pytest.raises(DataError, match=r"--impression_split\.target=t: the log has no"):
        build.build(log, ImpressionSplitOptions("t"), tmp_path / "data")
    with pytest.raises(DataError, match="the input leaves no row to train on"):
        build.build(log, ImpressionSplitOptions(), tmp_path / "data")
    assert not list(tmp_path.iterdir())


def test_draws_are_by_row_and_not_by_chunk():
    columns = SmallLog.columns
    rows = np.zeros(2000, columns.row_type())
    rows["numerical"][:, 0] = np.arange(2000)
    rows["click"] = np.arange(2000) % 4 == 0
    options = ImpressionSplitOptions("t", 0.5, 0.1, 0.2, seed=5)

    def parts(cuts):
        found = {"train": [], "validation": []}
        drawn = draws.RowDraws(options)
        for piece in np.split(rows, cuts):
            for part, kept in drawn.parts(Chunk("t", "train", piece)):
                found[part] += kept["numerical"][:, 0].tolist()
        return found, drawn.left_out

    whole, left_out = parts([])
    assert parts([1, 70, 71, 1500]) == (whole, left_out)
    kept = np.array(sorted(whole["train"] + whole["validation"]), int)
    assert (kept % 4 == 0).sum() == pytest.approx(250, abs=45)
    assert (kept % 4 != 0).sum() == pytest.approx(150, abs=45)
    assert len(whole["validation"]) / len(kept) == pytest.approx(0.2, abs=0.06)
    assert sum(left_out.values()) == 2000 - len(kept)
    # The source and other parts lose no row.
    drawn = draws.RowDraws(options)
    assert sum(len(kept) for _, kept in drawn.parts(Chunk("s", "train", rows))) == 2000
    assert [(part, len(kept)) for part, kept in drawn.parts(Chunk("t", "test", rows))] == [
        ("test", 2000)
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": "t", "positive_rate": 0.0}, "positive_rate is 0.0: it must be in (0, 1]"),
        ({"negative_rate": 0.5}, "negative_rate is of the target's rows: name the target"),
        ({"validation_share": 1.0}, "validation_share is 1.0: it must be in [0, 1)"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(DataError) as error:
        ImpressionSplitOptions(**options)
    assert message in str(error.value)
