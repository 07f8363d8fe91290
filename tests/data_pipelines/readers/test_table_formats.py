"""Tables as people have them: each is read as a person would read it, or refused with its cause."""

import bz2
import gzip
import io
import json
import lzma
import zipfile

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_pipelines import readers
from data_pipelines.errors import DataError

HEADER = "user_id,item_id,domain,timestamp\n"
TEXT = HEADER + "u1,a,A,1500000000\nu1,b,B,1500000010\nu2,a,A,1500000020\n"
ROWS = [("u1", "a", "A", 0), ("u1", "b", "B", 10), ("u2", "a", "A", 20)]
ONE = {"domain_by": "file"}


def read(*inputs, **options):
    return readers.read(
        "csv", [str(one) for one in inputs], readers.delimited.CsvOptions(**options)
    )


def rows_of(log, *columns):
    columns = columns or ("user_id", "item_id", "domain", "timestamp")
    return list(log.interactions[list(columns)].itertuples(index=False, name=None))


def basic(log):
    return [(*row[:3], row[3] - 1500000000) for row in rows_of(log)]


def refusal(*inputs, **options):
    with pytest.raises(DataError) as caught:
        read(*inputs, **options)
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) < 700
    return message


def zipped(content):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("folder/log.csv", content)
        archive.writestr("__MACOSX/._log.csv", b"x")
    return buffer.getvalue()


PACKINGS = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "Zstandard": lambda content: pa.compress(content, codec="zstd", asbytes=True),
    "zip": zipped,
}


# What a file is


@pytest.mark.parametrize("name", ["log.csv.GZ", "log.csv"])
@pytest.mark.parametrize("packing", PACKINGS)
def test_what_packs_a_file_is_told_by_its_first_bytes(tmp_path, packing, name):
    (tmp_path / name).write_bytes(PACKINGS[packing](TEXT.encode()))
    assert basic(read(tmp_path / name)) == ROWS


@pytest.mark.parametrize("packing", PACKINGS)
def test_a_packed_file_cut_anywhere_is_refused(tmp_path, packing):
    path = tmp_path / "log.csv.gz"
    content = PACKINGS[packing](TEXT.encode())
    for cut in range(6, len(content), 7):
        path.write_bytes(content[:cut])
        assert f"log.csv.gz: the {packing} file is" in refusal(path)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "utf-32"])
def test_a_byte_order_mark_says_the_encoding(tmp_path, encoding):
    (tmp_path / "log.csv").write_bytes(TEXT.replace("u1", "ü1").encode(encoding))
    assert rows_of(read(tmp_path / "log.csv"), "user_id")[0] == ("ü1",)


def test_an_encoding_is_named_by_flag(tmp_path):
    path = tmp_path / "log.csv"
    path.write_bytes(TEXT.replace("u2", "ü2").encode("latin-1"))
    assert rows_of(read(path, encoding="latin-1"), "user_id")[2] == ("ü2",)
    assert "log.csv, line 4: not utf-8 text" in refusal(path)
    path.write_bytes(TEXT.encode("utf-16-le"))
    assert "holds zero bytes" in refusal(path)
    assert basic(read(path, encoding="utf-16-le")) == ROWS
    with pytest.raises(DataError, match="encoding is 'no-such'"):
        read(path, encoding="no-such")


def test_what_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(readers.input_streams, "_ALWAYS_ALLOWED_BYTES", 1 << 16)
    path = tmp_path / "log.csv.gz"
    path.write_bytes(gzip.compress(b"a" * (1 << 20)))
    assert "unpacks to more than 250 times its size" in refusal(path)


def test_an_archive_of_several_files_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "log.zip", "w") as archive:
        archive.writestr("a.csv", TEXT)
        archive.writestr("b.csv", TEXT)
    assert "a zip archive of 2 files" in refusal(tmp_path / "log.zip")


