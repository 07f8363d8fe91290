"""Readers on small files in each real format, and on files that are wrong."""

import gzip

import pandas as pd
import pytest

from data_pipelines import readers
from data_pipelines.errors import DataError
from data_pipelines.readers.pairs import PairsOptions
from data_pipelines.readers.synthetic import SyntheticOptions


def read(reader, inputs, **options):
    inputs = [inputs] if not isinstance(inputs, list) else inputs
    options = readers.READERS[reader].options(**options)
    return readers.read(reader, [str(one) for one in inputs], options)


def write(folder, name, text, encoding="utf-8"):
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


def table(log, *columns):
    return list(log.interactions[list(columns)].itertuples(index=False, name=None))


BASIC = ("user_id", "item_id", "domain", "timestamp")


# csv


def test_csv_with_canonical_columns_works_without_flags(tmp_path):
    path = write(
        tmp_path,
        "log.csv",
        "user_id,item_id,domain,timestamp,rating,note\n"
        'u1,"a,1",Books,10,4.5,x\n'
        "\n"
        "u2,007,Toys,20,3,\n",
    )
    log = read("csv", path)
    assert table(log, *BASIC, "rating") == [
        ("u1", "a,1", "Books", 10, 4.5),
        ("u2", "007", "Toys", 20, 3.0),
    ]
    assert log.domains == ("Books", "Toys")
    assert log.comparable_times


def test_csv_columns_are_named_by_flags_and_files_by_domain(tmp_path):
    one = write(tmp_path, "a.tsv", "who\twhat\twhen\tstars\n1\t5\t100\t2\n")
    two = write(tmp_path, "b.tsv", "when\twhat\twho\tstars\n90\t6\t1\t1\n")
    flags = {
        "user_column": "who",
        "item_column": "what",
        "timestamp_column": "when",
        "rating_column": "stars",
        "domain_by": "file",
    }
    log = read("csv", [f"Toys={one}", f"Books={two}"], domains=("Books", "Toys"), **flags)
    assert table(log, *BASIC, "rating") == [
        ("1", "5", "Toys", 100, 2.0),
        ("1", "6", "Books", 90, 1.0),
    ]
    assert log.domains == ("Books", "Toys")


def test_csv_without_times_keeps_the_order_of_lines(tmp_path):
    path = write(tmp_path, "log.csv", "user_id,item_id,domain\nu,z,A\nu,y,B\nv,x,A\n")
    log = read("csv", path, timestamp_column="")
    assert table(log, *BASIC) == [("u", "z", "A", 0), ("u", "y", "B", 1), ("v", "x", "A", 2)]
    assert not log.comparable_times


def test_csv_domain_by_category_takes_the_first_named_one_of_the_list(tmp_path):
    path = write(
        tmp_path,
        "log.csv",
        "user_id,item_id,timestamp,category\nu,1,1,War|Drama|Comedy\nu,2,2,Comedy|Drama\nu,3,3,War\n",
    )
    log = read("csv", path, domain_by="category", domains=("Drama", "Comedy"))
    assert table(log, "item_id", "domain") == [("1", "Drama"), ("2", "Comedy")]
    assert log.left_out == {"items of none of the named categories": 1}


def test_csv_domain_by_item_range(tmp_path):
    path = write(tmp_path, "log.csv", "user_id,item_id,timestamp\nu,1,1\nu,11,2\nu,10,2\n")
    flags = {"domain_by": "item_range", "item_ranges": ("A:1:10", "B:11:20")}
    assert table(read("csv", path, **flags), "domain") == [("A",), ("B",), ("A",)]
    write(tmp_path, "log.csv", "user_id,item_id,timestamp\nu,1,1\nu,21,2\n")
    with pytest.raises(DataError, match=r"log.csv, line 3: item_id '21' is in none of the ranges"):
        read("csv", path, **flags)


