import numpy as np
import pandas as pd
import pytest

from data_pipelines import impressions
from data_pipelines.errors import DataError
from data_pipelines.impressions.tables import ImpressionCsvOptions
from tests.data_pipelines.impressions.raw_files import rows_by_part

HEADER = "domain,part,categorical_1,categorical_2,numerical_1,numerical_2,click,conversion"
LINES = (
    "RU,train,3,0,0.25,-1,1,0",
    "NL,test,1,1,1e-3,2,1,1",
    "RU,validation,0,0,7,0.5,0,0",
    "RU,train,2,1,0,0.125,0,0",
)


def write(path, lines, header=HEADER):
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def read(*inputs, **options):
    return impressions.read("csv", list(map(str, inputs)), ImpressionCsvOptions(**options))


def test_the_canonical_log_is_read_as_it_is(tmp_path):
    log = read(write(tmp_path / "log.csv", LINES))
    parts = rows_by_part(log, tmp_path / "scratch")
    assert set(parts) == {("RU", "train"), ("RU", "validation"), ("NL", "test")}
    rows = parts["RU", "train"]
    assert rows["categorical"].tolist() == [[3, 0], [2, 1]]
    assert rows["numerical"].tolist() == [[0.25, -1], [0, 0.125]]
    assert (rows["click"].tolist(), rows["conversion"].tolist()) == ([1, 0], [0, 0])
    assert parts["NL", "test"]["conversion"].tolist() == [1]


def test_columns_by_flags_in_any_order_of_the_file(tmp_path):
    table = pd.DataFrame(
        {
            "bought": [0, 1],
            "price": [1.5, 2.5],
            "shop": [4, 0],
            "id": ["a", "b"],
            "hits": [1, 1],
            "size": [3, 9],
        }
    )
    table.to_csv(tmp_path / "a.tsv", sep="\t", index=False)
    table[sorted(table)].to_parquet(tmp_path / "b.parquet")
    log = read(
        f"RU={tmp_path / 'a.tsv'}",
        f"NL={tmp_path / 'b.parquet'}",
        categorical_columns=("size", "shop"),
        numerical_columns=("price",),
        click_column="hits",
        conversion_column="bought",
    )
    parts = rows_by_part(log, tmp_path / "scratch")
    assert log.domains == ("RU", "NL")
    assert log.columns == (("size", "shop"), ("price",))
    for domain in log.domains:
        rows = parts[domain, "train"]
        assert rows["categorical"].tolist() == [[3, 4], [9, 0]]
        assert rows["numerical"].tolist() == [[1.5], [2.5]]
        assert (rows["click"].tolist(), rows["conversion"].tolist()) == ([1, 1], [0, 1])


def test_numbered_columns_are_in_the_order_of_their_numbers(tmp_path):
    names = [f"categorical_{k}" for k in (10, 9, 2)] + ["numerical_1", "click", "conversion"]
    path = write(tmp_path / "a.csv", ["1,2,3,0.5,0,0"], ",".join(names))
    log = read(f"NL={path}@test")
    assert log.columns.categorical == ("categorical_2", "categorical_9", "categorical_10")
    rows = rows_by_part(log, tmp_path / "scratch")["NL", "test"]
    assert rows["categorical"].tolist() == [[3, 2, 1]]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("RU,train,3,0,0.25,-1,2,0", "column click: 2 is not 0 or 1."),
        ("RU,train,3,0,0.25,-1,0,1", "column conversion: 1 in a row without a click"),
        ("RU,train,3,0,nan,-1,0,0", "column numerical_1: nan is not a finite number."),
        ("RU,train,3,0,0.25,inf,0,0", "column numerical_2: inf is not a finite number."),
        (
            "RU,train,3,0,0.25,,0,0",
            "column numerical_2: '' is not a finite number. --impression_read.missing_numbers=0",
        ),
        ("RU,train,-1,0,0.25,-1,0,0", "column categorical_1: -1 is below 0. Columns of any value"),
        ("RU,train,9,0,0.25,-1,0,0", "column categorical_1: 9 is not in 0..3; check --impr"),
        ("RU,train,1.5,0,0.25,-1,0,0", "column categorical_1: '1.5' is not a whole number."),
        ("RU,later,3,0,0.25,-1,0,0", "column part: 'later' is not one of train, valid"),
        ("RU,train,3,0,0.25,-1,0", "7 fields, the header has 8"),
    ],
)
@pytest.mark.parametrize("place", [0, 2, 4])
def test_bad_lines_are_named_or_skipped(tmp_path, line, message, place):
    lines = [*LINES[:place], line, *LINES[place:]]
    path = write(tmp_path / "log.csv", lines)
    with pytest.raises(DataError) as error:
        rows_by_part(read(path, field_sizes=(4, 2)), tmp_path / "scratch")
    assert str(error.value).startswith(f"{path}, line {place + 2}: {message}")

    log = read(path, field_sizes=(4, 2), max_bad_lines=1)
    skipped = rows_by_part(log, tmp_path / "again")
    assert log.bad_lines.count == 1
    clean = rows_by_part(read(write(tmp_path / "clean.csv", LINES)), tmp_path / "clean")
    assert set(clean) == set(skipped)
    for key, rows in clean.items():
        np.testing.assert_array_equal(rows, skipped[key])