def test_json_lines(tmp_path):
    path = tmp_path / "log.json.gz"
    records = [
        {"u": "u1", "i": 7, "t": 1500000000, "stars": 4.5, "cats": ["X", "A"]},
        {"u": "u1", "i": 8.0, "t": 1500000010.5, "stars": 3, "cats": ["B"]},
        {"t": 1500000020, "i": "x", "u": "u2", "stars": 1},
    ]
    path.write_bytes(gzip.compress("\n".join(map(json.dumps, records)).encode()))
    names = {"user_column": "u", "item_column": "i", "timestamp_column": "t"}
    names |= {"rating_column": "stars", "category_column": "cats"}
    log = read(path, domain_by="category", domains=("A", "B"), **names)
    assert rows_of(log, "user_id", "item_id", "domain", "rating") == [
        ("u1", "7", "A", 4.5),
        ("u1", "8", "B", 3.0),
    ]
    assert log.left_out == {"items of none of the named categories": 1}
    plain = tmp_path / "log.jsonl"
    plain.write_text(json.dumps(records[0]) + '\n{"u": {}}\n')
    assert "log.jsonl, line 2: u '{}' is no text" in refusal(f"A={plain}", **ONE, **names)


def test_text_without_a_header(tmp_path):
    path = tmp_path / "ratings.txt"
    path.write_text("u1 a 5 1500000000\nu2 b 4 1500000010\n")
    log = read(f"A={path}", header=("user", "item", "rating", "time"), separator="space", **ONE)
    assert rows_of(log, "user_id", "rating") == [("u1", 5.0), ("u2", 4.0)]
    path = tmp_path / "ratings.csv"
    path.write_text("u1,a,5,1500000000\n")
    assert "give its columns by --read.header" in refusal(f"A={path}", **ONE)


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_the_separator_that_the_header_shows(tmp_path, separator):
    path = tmp_path / "log.csv"
    path.write_text(TEXT.replace(",", separator).replace("item_id", " item_id "))
    assert basic(read(path)) == ROWS
    escaped = {"\t": "\\t"}.get(separator, separator)
    assert basic(read(path, separator=escaped)) == ROWS


def test_tabs_know_no_quotes_and_a_field_over_lines_is_told(tmp_path):
    lines = ["user_id\titem_id\tdomain\ttimestamp\ttitle", 'u1\ta\tA\t1500000000\t"Open']
    lines += ["u1\tb\tB\t1500000010\tPlain", "u2\ta\tA\t1500000020\tPlain"]
    path = tmp_path / "log.tsv"
    path.write_text("\n".join(lines) + "\n")
    assert basic(read(path)) == ROWS
    spread = tmp_path / "log.csv"
    spread.write_text('user_id,item_id,domain,timestamp,t\nu1,a,A,1500000000,"x\ny"\n\nu,b,A,1,z\n')
    (note,) = read(spread).notes
    assert note.startswith(f"{spread}, line 2: the first of 1 rows that run over several lines")
    assert read(path, quotes="none").notes == ()


# Missing values and numbers


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_missing_category_is_the_same_in_every_file(tmp_path, kind):
    frame = pd.DataFrame(
        {
            "user_id": ["u1", "u2", "u3"],
            "item_id": ["i", "j", "k"],
            "category": ["A", None, "B"],
            "timestamp": [1, 2, 3],
        }
    )
    path = tmp_path / f"log.{kind}"
    frame.to_csv(path, index=False) if kind == "csv" else frame.to_parquet(path)
    log = read(path, domain_by="category", domains=("A", "B"))
    assert rows_of(log, "item_id", "domain") == [("i", "A"), ("k", "B")]
    assert log.left_out == {"items of none of the named categories": 1}


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.array([1000.0, 2.5]), ["1000", "2.5"]),
        (pa.array([2**60 + 1, 7]), [str(2**60 + 1), "7"]),
        (pa.array([1.5, 3], pa.float32()), ["1.5", "3"]),
        (pa.array(["a", "b"]).dictionary_encode(), ["a", "b"]),
        (pa.array([b"a", b"b"]), ["a", "b"]),
        (pa.array([True, False]), ["true", "false"]),
    ],
    ids=str,
)
def test_ids_of_every_type_of_parquet(tmp_path, column, expected):
    table = pa.table({"user_id": column, "item_id": ["i", "j"], "timestamp": [1, 2]})
    pq.write_table(table, tmp_path / "log.parquet")
    log = read(f"A={tmp_path / 'log.parquet'}", **ONE)
    assert [user for (user,) in rows_of(log, "user_id")] == expected


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pa.array([None, None]), "log.parquet, row 1: user_id '' is not an id"),
        (pa.array([None, "a"]), "log.parquet, row 1: user_id '' is not an id"),
        (pa.array([[1], [2]]), "column 'user_id' is of list<"),
        (pa.array([{"a": 1}, {"a": 2}]), "column 'user_id' is of struct<"),
        (pa.array([b"\xff", b"b"]), "column 'user_id', of binary: Invalid UTF8"),
    ],
    ids=str,
)
def test_parquet_of_other_types_is_refused(tmp_path, column, message):
    table = pa.table({"user_id": column, "item_id": ["i", "j"], "timestamp": [1, 2]})
    pq.write_table(table, tmp_path / "log.parquet")
    assert message in refusal(f"A={tmp_path / 'log.parquet'}", **ONE)


