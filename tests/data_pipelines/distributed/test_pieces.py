"""A file read piece by piece gives the rows, counts and messages of a file read at once."""

import bz2
import collections
import gzip
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from apache_beam.io.localfilesystem import LocalFileSystem

from data_pipelines import readers
from data_pipelines.distributed import pieces
from data_pipelines.errors import DataError
from data_pipelines.readers.delimited import CsvOptions, domain_names, table_formats

ROWS = [
    (f"u{k % 7}", f"{'bt'[k % 2]}{k % 11}", ("books", "toys")[k % 2], 100 + k, k % 5 + 0.5)
    for k in range(60)
]
HEADER = "user_id,item_id,domain,timestamp,rating"
LINES = [HEADER, *(",".join(map(str, row)) for row in ROWS)]
TEXT = "\n".join(LINES) + "\n"


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    monkeypatch.setattr(pieces, "_PIECE_BYTES", 97)


def read_in_pieces(inputs, options):
    """All rows by their place, and the facts in order; the pieces come in any order."""
    formats = table_formats(inputs, options)
    opened = [pieces.open_source(table, number) for number, table in enumerate(formats)]
    in_column = options.domain_by == "column" and not options.domains
    names = () if in_column else domain_names(formats, ())
    blocks = [
        block
        for source, found in reversed(opened)
        for piece in reversed(found)
        for block in pieces.read_piece(piece, source, names)
    ]
    rows = pd.concat([block.rows for block in blocks if len(block.rows)])
    return rows.sort_index(), sorted((b.facts for b in blocks), key=lambda facts: facts["place"])


def check_same(inputs, options):
    expected = readers.read("csv", inputs, options)
    rows, facts = read_in_pieces(inputs, options)
    assert rows.index.is_unique
    if not options.timestamp_column:
        assert rows["timestamp"].is_monotonic_increasing
        rows, interactions = rows.drop(columns="timestamp"), expected.interactions
        expected_rows = interactions.drop(columns="timestamp")
    else:
        expected_rows = expected.interactions
    pd.testing.assert_frame_equal(rows.reset_index(drop=True), expected_rows, check_dtype=False)
    assert sum(fact["bad"] for fact in facts) == expected.skipped_lines
    left_out = sum((collections.Counter(f["left_out"]) for f in facts), collections.Counter())
    assert left_out == expected.left_out
    return facts


def test_text_is_cut_at_line_ends(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text(TEXT)
    facts = check_same([str(path)], CsvOptions())
    assert len(facts) > 10
    assert sum(fact["lines"] for fact in facts) == len(ROWS)


@pytest.mark.parametrize("size", [20, 23, 24, 25, 48, 1000, 10_000])
def test_wherever_the_cuts_fall(tmp_path, monkeypatch, size):
    monkeypatch.setattr(pieces, "_PIECE_BYTES", size)
    path = tmp_path / "log.csv"
    path.write_text(TEXT.removesuffix("\n"))
    check_same([str(path)], CsvOptions())


@pytest.mark.parametrize("text", ["\n" + TEXT, "\ufeff" + TEXT, TEXT.replace("\n", "\r\n")])
def test_line_ends_blank_lines_and_byte_order_marks(tmp_path, text):
    path = tmp_path / "log.csv"
    path.write_bytes((text + "\n\n").encode())
    check_same([str(path)], CsvOptions())


def test_quoted_fields(tmp_path):
    path = tmp_path / "log.tsv"
    lines = [line.replace(",", "\t") for line in LINES]
    lines[5] = '"u ""x"", y"\tb1\tbooks\t7\t1'
    path.write_text("\n".join(lines) + "\n")
    check_same([str(path)], CsvOptions(quotes="double"))


def zstandard(content):
    return pa.compress(content, codec="zstd", asbytes=True)


@pytest.mark.parametrize(
    ("suffix", "pack"), [("gz", gzip.compress), ("bz2", bz2.compress), ("zst", zstandard)]
)
def test_compressed_text_comes_block_by_block(tmp_path, suffix, pack):
    path = tmp_path / f"log.csv.{suffix}"
    path.write_bytes(pack(TEXT.encode()))
    assert len(check_same([str(path)], CsvOptions())) > 5


def test_parquet_is_cut_at_row_groups(tmp_path):
    path = tmp_path / "log.parquet"
    table = pd.DataFrame(ROWS, columns=HEADER.split(","))
    table["domain"] = table["domain"].astype("category")
    pq.write_table(pa.Table.from_pandas(table), path, row_group_size=7)
    assert len(check_same([str(path)], CsvOptions())) == 9


def test_several_files_without_times_by_file_and_part(tmp_path):
    inputs = []
    for k, part in enumerate(("train", "test")):
        path = tmp_path / f"{part}.csv"
        path.write_text("\n".join(["user_id,item_id", *(f"u{i},i{k}{i}" for i in range(40))]))
        inputs.append(f"books={path}@{part}")
    check_same(inputs, CsvOptions(domain_by="file", timestamp_column=""))


def test_domains_by_item_range_and_category(tmp_path):
    path = tmp_path / "log.csv"
    lines = ["user_id,item_id,timestamp,category"]
    lines += [f"u{k % 5},{k},{k},{'Toys|Games' if k % 3 else 'Rest'}" for k in range(50)]
    path.write_text("\n".join(lines) + "\n")
    ranges = ("A:0:19", "B:20:44")
    check_same([str(path)], CsvOptions(domain_by="item_range", item_ranges=ranges, max_bad_lines=5))
    check_same([str(path)], CsvOptions(domain_by="category", domains=("Games", "Toys")))


def test_a_line_break_in_quotes_is_refused_with_its_line(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text(TEXT + '"u\n1",b1,books,7,1\n')
    _, facts = read_in_pieces([str(path)], CsvOptions())
    fatal = [fact["fatal"] for fact in facts if fact["fatal"]]
    assert "a quoted field with a line break" in fatal[0]
    assert "--engine=local" in fatal[0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "log.csv: no such file"),
        ("", "log.csv: the file is empty"),
        ("user_id,item_id\n", "no column 'timestamp'"),
    ],
)
def test_what_the_beginning_of_a_file_tells(tmp_path, content, message):
    path = tmp_path / "log.csv"
    if content is not None:
        path.write_text(content)
    with pytest.raises(DataError, match=message):
        read_in_pieces([str(path)], CsvOptions())