def test_bad_lines_far_into_a_file(tmp_path, monkeypatch):
    """Blocks before a bad one are delivered once, and lines are counted from the file's start."""
    monkeypatch.setattr("data_pipelines.impressions.number_tables._CSV_BLOCK", 400)
    lines = [f"RU,train,{k % 4},0,{k}.5,-1,0,0" for k in range(200)]
    lines[120] = "RU,train,x,0,0.25,-1,0,0"
    lines[150] = "RU,train,1,0,0.25"
    lines[170] = "RU,train,1,0,inf,1,0,0"
    path = write(tmp_path / "log.csv", lines)
    for allowed, line in ((0, 122), (1, 172), (2, 152)):
        with pytest.raises(DataError, match=f"log.csv, line {line}: "):
            rows_by_part(read(path, max_bad_lines=allowed), tmp_path / f"scratch{allowed}")
    rows = rows_by_part(read(path, max_bad_lines=3), tmp_path / "rest")["RU", "train"]
    kept = [k + 0.5 for k in range(200) if k not in (120, 150, 170)]
    assert rows["numerical"][:, 0].tolist() == kept


def test_text_that_is_not_utf8_is_named(tmp_path):
    path = write(tmp_path / "log.csv", LINES)
    path.write_bytes(path.read_bytes().replace(b"NL,test", b"\xff\xfe,test"))
    with pytest.raises(DataError, match=r"log\.csv, line 3: not utf-8 text"):
        rows_by_part(read(path), tmp_path / "scratch")


def test_bad_parquet_rows_are_named(tmp_path):
    frame = {"categorical_1": [1, 2], "numerical_1": [0.5, float("nan")], "click": [0, 0]}
    table = pd.DataFrame({**frame, "conversion": [0, 0]})
    table.to_parquet(tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"a\.parquet, row 2: column numerical_1: None is not a f"):
        rows_by_part(read(f"NL={tmp_path / 'a.parquet'}"), tmp_path / "scratch")


def test_source_and_target_need_the_same_columns(tmp_path):
    first = write(tmp_path / "ru.csv", ["1,0.5,0,0"], "categorical_1,numerical_1,click,conversion")
    names = "categorical_1,categorical_2,numerical_1,click,conversion"
    second = write(tmp_path / "nl.csv", ["1,1,0.5,0,0"], names)
    with pytest.raises(DataError) as error:
        read(f"RU={first}", f"NL={second}")
    assert str(error.value) == (
        f"{second}: only this table or {first} has column categorical_2; source and target need "
        "the same columns."
    )


@pytest.mark.parametrize(
    ("inputs", "options", "message"),
    [
        ([], {}, "--input is missing"),
        (["log.csv", "NL=log.csv"], {}, "give DOMAIN=PATH for every table or for none"),
        (["NL=nowhere.csv"], {}, "nowhere.csv: no such file"),
        (["NL=log.csv"], {"field_sizes": (3,)}, "field_sizes has 1 numbers, the data 2"),
        (["NL=log.csv"], {"click_column": "hit"}, "column 'hit' is missing, comes twice or is"),
        (["NL=log.csv"], {"conversion_column": "click"}, "column 'click' is missing, comes twice"),
        (["log.csv"], {"domain_column": "country"}, "column 'country' is missing, comes twice"),
        (["NL=other.csv"], {}, "has no column categorical_1; name the columns"),
        (["NL=log.csv"], {"separator": ";;"}, "--impression_read.separator=';;': it is one sign"),
        (["NL=log.csv@test"], {}, "has a column 'part', so its --input must not end in @PART"),
        (["NL=log.csv"], {"part_column": "fold"}, "has no column 'fold', which --impression_read"),
        (["N:L=log.csv"], {}, "domain name 'N:L'"),
    ],
)
def test_flags_that_do_not_fit(tmp_path, monkeypatch, inputs, options, message):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "log.csv", LINES)
    write(tmp_path / "other.csv", ["1"], "a,b")
    with pytest.raises(DataError) as error:
        read(*inputs, **options)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"field_sizes": (3, 0)}, "field_sizes are (3, 0): each must be at least 1"),
        ({"max_bad_lines": -1}, "max_bad_lines is -1: it must not be negative"),
        ({"click_column": ""}, "click_column is empty"),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(DataError) as error:
        ImpressionCsvOptions(**options)
    assert message in str(error.value)