def test_csv_has_parts_by_column_or_by_file(tmp_path):
    by_column = write(
        tmp_path, "a.csv", "user_id,item_id,domain,timestamp,part\nu,1,A,1,train\nu,2,A,2,test\n"
    )
    assert table(read("csv", by_column), "part") == [("train",), ("test",)]
    plain = write(tmp_path, "b.csv", "user_id,item_id,timestamp\nu,1,1\n")
    log = read("csv", [f"A={plain}@train", f"A={plain}@test"], domain_by="file")
    assert table(log, "part") == [("train",), ("test",)]


def test_parquet_and_gzip_and_a_byte_order_mark(tmp_path):
    frame = pd.DataFrame(
        {
            "user_id": pd.array([1, 2], dtype="Int64"),
            "item_id": ["a", "b"],
            "domain": pd.Categorical(["A", "B"]),
            "timestamp": pd.to_datetime([5, 6], unit="s"),
        }
    )
    frame.to_parquet(tmp_path / "log.parquet")
    expected = [("1", "a", "A", 5), ("2", "b", "B", 6)]
    assert table(read("csv", tmp_path / "log.parquet"), *BASIC) == expected
    text = "user_id,item_id,domain,timestamp\n1,a,A,5\n2,b,B,6\n".encode("utf-8-sig")
    (tmp_path / "log.csv").write_bytes(text)
    assert table(read("csv", tmp_path / "log.csv"), *BASIC) == expected
    (tmp_path / "log.csv.gz").write_bytes(gzip.compress(text))
    assert table(read("csv", tmp_path / "log.csv.gz"), *BASIC) == expected
    with pytest.raises(DataError, match=r"not a parquet file"):
        read("csv", write(tmp_path, "bad.parquet", "abc"))


HEADER = "user_id,item_id,domain,timestamp,rating\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "log.csv: the file is empty"),
        ("\n\n", "log.csv: the file has no lines but blank ones"),
        (HEADER, "log.csv: the file has a header and no good line"),
        ("user_id,item_id,domain,rating\nu,i,A,1\n", "log.csv, line 1: no column 'timestamp'"),
        ("user,item_id,domain,timestamp\nu,i,A,1\n", "Name the right one with --read.user_column"),
        ("user_id,user_id,item_id,domain,timestamp\n1,1,1,1,1\n", "'user_id' comes twice"),
        (HEADER + "u,i,A,1,5\nu,i,A,x,5\n", "log.csv, line 3: timestamp 'x'"),
        (HEADER + "u,i,A,1,5\n\n\nu,i,A,2,bad\n", "log.csv, line 5: rating 'bad'"),
        (HEADER + '"u\n",i,A,1,5\n', "log.csv, line 2: user_id"),
        (HEADER + '"multi",i,"A",1,5\nu,"i\nj",A,1,5\nu,k,A,1,bad\n', "line 3: item_id"),
        (HEADER + "u,i,A,1,5\nu,i,A,1\n", "log.csv, line 3: 4 fields, the header has 5"),
        (HEADER + "u,i,A,1,5,6\n", "log.csv, line 2: 6 fields, the header has 5"),
        (HEADER + "u,i,a:b,1,5\n", "log.csv, line 2: domain 'a:b' has ':' in it"),
    ],
)
def test_bad_csv_is_named_by_file_line_and_field(tmp_path, text, expected):
    path = write(tmp_path, "log.csv", text)
    with pytest.raises(DataError) as caught:
        read("csv", path)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_csv_that_is_not_utf8_names_the_line(tmp_path):
    path = write(tmp_path, "log.csv", HEADER + "u,i,A,1,5\nuñ,i,A,1,5\n", "latin-1")
    with pytest.raises(DataError, match=r"log.csv, line 3: not utf-8 text"):
        read("csv", path)


def test_an_unknown_domain_is_named(tmp_path):
    path = write(tmp_path, "log.csv", HEADER + "u,i,A,1,5\nu,i,B,1,5\n")
    with pytest.raises(DataError, match=r"line 3: domain 'B' is not a known domain; .* A, C"):
        read("csv", path, domains=("A", "C"))