class Shelf(LocalFileSystem):
    """A file system of its own, as those of cloud stores are: shelf://NAME lies in `folder`."""

    folder = ""

    @classmethod
    def scheme(cls):
        return "shelf"

    def match(self, patterns, limits=None):
        return super().match([self._real(pattern) for pattern in patterns], limits)

    def open(self, path, mime_type="application/octet-stream", compression_type="auto"):
        return super().open(self._real(path), mime_type, compression_type)

    def _real(self, path):
        return path.replace("shelf://", f"{self.folder}/")


def test_urls_are_opened_by_beam(tmp_path, monkeypatch):
    monkeypatch.setattr(Shelf, "folder", str(tmp_path))
    (tmp_path / "log.csv").write_text(TEXT)
    table = pd.DataFrame(ROWS, columns=HEADER.split(","))
    pq.write_table(pa.Table.from_pandas(table), tmp_path / "log.parquet", row_group_size=7)
    (tmp_path / "log.csv.gz").write_bytes(gzip.compress(TEXT.encode()))
    expected = readers.read("csv", [str(tmp_path / "log.csv")], CsvOptions()).interactions
    for name in ("log.csv", "log.csv.gz", "log.parquet"):
        rows, _ = read_in_pieces([f"shelf://{name}"], CsvOptions())
        pd.testing.assert_frame_equal(rows.reset_index(drop=True), expected, check_dtype=False)
    with pytest.raises(DataError, match=r"shelf://none\.csv"):
        read_in_pieces(["shelf://none.csv"], CsvOptions())


def test_places_rise_with_the_input():
    assert pieces.source_number(np.int64(3) * (1 << 44) + 5) == 3


def test_tables_as_people_have_them_are_read_alike(tmp_path):
    """What both engines decide row by row; `readers/test_table_formats.py` says what it must be."""
    times = ["1500000000", "1500000000.5", "2017-07-14T02:40:03Z"]
    lines = [f"{k % 3}.0\tb{k}\tA\t{times[k % 3]}\t{k % 5 or ''}" for k in range(40)]
    text = HEADER.replace(",", "\t") + "\n" + "\n".join(lines) + "\n"
    path = tmp_path / "log.inter"
    for content in (text.encode(), text.encode("utf-16"), gzip.compress(text.encode())):
        path.write_bytes(content)
        expected = readers.read("csv", [str(path)], CsvOptions(least_rating="2"))
        rows, facts = read_in_pieces([str(path)], CsvOptions(least_rating="2"))
        digits = np.array([fact["digits"] for fact in facts])
        places = [fact["place"] for fact in facts]
        block = np.searchsorted(places, rows.index.to_numpy(), side="right") - 1
        scaled = rows["timestamp"] * 10 ** (3 - digits[block])
        assert scaled.tolist() == expected.interactions["timestamp"].tolist()
        assert expected.time_unit == "ms"
        assert rows["user_id"].tolist() == expected.interactions["user_id"].tolist()
    records = [json.dumps(dict(zip(HEADER.split(","), row, strict=True))) for row in ROWS]
    (tmp_path / "log.jsonl").write_text("\n".join(records) + "\n")
    assert len(check_same([str(tmp_path / "log.jsonl")], CsvOptions())) > 5
    columns = tuple(HEADER.split(","))
    (tmp_path / "bare.csv").write_text("\n".join(LINES[1:]))
    check_same([str(tmp_path / "bare.csv")], CsvOptions(header=columns))


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_json_line_that_is_no_text_is_a_bad_line(tmp_path, pack):
    records = [json.dumps(dict(zip(HEADER.split(","), row, strict=True))) for row in ROWS]
    lines = [record.encode() for record in records]
    lines[1:1] = [b'{"user_id": "\xfe"}']
    path = tmp_path / "log.jsonl"
    path.write_bytes(pack(b"\xef\xbb\xbf" + b"\n".join(lines)))
    facts = check_same([str(path)], CsvOptions(max_bad_lines=1))
    assert sum(fact["bad"] for fact in facts) == 1


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, zstandard])
def test_a_truncated_file_is_refused_wherever_it_is_cut(tmp_path, pack):
    content = pack(TEXT.encode())
    path = tmp_path / "log.csv.gz"
    for cut in range(20, len(content), max(1, len(content) // 9)):
        path.write_bytes(content[:cut])
        try:
            _, facts = read_in_pieces([str(path)], CsvOptions())
        except (DataError, ValueError) as error:
            assert isinstance(error, DataError) or "concatenate" in str(error)
        else:
            assert any("is truncated" in fact["fatal"] for fact in facts)