def test_the_processed_aliexpress_sample(real_data, tmp_path):
    folder = real_data("aliexpress_sample")
    log = read(
        f"NL={folder / 'aliexpress_train_sample.csv'}@train",
        f"NL={folder / 'aliexpress_test_sample.csv'}@test",
        field_sizes=(11, 4, 7, 2, 33, 7, 50, 8, 8, 2, 2, 2, 2, 2, 2, 2),
    )
    parts = rows_by_part(log, tmp_path / "scratch")
    for part, number in (("train", 100), ("test", 20)):
        rows = parts["NL", part]
        table = pd.read_csv(folder / f"aliexpress_{part}_sample.csv")
        assert len(rows) == number
        np.testing.assert_array_equal(rows["categorical"], table.filter(like="categorical"))
        np.testing.assert_array_equal(
            rows["numerical"], table.filter(like="numerical").astype(np.float32)
        )
        np.testing.assert_array_equal(rows["click"], table["click"])
        np.testing.assert_array_equal(rows["conversion"], table["conversion"])


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_labels_may_be_true_and_false_and_missing_numbers_are_filled_if_told(tmp_path, kind):
    table = pd.DataFrame(
        {"c": [1, 2, 0], "x": [0.5, None, 2.0], "click": [True, False, True], "buy": [False] * 3}
    )
    path = tmp_path / f"log.{kind}"
    table.to_csv(path, index=False) if kind == "csv" else table.to_parquet(path)
    columns = {"categorical_columns": ("c",), "numerical_columns": ("x",)}
    log = read(f"A={path}@train", conversion_column="buy", missing_numbers="-1", **columns)
    rows = rows_by_part(log, tmp_path / "scratch")["A", "train"]
    assert rows["numerical"].tolist() == [[0.5], [-1.0], [2.0]]
    assert rows["click"].tolist() == [1, 0, 1]
    assert log.remarks == {"missing numbers, read as -1": 1}
    with pytest.raises(DataError, match="missing_numbers is 'none'"):
        ImpressionCsvOptions(missing_numbers="none")


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_truth_values_and_gaps_of_minus_one_in_columns_of_every_kind(tmp_path, kind):
    table = pd.DataFrame(
        {
            "vip": [True, False, True, True],
            "shop": [-1, 7, -1, 7],
            "new": pd.array([True, None, False, None], dtype="boolean"),
            "x": [True, False, True, False],
            "y": [-1, 0.5, -1, 2],
            "click": [True, False, True, False],
        }
    )
    path = tmp_path / f"log.{kind}"
    table.to_csv(path, index=False) if kind == "csv" else table.to_parquet(path)
    log = read(
        f"A={path}@train",
        categorical_columns=("vip", "shop", "new"),
        numerical_columns=("x", "y"),
        least_count=1,
    )
    rows = rows_by_part(log, tmp_path / "scratch")["A", "train"]
    assert rows["numerical"].tolist() == [[1, -1], [0, 0.5], [1, -1], [0, 2]]
    assert rows["click"].tolist() == [1, 0, 1, 0]
    known = [list(vars(of)["values"]) for of in log.vocabularies]
    assert known == [["True", "False"], ["-1", "7"], ["True", "", "False"]]
    assert rows["categorical"].tolist() == [[0, 0, 0], [1, 1, 1], [0, 0, 2], [0, 1, 1]]


def test_text_without_a_header_takes_its_names_from_a_flag(tmp_path):
    path = tmp_path / "train.txt"
    path.write_text("0\t5\tab\n1\t\tcd\n")
    names = {"click_column": "label", "numerical_columns": ("I1",), "categorical_columns": ("C1",)}
    options = {**names, "least_count": 1, "missing_numbers": "0"}
    log = read(f"A={path}@train", header=("label", "I1", "C1"), **options)
    rows = rows_by_part(log, tmp_path / "scratch")["A", "train"]
    assert rows["numerical"].tolist() == [[5], [0]]
    assert rows["click"].tolist() == [0, 1]
    with pytest.raises(DataError, match=r"has no header: --impression_read\.header"):
        read(f"A={path}@train", **options)