def test_bad_csv_lines_are_skipped_and_counted_up_to_the_limit(tmp_path):
    text = HEADER + "u,i,A,1,5\nu,i,A\nu,i,A,x,5\nu,j,A,2,5\nu,k,A,3,bad\n"
    path = write(tmp_path, "log.csv", text)
    log = read("csv", path, max_bad_lines=3)
    assert table(log, "item_id") == [("i",), ("j",)]
    assert log.skipped_lines == 3
    with pytest.raises(DataError, match=r"log.csv, line 4: timestamp 'x'"):
        read("csv", path, max_bad_lines=2)
    with pytest.raises(DataError, match=r"log.csv, line 3: 3 fields"):
        read("csv", path)


# MovieLens


def item_100k(number, title, *genres):
    marks = ["1" if genre in genres else "0" for genre in readers.movielens.GENRES_100K]
    return "|".join([str(number), title, "01-Jan-1995", "", "http://x", *marks]) + "\n"


def write_100k(folder):
    write(folder, "u.data", "1\t1\t3\t881250949\n1\t2\t4\t881250950\n2\t3\t5\t881250951\n")
    items = (
        item_100k(1, "Misérables, Les (1995)", "Comedy", "Drama")
        + item_100k(2, "Two (1995)", "Drama", "War")
        + item_100k(3, "Three | (1995)".replace("|", "-"), "unknown")
    )
    write(folder, "u.item", items, "latin-1")


def write_1m(folder):
    write(folder, "ratings.dat", "1::1::3::881250949\n1::2::4::881250950\n2::3::5::881250951\n")
    write(
        folder,
        "movies.dat",
        "1::Misérables, Les (1995)::Comedy|Drama\n2::Two: the film (1995)::Drama|War\n"
        "3::Three (1995)::Western\n",
        "latin-1",
    )


def write_recbole(folder):
    write(
        folder,
        "ml.inter",
        "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
        "1\t1\t3\t881250949\n1\t2\t4\t881250950\n2\t3\t5\t881250951\n",
    )
    write(
        folder,
        "ml.item",
        "item_id:token\tmovie_title:token_seq\tclass:token_seq\n"
        '1\tMisérables\tComedy Drama\n2\t"Two\tDrama War\n3\tThree\t\n',
    )


def write_latest(folder):
    write(
        folder,
        "ratings.csv",
        "userId,movieId,rating,timestamp\n"
        "1,1,3.0,881250949\n1,2,4.0,881250950\n2,3,5.0,881250951\n",
    )
    write(
        folder,
        "movies.csv",
        "movieId,title,genres\n"
        '1,"Misérables, Les (1995)",Comedy|Drama\n2,Two (1995),Drama|War\n'
        "3,Three (1995),(no genres listed)\n",
    )


MOVIELENS = pytest.mark.parametrize(
    "write_files", [write_100k, write_1m, write_latest, write_recbole]
)


@MOVIELENS
def test_movielens_by_genre(tmp_path, write_files):
    write_files(tmp_path)
    log = read("movielens", tmp_path, domains=("Drama", "Comedy"))
    assert table(log, *BASIC, "rating", "category") == [
        ("1", "1", "Comedy", 881250949, 3.0, "Comedy|Drama"),
        ("1", "2", "Drama", 881250950, 4.0, "Drama|War"),
    ]
    assert log.domains == ("Drama", "Comedy")
    assert log.left_out == {"items of none of the named categories": 1}
    assert log.comparable_times


@MOVIELENS
def test_movielens_by_the_first_genre_besides_the_domain(tmp_path, write_files):
    write_files(tmp_path)
    log = read("movielens", tmp_path, domains=("Drama", "Comedy"), category="secondary")
    assert table(log, "item_id", "domain", "category") == [
        ("1", "Comedy", "Drama"),
        ("2", "Drama", "War"),
    ]
    alone = read("movielens", f"Comedy={tmp_path}", domain_by="file", category="secondary")
    assert table(alone, "item_id", "category")[:2] == [("1", "Drama"), ("2", "Drama")]
    with pytest.raises(DataError, match="category is 'third': it must be genres or secondary"):
        read("movielens", tmp_path, domains=("Drama", "Comedy"), category="third")


