"""Small files in every format that is read, and what hypothesis does to them."""

import bz2
import gzip
import io
import lzma
import re
import types
import zipfile
from collections.abc import Mapping
from typing import NamedTuple

import hypothesis.strategies as st
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.data_pipelines.impressions import raw_files


class Case(NamedTuple):
    """Files that a reader takes.

    Attributes:
      reader: its name.
      inputs: entries of --input, with {} for the folder of the files.
      files: name -> content.
      options: of the reader.
    """

    reader: str
    inputs: tuple[str, ...]
    files: dict[str, bytes]
    options: Mapping[str, object] = types.MappingProxyType({})


ROWS = [
    (f"u{k % 3}", f"i{k % 4}", ("books", "toys")[k % 2], 1_500_000_000 + 60 * k, k % 5, "Drama|War")
    for k in range(12)
]
COLUMNS = ("user_id", "item_id", "domain", "timestamp", "rating", "category")
BY_FILE = {"domain_by": "file"}
CATEGORIES = {"domain_by": "category", "domains": ("Drama", "War")}


def delimited(separator=",", rows=ROWS, columns=COLUMNS, quote=""):
    lines = [columns, *rows]
    return "".join(
        separator.join(f"{quote}{field}{quote}" for field in line) + "\n" for line in lines
    ).encode()


def json_lines(rows=ROWS, columns=COLUMNS):
    import json

    return "".join(json.dumps(dict(zip(columns, row, strict=True))) + "\n" for row in rows).encode()


def parquet(columns, **options):
    out = io.BytesIO()
    pq.write_table(pa.table(columns), out, **options)
    return out.getvalue()


def zipped(content, name="log.csv"):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return out.getvalue()


def as_columns(rows=ROWS, columns=COLUMNS):
    return dict(zip(columns, map(list, zip(*rows, strict=True)), strict=True))


def review(user, item, time):
    return (
        f'{{"reviewerID": "{user}", "asin": "{item}", "overall": 4.0, "reviewText": "\\"fine\\"",'
        f' "unixReviewTime": {time}}}\n'
    )


def impressions():
    names = ("domain", "part", "categorical_1", "categorical_2", "numerical_1")
    rows = [
        ("RN"[k % 2], "test" if k % 5 == 0 else "train", k % 3, k % 4, k / 2, k % 2, int(k == 5))
        for k in range(12)
    ]
    return (*names, "click", "conversion"), rows


def aliexpress(folder):
    """An archive in the published layout; `folder` is where it is written on the way."""
    return raw_files.write_archive(folder / "nl.zip", raw_files.default_files()).read_bytes()


MARKS = "|".join("0" if k % 4 else "1" for k in range(19))