def test_ids_that_became_floats_are_those_of_integers(tmp_path):
    (tmp_path / "a.csv").write_text("user_id,item_id,timestamp\n1000.0,x,1\n1.5,y,2\n")
    (tmp_path / "b.csv").write_text("user_id,item_id,timestamp\n1000,x,3\n")
    log = read(f"A={tmp_path / 'a.csv'}", f"B={tmp_path / 'b.csv'}", **ONE)
    assert rows_of(log, "user_id") == [("1000",), ("1.5",), ("1000",)]
    assert log.notes == (
        "rows with user_id written as a float, such as 1000.0, and read as 1000: 1",
    )


def test_one_bad_time_leaves_the_others_exact(tmp_path):
    times = [1700000000000000000 + k for k in range(9)]
    lines = [f"u,i{k},A,{time}" for k, time in enumerate(times)]
    path = tmp_path / "log.csv"
    path.write_text(HEADER + "\n".join([*lines[:4], "u,x,A,noon", *lines[4:]]) + "\n")
    log = read(path, max_bad_lines=1)
    assert [time for (time,) in rows_of(log, "timestamp")] == times
    assert log.skipped_lines == 1


def test_item_ranges_are_exact_beyond_floats(tmp_path):
    path, last = tmp_path / "log.csv", 2**53
    path.write_text(f"user_id,item_id,timestamp\nu,{last},1\nu,{last + 1},2\n")
    ranges = (f"A:0:{last}", f"B:{last + 1}:{last + 9}")
    log = read(path, domain_by="item_range", item_ranges=ranges)
    assert rows_of(log, "domain") == [("A",), ("B",)]


def test_missing_ratings_leave_the_log_without_them(tmp_path):
    one, other = tmp_path / "a.csv", tmp_path / "b.csv"
    one.write_text("user_id,item_id,timestamp,rating\nu,i,1,5\nu,j,2,\n")
    other.write_text("user_id,item_id,timestamp\nu,k,3\n")
    log = read(f"A={one}", f"B={other}", **ONE)
    assert len(log.interactions) == 3
    assert "rating" not in log.interactions
    assert log.notes == ("rows with no rating, so that the data set has none at all: 2",)
    kept = read(f"A={one}", least_rating="3", **ONE)
    assert rows_of(kept, "item_id", "rating") == [("i", 5.0)]
    assert kept.left_out == {"ratings that are missing or below 3": 1}