@MOVIELENS
def test_movielens_as_one_domain(tmp_path, write_files):
    write_files(tmp_path)
    log = read("movielens", f"Movies={tmp_path}", domain_by="file")
    assert table(log, "item_id", "domain") == [("1", "Movies"), ("2", "Movies"), ("3", "Movies")]


@MOVIELENS
def test_movielens_refuses_genres_that_do_not_exist_or_are_not_named(tmp_path, write_files):
    write_files(tmp_path)
    with pytest.raises(DataError, match=r"has genre 'Dramas'; there are Comedy, Drama"):
        read("movielens", tmp_path, domains=("Dramas", "Comedy"))
    with pytest.raises(DataError, match=r"name the genres"):
        read("movielens", tmp_path)


def test_movielens_names_bad_lines(tmp_path):
    write_100k(tmp_path)
    data = tmp_path / "u.data"
    good = data.read_text()
    for line, expected in [
        ("1\t2\t3\n", "u.data, line 4: 3 fields, expected 4"),
        ("1\t9\t3\t4\n", "u.data, line 4: item_id '9' is not in the folder's list of items"),
        ("1\t2\tx\t4\n", "u.data, line 4: rating 'x'"),
        ("1\t2\t3\tx\n", "u.data, line 4: timestamp 'x'"),
    ]:
        data.write_text(good + line)
        with pytest.raises(DataError) as caught:
            read("movielens", tmp_path, domains=("Drama", "Comedy"))
        assert expected in str(caught.value)
        assert read("movielens", tmp_path, domains=("Drama",), max_bad_lines=1).skipped_lines == 1
    with pytest.raises(DataError, match=r"needs u.data, ratings.dat, ratings.csv or exactly"):
        (tmp_path / "empty").mkdir()
        read("movielens", tmp_path / "empty", domains=("Drama",))
    (tmp_path / "u.item").unlink()
    with pytest.raises(DataError, match=r"u.item: no such file"):
        read("movielens", tmp_path, domains=("Drama",))


# PeterRec


def test_peterrec_fine_tuning_file(tmp_path):
    path = write(tmp_path, "finetune.csv", "0,0,11,12,,1,2\n0,13,14,15,,2\n")
    log = read("peterrec", path)
    assert table(log, "user_id", "item_id", "domain") == [
        ("1", "11", "source"),
        ("1", "12", "source"),
        ("2", "13", "source"),
        ("2", "14", "source"),
        ("2", "15", "source"),
        ("1", "1", "target"),
        ("1", "2", "target"),
        ("2", "2", "target"),
    ]
    assert not log.comparable_times
    assert log.domains == ("source", "target")
    assert read("peterrec", path, domains=("news", "apps")).domains == ("news", "apps")


def test_peterrec_pre_training_file_has_one_domain(tmp_path):
    path = write(tmp_path, "pretrain.csv", "0,0,11,12\n0,13,14,15\n")
    log = read("peterrec", path)
    assert log.domains == ("source",)
    assert table(log, "user_id", "item_id") == [
        ("1", "11"),
        ("1", "12"),
        ("2", "13"),
        ("2", "14"),
        ("2", "15"),
    ]


def test_peterrec_users_of_several_files_are_different_people(tmp_path):
    one = write(tmp_path, "pretrain.csv", "11,12\n")
    two = write(tmp_path, "finetune.csv", "11,13,,1\n")
    log = read("peterrec", [one, two])
    assert set(table(log, "user_id")) == {("pretrain:1",), ("finetune:1",)}
    assert log.domains == ("source", "target")