INTERACTIONS = {
    "csv": Case("csv", ("{}/log.csv",), {"log.csv": delimited(quote='"')}),
    "tsv": Case("csv", ("{}/log.tsv",), {"log.tsv": delimited("\t")}, {"least_rating": "1"}),
    "utf-16": Case("csv", ("{}/log.csv",), {"log.csv": delimited(";").decode().encode("utf-16")}),
    "gzip": Case("csv", ("{}/log.csv.gz",), {"log.csv.gz": gzip.compress(delimited(), mtime=0)}),
    "bzip2": Case("csv", ("{}/log.csv",), {"log.csv": bz2.compress(delimited())}),
    "xz": Case("csv", ("{}/log.xz",), {"log.xz": lzma.compress(delimited("\t"))}),
    "zip": Case("csv", ("{}/log.zip",), {"log.zip": zipped(delimited("\t"))}),
    "json": Case("csv", ("{}/log.jsonl",), {"log.jsonl": json_lines()}, CATEGORIES),
    "parquet": Case("csv", ("{}/log.parquet",), {"log.parquet": parquet(as_columns())}, CATEGORIES),
    "two files": Case(
        "csv",
        ("books={}/books.csv@train", "toys={}/toys.json@test"),
        {
            "books.csv": delimited(rows=[row[:4] for row in ROWS], columns=COLUMNS[:4]),
            "toys.json": json_lines([row[:4] for row in ROWS], COLUMNS[:4]),
        },
        BY_FILE,
    ),
    "lists": Case(
        "csv",
        ("a={}/log.tsv",),
        {"log.tsv": b"user_id:token\titem_id:token_seq\ttimestamp\nu\ta b c\t1 2 3\nv\tb\t4\n"},
        {**BY_FILE, "list_separator": " "},
    ),
    "no header": Case(
        "csv",
        ("{}/log.csv",),
        {"log.csv": delimited().partition(b"\n")[2]},
        {"header": ("user", "item", "domain", "time", "rating", "category")},
    ),
    "item ranges": Case(
        "csv",
        ("{}/log.csv",),
        {"log.csv": b"user_id,item_id,timestamp\nu,1,5\nu,9007199254740993,6\nv,2,7\n"},
        {
            "domain_by": "item_range",
            "item_ranges": ("A:1:1000", "B:9007199254740993:9007199254740999"),
            "time_unit": "ms",
        },
    ),
    "folder": Case(
        "csv",
        ("{}/log",),
        {
            "log/domain=books/a.csv": b"user_id,item_id,timestamp\nu,1,2017-07-14T02:40:00Z\n",
            "log/domain=toys/b.parquet": parquet(
                {"user_id": ["u"], "item_id": ["2"], "timestamp": np.array([5], "datetime64[ms]")}
            ),
        },
    ),
    "events": Case(
        "csv",
        ("{}/log.csv",),
        {
            "log.csv": delimited(
                rows=[(*row, ("buy", "view", "see")[k % 3]) for k, row in enumerate(ROWS)],
                columns=(*COLUMNS, "event"),
            )
        },
        {"event_weights": ("buy=1", "view=0.2")},
    ),
    "amazon": Case(
        "amazon",
        ("books={}/reviews_Books.json.gz",),
        {
            "reviews_Books.json.gz": gzip.compress(
                "".join(review(*row[:2], row[3]) for row in ROWS).encode(), mtime=0
            ),
            "meta_Books.json": b"{'asin': 'i1', 'title': 'A \"b\"', 'categories': [['A', 'B']]}\n",
        },
    ),
    "ml-100k": Case(
        "movielens",
        ("{}",),
        {
            "u.data": b"1\t1\t5\t874965758\n1\t2\t3\t876893171\n2\t1\t4\t888550871\n",
            "u.item": "".join(
                f"{k}|Título {k} (1995)|01-Jan-1995||http://x|{MARKS}\n" for k in (1, 2)
            ).encode("latin-1"),
        },
        {"domains": ("Drama", "unknown")},
    ),
    "ml-1m": Case(
        "movielens",
        ("{}",),
        {
            "ratings.dat": b"1::1::5::978300760\n1::2::3::978302109\n2::1::4::978301968\n",
            "movies.dat": b"1::One (1999)::Drama|War\n2::Two::Comedy\n",
        },
        {"domains": ("Drama", "Comedy")},
    ),
    "ml-25m": Case(
        "movielens",
        ("{}",),
        {
            "ratings.csv": b"userId,movieId,rating,timestamp\n1,1,3.5,97830076\n1,2,4,978302109\n",
            "movies.csv": b'movieId,title,genres\n1,"One, The",Drama|War\n2,Two,Comedy\n',
        },
        {"domains": ("Drama", "Comedy")},
    ),
    "sequences": Case("sequences", ("A={}/a.txt",), {"a.txt": b"u1 i1 i2 i3\nu2 i1\nu3 i4 i4\n"}),
    "pairs": Case(
        "pairs",
        ("A={}/a.txt@train", "B={}/b.txt@test"),
        {"a.txt": b"u i\nv j\n", "b.txt": b"u k\n"},
    ),
    "peterrec": Case("peterrec", ("{}/a.csv",), {"a.csv": b"0,0,5,7,,3,4\n0,1,2,9,,3\n"}),
    "rechorus": Case(
        "rechorus",
        ("Shop={}",),
        {
            "train.csv": b"user_id\titem_id\ttime\n1\t5\t5\n2\t6\t5\n2\t5\t6\n",
            "dev.csv": b"user_id\titem_id\ttime\tneg_items\n1\t12\t7\t[5, 6]\n2\t7\t8\t[5, 6]\n",
            "test.csv": b"user_id\titem_id\ttime\tneg_items\n1\t13\t9\t[5, 6]\n2\t8\t9\t[5, 6]\n",
        },
    ),
    "syncrec": Case(
        "syncrec",
        ("{}/seq.txt", "items={}/items.txt"),
        {
            "seq.txt": b"\tuser_id\titem\ttype\tunix_time\tlist_len\n"
            b"0\tann\t007,B2,007\tBooks,Toys,Books\t10,20,20\t3\n1\tbob\tB2\tToys\t5\t1\n",
            "items.txt": b"\titem\tcnt\n0\t007\t2\n1\tB2\t2\n",
        },
    ),
}

IMPRESSIONS = {
    "csv": Case("csv", ("{}/log.csv",), {"log.csv": delimited(",", *impressions()[::-1])}),
    "parquet": Case(
        "csv", ("{}/log.parquet",), {"log.parquet": parquet(as_columns(*impressions()[::-1]))}
    ),
    "any values": Case(
        "csv",
        ("{}/log.csv",),
        {"log.csv": delimited(",", *impressions()[::-1])},
        {"least_count": 2},
    ),
    "gzip": Case(
        "csv",
        ("{}/log.tsv.gz",),
        {"log.tsv.gz": gzip.compress(delimited("\t", *impressions()[::-1]), mtime=0)},
        {"missing_numbers": "0"},
    ),
}

