import numpy as np
import pandas as pd
import pytest

from data_pipelines.errors import DataError
from data_pipelines.logs import BadLines, InteractionLog, check_domain_names, typed_rows


def rows(**columns):
    table = {
        "user_id": ["u1", "u2", "u1"],
        "item_id": ["a", "b", "c"],
        "domain": ["Books", "Books", "Toys"],
        "timestamp": [3, 1, 2],
    }
    return pd.DataFrame({**table, **columns})


def log_of(table, domains=("Books", "Toys")):
    return InteractionLog(table, domains, comparable_times=True)


def test_types_are_canonical_and_order_is_kept():
    table = rows(timestamp=["3", "8.8e8", "2.0"], rating=["4.5", "1", "-2"], extra=[1, 2, 3])
    table.index = [7, 7, 9]
    log = log_of(table)
    assert log.interactions.to_dict("list") == {
        "user_id": ["u1", "u2", "u1"],
        "item_id": ["a", "b", "c"],
        "domain": ["Books", "Books", "Toys"],
        "timestamp": [3, 880_000_000, 2],
        "rating": [4.5, 1.0, -2.0],
    }
    assert log.interactions["timestamp"].dtype == np.int64
    assert log.interactions["rating"].dtype == np.float64
    assert list(log.interactions.index) == [0, 1, 2]


def test_large_whole_timestamps_are_exact():
    assert log_of(rows(timestamp=[str(2**60 + 1), "1", "2"])).interactions["timestamp"][0] == (
        2**60 + 1
    )


def test_dates_become_unix_seconds():
    dates = pd.to_datetime(
        ["1970-01-01 00:00:07", "2001-09-09 01:46:40.9", "1970-01-01"], format="ISO8601"
    )
    assert log_of(rows(timestamp=dates)).interactions["timestamp"].tolist() == [7, 10**9, 0]
    aware = log_of(rows(timestamp=dates.tz_localize("UTC")))
    assert aware.interactions["timestamp"].tolist() == [7, 10**9, 0]


def test_whole_number_ids_become_text():
    assert log_of(rows(user_id=[1, 2, 1])).interactions["user_id"].tolist() == ["1", "2", "1"]


@pytest.mark.parametrize(
    ("column", "values", "expected"),
    [
        ("user_id", ["u1", "", "u1"], "row 2: user_id '' is not an id"),
        ("user_id", ["u1", None, "u1"], "row 2: user_id"),
        ("item_id", ["a", "b ", "c"], "row 2: item_id 'b ' is not an id"),
        ("item_id", ["a", "b", "c\td"], r"row 3: item_id 'c\td' is not an id"),
        ("item_id", ["a\nb", "b", "c"], r"row 1: item_id 'a\nb' is not an id"),
        ("domain", ["Books", "Toy", "Toys"], "row 2: domain 'Toy' is not a known domain"),
        ("timestamp", ["1", "2", "x"], "row 3: timestamp 'x' is not a time"),
        ("timestamp", ["1", "2.5", "3"], "row 2: timestamp '2.5' is not a whole number"),
        ("timestamp", ["1", "2", "inf"], "row 3: timestamp 'inf' is not a time"),
        ("timestamp", ["1", "", "3"], "row 2: timestamp '' is not a time"),
        ("timestamp", [1.0, np.nan, 3.0], "row 2: timestamp nan is not a time"),
        ("timestamp", ["1", "1e30", "3"], "row 2: timestamp '1e30' is not a time"),
        ("rating", ["1", "good", "3"], "row 2: rating 'good' is not a finite number"),
        ("rating", ["1", "2", "nan"], "row 3: rating 'nan' is not a finite number"),
        ("rating", [np.inf, 2.0, 3.0], "row 1: rating inf is not a finite number"),
        ("rating", ["1", "1e300", "3"], "row 2: rating '1e300' is not a finite number"),
        ("part", ["train", "valid", "test"], "row 2: part 'valid' is not a part of a split"),
    ],
)
def test_a_bad_field_is_named_with_its_row(column, values, expected):
    with pytest.raises(DataError) as caught:
        log_of(rows(**{column: values}))
    assert expected in str(caught.value).replace("np.float64(nan)", "nan").replace(
        "np.float64(inf)", "inf"
    )
    assert "\n" not in str(caught.value)


def test_a_missing_column_is_named():
    with pytest.raises(DataError, match="column 'timestamp' is missing"):
        log_of(rows().drop(columns="timestamp"))


def test_an_empty_log_is_refused():
    with pytest.raises(DataError, match="no interactions"):
        log_of(rows().iloc[:0])


@pytest.mark.parametrize("names", [("A", "A"), ("",), ("a:b",), (" a",), (), ("a/b",)])
def test_domain_names_are_checked(names):
    with pytest.raises(DataError, match="domain"):
        log_of(rows(), names)


def test_bad_rows_may_be_skipped_up_to_the_number_allowed():
    table = rows(timestamp=["1", "x", "3"], rating=["1", "2", "y"])

    def read(allowed):
        lines = BadLines("--read.max_bad_lines", allowed)
        return typed_rows(table, ("Books", "Toys"), lambda row: f"f.csv, line {row + 2}", lines)

    with pytest.raises(DataError) as caught:
        read(1)
    assert str(caught.value) == (
        "f.csv, line 3: timestamp 'x' is not a time: give Unix seconds or another rising count, "
        "or ISO 8601 text such as 2017-07-14T02:40:00Z. It is the first of 2 bad lines. "
        "--read.max_bad_lines=2 skips what is bad so far."
    )
    good, mask = read(2)
    assert good["item_id"].tolist() == ["a"]
    assert mask.tolist() == [True, False, False]


@pytest.mark.parametrize("name", ["all", "a" * 101, "a:b", " a", ""])
def test_names_that_a_domain_cannot_have(name):
    with pytest.raises(DataError, match="rename the domain"):
        check_domain_names(["books", name])