def test_peterrec_padding_is_another_token_if_named(tmp_path):
    path = write(tmp_path, "pretrain.csv", "-1,0,12\n")
    assert table(read("peterrec", path, padding="-1"), "item_id") == [("0",), ("12",)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1,2,,3\n1,2\n", "f.csv, line 2: 0 double commas, expected 1"),
        ("1,2\n1,2,,3\n", "f.csv, line 2: 1 double commas, expected 0"),
        ("1,2,,3\n\n1,2,,\n", "f.csv, line 3: item_id '' is not an id"),
        ("1,2,,3\n,,3\n", "f.csv, line 2: item_id '' is not an id"),
        ("1,2,,3,,4\n", "f.csv, line 1: 2 double commas, expected 1"),
        ("0,0\n", "the input holds no interactions"),
    ],
)
def test_bad_peterrec_lines_are_named(tmp_path, text, expected):
    path = write(tmp_path, "f.csv", text)
    with pytest.raises(DataError) as caught:
        read("peterrec", path)
    assert expected in str(caught.value)


# pairs


def test_pairs_of_two_domains_with_parts_and_private_users(tmp_path):
    video = write(tmp_path, "video.txt", "0\t5\n1\t5\n2\t6\n")
    train = write(tmp_path, "train.txt", "1 7\n2 8\n")
    test = write(tmp_path, "test.txt", "0 7\n0 8\n")
    log = read(
        "pairs", [f"V={video}@train", f"G={train}@train", f"G={test}@test"], shared_users_below=2
    )
    assert table(log, *BASIC, "part") == [
        ("0", "5", "V", 0, "train"),
        ("1", "5", "V", 1, "train"),
        ("V:2", "6", "V", 2, "train"),
        ("1", "7", "G", 0, "train"),
        ("G:2", "8", "G", 1, "train"),
        ("0", "7", "G", 2, "test"),
        ("0", "8", "G", 3, "test"),
    ]
    assert log.domains == ("V", "G")
    assert not log.comparable_times
    assert (
        len({user for (user,) in table(read("pairs", [f"V={video}", f"G={train}"]), "user_id")})
        == 3
    )


def test_a_third_field_of_pairs_is_the_rating(tmp_path):
    path = write(tmp_path, "a.txt", "0\t5\t1\n1\t5\t0.5\n")
    assert table(read("pairs", f"A={path}"), "rating") == [(1.0,), (0.5,)]


@pytest.mark.parametrize(
    ("text", "flags", "expected"),
    [
        ("0 1\n0\n", {}, "a.txt, line 2: 1 fields, expected 2"),
        ("0 1\n\n0 1 2\n", {}, "a.txt, line 3: 3 fields, expected 2"),
        ("0 1 2 3\n", {}, "a.txt, line 1: 4 fields, expected 2"),
        (
            "0 1\nx 1\n",
            {"shared_users_below": 1},
            "a.txt, line 2: user_id 'x' is not a whole number",
        ),
        (" \n", {}, "a.txt: the file has no lines but blank ones"),
    ],
)
def test_bad_pairs_are_named(tmp_path, text, flags, expected):
    path = write(tmp_path, "a.txt", text)
    with pytest.raises(DataError) as caught:
        read("pairs", f"A={path}", **flags)
    assert expected in str(caught.value)


# sequences


def test_sequences_with_a_file_for_each_domain(tmp_path):
    toys = write(tmp_path, "toys.txt", "7 3 1 2\n8 1\n")
    games = write(tmp_path, "games.txt", "8 1 1\n7 2\n")
    log = read("sequences", [f"Toys={toys}", f"Games={games}"])
    assert table(log, "user_id", "item_id", "domain") == [
        ("7", "3", "Toys"),
        ("7", "1", "Toys"),
        ("7", "2", "Toys"),
        ("8", "1", "Toys"),
        ("8", "1", "Games"),
        ("8", "1", "Games"),
        ("7", "2", "Games"),
    ]
    assert not log.comparable_times
    assert log.interactions["timestamp"].is_monotonic_increasing