def test_kinds_of_event_are_chosen(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("user_id,item_id,timestamp,event\nu,i,1,view\nu,j,2,buy\n")
    log = read(f"A={path}", events=("buy",), **ONE)
    assert rows_of(log, "item_id") == [("j",)]
    assert log.left_out == {"events of other kinds than --read.events": 1}


def test_kinds_of_event_count_by_their_weights(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("user_id,item_id,timestamp,rating,event\nu,i,1,4,view\nu,j,2,,buy\nu,k,3,5,x\n")
    log = read(f"A={path}", event_weights=("view=0.25", "buy=1"), **ONE)
    assert rows_of(log, "item_id", "rating") == [("i", 0.25), ("j", 1.0)]
    assert log.left_out == {"events of other kinds than --read.event_weights": 1}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"event_weights": ("buy",)}, "write KIND=WEIGHT"),
        ({"event_weights": ("buy=0",)}, "a weight above 0"),
        ({"event_weights": ("buy=x",)}, "it must be a number"),
        ({"event_weights": ("buy=1", "buy=2")}, "each kind once"),
        ({"event_weights": ("buy=1",), "events": ("buy",)}, "give one of them"),
        ({"event_weights": ("buy=1",), "least_rating": "1"}, "leave rating_column and"),
    ],
)
def test_weights_of_no_meaning_are_refused(options, message):
    with pytest.raises(DataError, match=message):
        readers.READERS["csv"].options(**options)


# Times


@pytest.mark.parametrize(
    ("times", "options", "expected"),
    [
        (["1500000000.25", "1500000000"], {}, ([1500000000250, 1500000000000], "ms")),
        (["2017-07-14 02:40:00", "2017-07-14T04:40:01+02:00"], {}, ([1500000000, 1500000001], "s")),
        (["2017-07-14", "2017-07-15"], {}, ([1499990400, 1500076800], "s")),
        (
            ["2017-07-14T02:40:00.000001Z", "1500000000"],
            {},
            ([1500000000000001, 15 * 10**14], "us"),
        ),
        (["1500000000000", "1500000001000"], {"time_unit": "ms"}, ([1500000000, 1500000001], "s")),
        (["1500000000000", "1500000001000"], {}, ([1500000000000, 1500000001000], "s")),
        (["1.5e9", "1500000001.0"], {}, ([1500000000, 1500000001], "s")),
    ],
)
def test_times_as_people_write_them(tmp_path, times, options, expected):
    path = tmp_path / "log.csv"
    path.write_text(HEADER + "".join(f"u,i,A,{time}\n" for time in times))
    log = read(path, **options)
    assert ([time for (time,) in rows_of(log, "timestamp")], log.time_unit) == expected


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.array([1500000000, 1500000001], pa.timestamp("s")), ([1500000000, 1500000001], "s")),
        (
            pa.array([1500000000250, 1500000001000], pa.timestamp("ms", "Europe/Berlin")),
            ([1500000000250, 1500000001000], "ms"),
        ),
        (pa.array([17361, 17362], pa.date32()), ([1499990400, 1500076800], "s")),
        (pa.array([1500000000.25, 1500000001.0]), ([1500000000250, 1500000001000], "ms")),
    ],
    ids=str,
)
def test_times_of_parquet(tmp_path, column, expected):
    table = pa.table({"user_id": ["u", "v"], "item_id": ["i", "j"], "timestamp": column})
    pq.write_table(table, tmp_path / "log.parquet")
    log = read(f"A={tmp_path / 'log.parquet'}", **ONE)
    assert ([time for (time,) in rows_of(log, "timestamp")], log.time_unit) == expected


