"""Property tests: what is written in a format is read back, no more, no less, in the same order."""

import csv
import io
import pathlib
import tempfile

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pandas as pd

from data_pipelines import readers
from data_pipelines.readers.movielens import MovieLensOptions

# Ids of any printable signs, the separators and quotes of csv among them.
any_id = st.text(
    st.characters(exclude_categories=("C", "Z"), include_characters=' ,;"|'), min_size=1, max_size=6
).filter(lambda text: text == text.strip() and text and not text.endswith(".0"))
plain_id = st.text("abcXYZ019_-é", min_size=1, max_size=5)
seconds = st.integers(-(2**62), 2**62)
# Records hold them as float32: what is beyond is a bad line.
_GREATEST = float(np.finfo(np.float32).max)
ratings = st.floats(-_GREATEST, _GREATEST)


def read_text(reader, texts, name="f.txt", **options):
    """Writes {input prefix: text}, reads the files."""
    with tempfile.TemporaryDirectory() as folder:
        inputs = []
        for number, (prefix, text) in enumerate(texts.items()):
            path = pathlib.Path(folder, f"{number}{name}")
            path.write_bytes(text.encode())
            inputs.append(f"{prefix}{path}")
        return readers.read(reader, inputs, readers.READERS[reader].options(**options))


def tuples(log, *columns):
    return list(log.interactions[list(columns)].itertuples(index=False, name=None))


@hypothesis.given(
    st.lists(st.tuples(any_id, any_id, st.sampled_from("AB"), seconds, ratings), min_size=1),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from([",", "\t", ";"]),
)
def test_csv(rows, line_break, separator):
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=separator, lineterminator=line_break)
    writer.writerow(["user_id", "item_id", "domain", "timestamp", "rating"])
    writer.writerows(rows)
    log = read_text("csv", {"": text.getvalue()}, "f.csv", separator=separator, quotes="double")
    assert tuples(log, "user_id", "item_id", "domain", "timestamp", "rating") == rows


@hypothesis.given(st.lists(st.tuples(any_id, any_id, st.sampled_from("AB"), seconds), min_size=1))
def test_parquet(rows):
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "domain", "timestamp"])
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "f.parquet")
        frame.to_parquet(path)
        log = readers.read("csv", [str(path)])
    assert tuples(log, "user_id", "item_id", "domain", "timestamp") == rows


pair_lists = st.lists(st.tuples(plain_id, plain_id), min_size=1)


@hypothesis.given(pair_lists, pair_lists, st.sampled_from([" ", "\t", "  \t"]))
def test_pairs(first, second, blank):
    texts = {
        f"{domain}=": "".join(f"{user}{blank}{item}\n" for user, item in rows)
        for domain, rows in (("A", first), ("B", second))
    }
    log = read_text("pairs", texts)
    assert tuples(log, "user_id", "item_id") == first + second
    for domain, rows in (("A", first), ("B", second)):
        of = log.interactions[log.interactions["domain"] == domain]
        assert of["timestamp"].tolist() == list(range(len(rows)))


@hypothesis.given(
    st.dictionaries(plain_id, st.lists(plain_id, min_size=1, max_size=5), min_size=1, max_size=8)
)
def test_sequences(sequences):
    text = "\n".join(" ".join([user, *items]) for user, items in sequences.items())
    log = read_text("sequences", {"A=": text})
    expected = [(user, item) for user, items in sequences.items() for item in items]
    assert tuples(log, "user_id", "item_id") == expected
    assert log.interactions["timestamp"].is_monotonic_increasing


number = st.integers(1, 9999).map(str)
numbers = st.lists(number, min_size=1, max_size=5)


@hypothesis.given(
    st.lists(
        st.tuples(
            st.lists(number, min_size=1, max_size=5), st.lists(number, min_size=1, max_size=3)
        ),
        min_size=1,
        max_size=8,
    )
)
def test_peterrec(lines):
    longest = max(len(source) for source, _ in lines)
    text = "\n".join(
        ",".join(["0"] * (longest - len(source)) + source) + ",," + ",".join(target)
        for source, target in lines
    )
    log = read_text("peterrec", {"": text})
    for domain, half in (("source", 0), ("target", 1)):
        of = log.interactions[log.interactions["domain"] == domain]
        expected = [(str(n), item) for n, line in enumerate(lines, 1) for item in line[half]]
        assert list(zip(of["user_id"], of["item_id"], strict=True)) == expected


genres = st.lists(
    st.sampled_from(["Drama", "Comedy", "War", "Film-Noir"]), min_size=1, max_size=3, unique=True
)


@hypothesis.given(st.data())
def test_movielens_1m(data):
    movies = data.draw(st.dictionaries(number, genres, min_size=1, max_size=6))
    rating = st.tuples(number, st.sampled_from(sorted(movies)), st.integers(1, 5), seconds)
    rows = data.draw(st.lists(rating, min_size=1))
    with tempfile.TemporaryDirectory() as folder:
        pathlib.Path(folder, "movies.dat").write_bytes(
            "".join(f"{m}::Título {m} (1999)::{'|'.join(g)}\n" for m, g in movies.items()).encode(
                "latin-1"
            )
        )
        pathlib.Path(folder, "ratings.dat").write_text(
            "".join("::".join(map(str, row)) + "\n" for row in rows)
        )
        known = {genre for listed in movies.values() for genre in listed}
        named = data.draw(st.lists(st.sampled_from(sorted(known)), min_size=1, unique=True))

        def first_named(movie):
            return next((genre for genre in movies[movie] if genre in named), None)

        expected = [
            (user, movie, first_named(movie), time)
            for user, movie, _, time in rows
            if first_named(movie)
        ]
        hypothesis.assume(expected)
        log = readers.read("movielens", [folder], MovieLensOptions(domains=tuple(named)))
    assert tuples(log, "user_id", "item_id", "domain", "timestamp") == expected
    assert sum(log.left_out.values()) == len(rows) - len(expected)