def test_sequences_in_joint_order_have_comparable_times(tmp_path):
    path = write(tmp_path, "mix.txt", "7 3 11 1\n8 12 1\n")
    log = read("sequences", path, domain_by="item_range", item_ranges=("Toys:1:10", "Games:11:20"))
    assert log.comparable_times
    assert table(log, "user_id", "item_id", "domain") == [
        ("7", "3", "Toys"),
        ("7", "11", "Games"),
        ("7", "1", "Toys"),
        ("8", "12", "Games"),
        ("8", "1", "Toys"),
    ]
    assert log.interactions["timestamp"].is_monotonic_increasing
    with pytest.raises(DataError, match=r"mix.txt, line 2: item_id '12' is in none"):
        read("sequences", path, domain_by="item_range", item_ranges=("A:1:10", "B:11:11"))


def test_lines_of_items_only(tmp_path):
    path = write(tmp_path, "s.txt", "-1,-1,5,6\n-1,7, 8,5\n")
    log = read("sequences", f"M={path}", separator=",", padding="-1", lines_start_with_user=False)
    assert table(log, "user_id", "item_id") == [
        ("1", "5"),
        ("1", "6"),
        ("2", "7"),
        ("2", "8"),
        ("2", "5"),
    ]


@pytest.mark.parametrize(
    ("text", "flags", "expected"),
    [
        ("1 2\n3\n", {}, "s.txt, line 2: a user and no item"),
        ("1,2\n", {}, "s.txt, line 1: a user and no item; is --read.separator right?"),
        ("1,2\n1,,2\n", {"separator": ","}, "s.txt, line 2: item_id '' is not an id"),
    ],
)
def test_bad_sequences_are_named(tmp_path, text, flags, expected):
    path = write(tmp_path, "s.txt", text)
    with pytest.raises(DataError) as caught:
        read("sequences", f"A={path}", **flags)
    assert expected in str(caught.value)


def test_a_bad_sequence_line_is_skipped_with_a_count(tmp_path):
    path = write(tmp_path, "s.txt", "1 2\n3\n4 5\n")
    log = read("sequences", f"A={path}", max_bad_lines=1)
    assert table(log, "user_id", "item_id") == [("1", "2"), ("4", "5")]
    assert log.skipped_lines == 1


# options and inputs


@pytest.mark.parametrize(
    ("reader", "inputs", "options", "expected"),
    [
        ("csv", [], {}, "--input is missing"),
        ("csv", ["nothing.csv"], {}, "nothing.csv: no such file"),
        ("csv", ["{empty}"], {}, "there are no files with anything in them"),
        ("pairs", ["A=."], {}, "this is a folder"),
        ("csv", ["a"], {"domain_by": "category"}, "name the categories in --read.domains"),
        ("csv", ["a"], {"domain_by": "item_range"}, "go together"),
        ("csv", ["a"], {"item_ranges": ("A:1:2",)}, "go together"),
        ("csv", ["a"], {"domain_by": "file"}, "name the file's domain"),
        ("pairs", ["a.txt"], {}, "name the file's domain, as in DOMAIN=PATH"),
        ("pairs", ["A=a.txt@train", "B=b.txt"], {}, "to every file or to none"),
        ("pairs", ["A=a.txt"], {"domains": ("B",)}, "--read.domains names B but --input names A"),
        ("pairs", ["A=a.txt"], {"domain_by": "column"}, "the pairs reader takes file"),
        (
            "sequences",
            ["A=a.txt"],
            {"domain_by": "column"},
            "the sequences reader takes file or",
        ),
        ("sequences", ["A=a@train"], {}, "takes no @PART"),
        (
            "sequences",
            ["A=a", "B=b"],
            {"lines_start_with_user": False},
            "lines of different domains have no common users",
        ),
        (
            "movielens",
            ["a"],
            {"domain_by": "column"},
            "movielens reader takes category or file",
        ),
        ("movielens", ["nothing"], {"domains": ("Drama",)}, "reads a folder"),
        ("peterrec", ["a"], {"domains": ("one",)}, "the peterrec reader takes two names"),
        ("peterrec", ["a"], {"domains": ()}, "the peterrec reader takes two names"),
        (
            "amazon",
            ["A=a"],
            {"category_depth": 0, "metadata": ("A=b",)},
            "metadata have no meaning with category_depth 0",
        ),
        ("synthetic", ["a"], {}, "--input has no meaning"),
    ],
)
def test_options_that_do_not_fit_are_named(tmp_path, reader, inputs, options, expected):
    inputs = [text.format(empty=tmp_path) for text in inputs]
    with pytest.raises(DataError) as caught:
        read(reader, inputs, **options)
    assert expected in str(caught.value)