# What stands where nobody expects it: signs that formats use, numbers at the ends of types,
# invalid UTF-8, controls, an escape sequence for terminals.
TOKENS = [
    *(b"\0", b'"', b"'", b",", b"\t", b"\n", b"\r", b"\r\n", b" ", b"|", b":", b"::", b";", b"\\"),
    *(b"[", b"]", b"{", b"}", b"\xff", b"\xfe\xff", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\x1b[31m"),
    *(b"nan", b"inf", b"null", b"NA", b"true", b"-1", b"1e308", b"1e400", b"0.1", b"1000.0"),
    *(b"9223372036854775807", b"9223372036854775808", b"-9223372036854775809", b"1" * 5000),
    *(b"2017-07-14T02:40:00", b"0001-01-01", b"=", b"@", b"all", b"../x", b"train"),
    *("é".encode(), "\u2028".encode(), "\u202e".encode(), "٣".encode(), b"x" * 200_000),
]


CHANGES = ["put", "flip", "take", "double", "cut", "empty", "move", *["field"] * 4]
# What stands between the signs that separate in any of the formats.
_FIELD = re.compile(rb"[^,\t\n;|:{}\[\] ]+")


@st.composite
def mutated(draw, content):
    """Some changes of a content: bytes flipped, taken, doubled, exchanged, put in, cut off."""
    data = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.sampled_from([0, 1, 1, 2, 5, 20, 100])))
        change = draw(
            st.sampled_from(
                ["put", "flip", "take", "double", "cut", "empty", "move"] + ["field"] * 4
            )
        )
        if change == "put":
            data[start:end] = draw(st.sampled_from(TOKENS))
        elif change == "flip" and start < len(data):
            data[start] ^= 1 << draw(st.integers(0, 7))
        elif change == "take":
            del data[start:end]
        elif change == "double":
            data[end:end] = data[start:end] * draw(st.sampled_from([1, 1, 2, 50]))
        elif change == "cut":
            del data[start:]
        elif change == "empty" and draw(st.integers(0, 9)) == 0:
            data.clear()
        elif change == "field":
            fields = [*_FIELD.finditer(data)]
            if fields:
                found = draw(st.sampled_from(fields))
                other = draw(st.sampled_from(fields))[0] if draw(st.booleans()) else None
                data[slice(*found.span())] = other or draw(st.sampled_from(TOKENS))
        elif change == "move":
            piece = data[start:end]
            del data[start:end]
            place = draw(st.integers(0, len(data)))
            data[place:place] = piece
    return bytes(data)


PACKERS = {
    ".gz": (lambda content: gzip.compress(content, mtime=0), gzip.decompress),
    ".xz": (lzma.compress, lzma.decompress),
}


@st.composite
def mutated_files(draw, files):
    """Changes one of some files; packed ones also within."""
    name = draw(st.sampled_from(sorted(files)))
    content = files[name]
    packed = next((of for suffix, of in PACKERS.items() if name.endswith(suffix)), None)
    if packed and draw(st.booleans()):
        pack, unpack = packed
        return {**files, name: pack(draw(mutated(unpack(content))))}
    return {**files, name: draw(mutated(content))}


def _arrays(rows):
    """Columns of every type that parquet has, `rows` long."""
    numbers = list(range(rows))
    return [
        pa.nulls(rows),
        pa.array([n % 2 == 0 for n in numbers]),
        pa.array(numbers, pa.int8()),
        pa.array([2**64 - 1 - n for n in numbers], pa.uint64()),
        pa.array([n + 0.5 for n in numbers]),
        pa.array([float(n) for n in numbers], pa.float32()),
        pa.array([float("nan"), *numbers[1:]], pa.float64()),
        pa.array([None, *map(str, numbers[1:])]),
        pa.array([b"\xff\xfe" for _ in numbers], pa.binary()),
        pa.array([b"12" for _ in numbers], pa.binary(2)),
        pa.array([[n] for n in numbers]),
        pa.array([[str(n), None] for n in numbers]),
        pa.array([{"a": n} for n in numbers]),
        pa.array([[("a", n)] for n in numbers], pa.map_(pa.string(), pa.int64())),
        pa.array(numbers, pa.date32()),
        pa.array(numbers, pa.timestamp("ns", "Europe/Paris")),
        pa.array([-(2**62)] * rows, pa.timestamp("ms")),
        pa.array(numbers, pa.time64("us")),
        pa.array(numbers, pa.duration("s")),
        pa.array(numbers).cast(pa.decimal128(38, 2)),
        pa.array([str(n) for n in numbers], pa.large_string()),
        pa.array([f"v{n % 2}" for n in numbers]).dictionary_encode(),
        pa.array(["\x1b[31m" + "x" * 300] * rows),
    ]


@st.composite
def odd_parquet(draw, columns):
    """A table some of whose columns are of other types, are missing or come twice."""
    rows = draw(st.sampled_from([1, 3, 12]))
    names, arrays = [], []
    for name, values in columns.items():
        fate = draw(st.sampled_from(["keep"] * 6 + ["odd"] * 4 + ["gone", "twice"]))
        array = pa.array(values[:rows])
        if fate == "odd":
            array = draw(st.sampled_from(_arrays(rows)))
        if fate != "gone":
            names.append(name)
            arrays.append(array)
        if fate == "twice":
            names.append(name)
            arrays.append(array)
    out = io.BytesIO()
    pq.write_table(pa.Table.from_arrays(arrays, names), out)
    return out.getvalue()