def test_two_clocks_are_refused_unless_told(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text(HEADER + "u,i,A,1500000000\nu,j,B,1500000010000\n")
    assert "--read.time_unit=A=s,B=ms" in refusal(path)
    log = read(path, time_unit="A=s,B=ms")
    assert rows_of(log, "timestamp") == [(1500000000,), (1500000010,)]


# Where things stand


def test_folders_of_parts_partitions_and_patterns(tmp_path):
    for domain, row in (("A", "u,i,1"), ("B & C", "u,j,2")):
        folder = tmp_path / "log" / f"domain={domain.replace('&', '%26')}"
        folder.mkdir(parents=True)
        (folder / "part-0.csv").write_text(f"user_id,item_id,timestamp\n{row}\n")
        (folder / "_SUCCESS").touch()
    expected = [("i", "A"), ("j", "B & C")]
    assert rows_of(read(tmp_path / "log"), "item_id", "domain") == expected
    files = read(f"X={tmp_path}/log/*/part-*.csv", **ONE)
    assert rows_of(files, "item_id", "domain") == [("i", "X"), ("j", "X")]
    assert "there are no files" in refusal(tmp_path / "log" / "*.parquet")


def test_a_table_of_items_gives_the_categories(tmp_path):
    (tmp_path / "log.csv").write_text("user_id,item_id,timestamp\nu,1,1\nu,2,2\nu,3,3\n")
    items = tmp_path / "items.tsv"
    items.write_text("item_id:token\tcategory:token_seq\n1.0\t'A', 'X'\n2\t'B'\n")
    by = {"domain_by": "category", "domains": ("A", "B"), "category_separator": ","}
    log = read(tmp_path / "log.csv", items=str(items), **by)
    assert rows_of(log, "item_id", "domain") == [("1", "A"), ("2", "B")]
    assert log.notes == ("rows with an item that --read.items does not have: 1",)
    items.write_text("item_id\tcategory\n1\tA\n1\tB\n")
    assert "item '1' comes twice" in refusal(tmp_path / "log.csv", items=str(items), **by)


def test_columns_by_domain(tmp_path):
    (tmp_path / "a.csv").write_text("who,book,when\nu,i,1\n")
    (tmp_path / "b.csv").write_text("uid,toy,when\nu,j,2\n")
    names = {"user_column": "A=who,B=uid", "item_column": "A=book,B=toy"}
    inputs = [f"A={tmp_path / 'a.csv'}", f"B={tmp_path / 'b.csv'}"]
    log = read(*inputs, timestamp_column="when", **names, **ONE)
    assert rows_of(log) == [("u", "i", "A", 1), ("u", "j", "B", 2)]
    names["user_column"] = "A=who"
    assert "has no entry for B" in refusal(*inputs, timestamp_column="when", **names, **ONE)


def test_domain_names_with_signs_are_renamed_and_a_bad_one_is_a_bad_line(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text(HEADER + 'u,i,"Toys, Games & More",1\nu,j,B,2\nu,k,B ,3\nu,l,B,4\n')
    assert "log.csv, line 2: domain 'Toys, Games & More' has ','" in refusal(path)
    renamed = {"rename_domains": ("Toys, Games & More=Toys",)}
    assert "log.csv, line 4: domain 'B ' has blanks at its ends" in refusal(path, **renamed)
    log = read(path, max_bad_lines=1, **renamed)
    assert rows_of(log, "item_id", "domain") == [("i", "Toys"), ("j", "B"), ("l", "B")]


def test_recbole_headers_and_lists(tmp_path):
    path = tmp_path / "log.inter"
    path.write_text("user_id:token\titem_id:token\ttimestamp:float\nu\ti\t1\n")
    assert rows_of(read(f"A={path}", **ONE)) == [("u", "i", "A", 1)]
    lists = tmp_path / "sessions.tsv"
    lists.write_text("user_id\titem_id\tdomain\ttimestamp\nu\ta, b\tA,B\t1,2\nv\tc\tA\t3\n")
    assert rows_of(read(lists, list_separator=",")) == [
        ("u", "a", "A", 1),
        ("u", "b", "B", 2),
        ("v", "c", "A", 3),
    ]
    lists.write_text("user_id\titem_id\tdomain\ttimestamp\nu\ta,b,c\tA\t1,2\n")
    assert "sessions.tsv, line 2: the lists are not of one" in refusal(lists, list_separator=",")


# Messages


def test_messages_about_strange_lines_are_short_and_printable(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text(HEADER + f"u,{'x' * 200_000},A,1\nu,i,A,noon\n")
    assert "log.csv, line 3: timestamp 'noon'" in refusal(path)
    path.write_text(HEADER + f"u,i,A,{'9' * 3000}\n")
    assert "log.csv, line 2: timestamp '999" in refusal(path)
    path.write_bytes(HEADER.encode() + b"u,i\xff,A,1,9\n")
    assert "log.csv, line 2: not utf-8 text" in refusal(path)
    path.write_text(HEADER + "u,i,A,noon\nu,i,A,noon\n")
    assert "skips what is bad" not in refusal(path)
    with pytest.raises(DataError, match="URLs are not read"):
        read("http://example.com/log.csv")