def test_an_unknown_reader_is_named():
    with pytest.raises(
        DataError, match=r"--reader=xml: the readers are amazon, csv, movielens, pairs"
    ):
        readers.read("xml", ["a"])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("domain_by", "genre"),
        ("domain_by", ""),
        ("max_bad_lines", -1),
        ("shared_users_below", -1),
        ("user_column", ""),
        ("item_column", ""),
        ("category_separator", ""),
        ("category_depth", -1),
        ("metadata", ("meta_Books.json",)),
        ("metadata", ("Books=",)),
        ("domains", ("A", "A")),
        ("item_ranges", ("A:1",)),
        ("item_ranges", ("A:2:1",)),
        ("item_ranges", ("A:1:5", "B:5:9")),
        ("item_ranges", ("A:x:5",)),
    ],
)
def test_every_reader_refuses_options_out_of_range(field, value):
    having = [r for r in readers.READERS.values() if field in r.options.__dataclass_fields__]
    assert having
    for reader in having:
        with pytest.raises(DataError):
            reader.options(**{field: value})


def test_every_reader_has_its_own_options():
    """No field without a meaning; written out, so that one more is thought about."""
    columns = ("user", "item", "timestamp", "rating", "category", "domain", "part")
    of_all = {"domains", "max_bad_lines"}
    expected = {
        "amazon": of_all | {"category_depth", "metadata", "download"},
        "csv": of_all
        | {f"{column}_column" for column in columns}
        | {"separator", "domain_by", "item_ranges", "category_separator", "rename_domains"}
        | {"format", "header", "encoding", "quotes", "list_separator", "time_unit", "items"}
        | {"least_rating", "event_column", "events", "event_weights"},
        "movielens": of_all | {"domain_by", "category"},
        "pairs": of_all | {"domain_by", "shared_users_below"},
        "peterrec": of_all | {"padding"},
        "rechorus": of_all | {"domain_by"},
        "sequences": of_all
        | {"domain_by", "item_ranges", "separator", "lines_start_with_user", "padding"},
        "syncrec": of_all,
        "synthetic": set(SyntheticOptions.__dataclass_fields__),
    }
    found = {name: set(r.options.__dataclass_fields__) for name, r in readers.READERS.items()}
    assert found == expected


def test_defaults_are_the_readers_own():
    defaults = {name: reader.options() for name, reader in readers.READERS.items()}
    places = {name: getattr(of, "domain_by", None) for name, of in defaults.items()}
    assert places == {
        "amazon": None,
        "csv": "column",
        "movielens": "category",
        "pairs": "file",
        "peterrec": None,
        "rechorus": "file",
        "sequences": "file",
        "syncrec": None,
        "synthetic": None,
    }
    assert (defaults["peterrec"].padding, defaults["sequences"].padding) == ("0", "")
    assert defaults["peterrec"].domains == ("source", "target")


def test_the_synthetic_reader_is_one_of_them():
    small = SyntheticOptions(users=20, source_items=40, target_items=40)
    assert readers.read("synthetic", options=small).domains == ("source", "target")


@pytest.mark.parametrize("reader", readers.READERS)
def test_options_of_another_reader_are_refused(reader):
    other = SyntheticOptions() if reader != "synthetic" else PairsOptions()
    with pytest.raises(TypeError, match=rf"reader {reader} takes .*Options\. Received: "):
        readers.read(reader, ["A=a.txt"], other)


def test_peterrec_without_padding_keeps_every_id(tmp_path):
    path = write(tmp_path, "f.csv", "0,5,,7\n")
    assert table(read("peterrec", path), "item_id") == [("5",), ("7",)]
    assert table(read("peterrec", path, padding=""), "item_id") == [("0",), ("5",), ("7",)]
