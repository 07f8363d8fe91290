"""Files of raw histories: three formats, one reading; mistakes name file and line."""

import json

import pandas as pd
import pytest

from data_pipelines.errors import DataError
from launchers.recommending import history_files
from launchers.recommending.history_files import RawHistory

USERS = [
    RawHistory("u1", ["books:b 1", "t,2", "books:b3"]),
    RawHistory("u2", ["toys:t2"]),
    RawHistory("7", ["books:b3"]),
]
ROWS = [
    (user, name.rpartition(":")[2], name.rpartition(":")[0]) for user, of in USERS for name in of
]
TABLE = pd.DataFrame(ROWS, columns=["user_id", "item_id", "domain"])


def write_json(path):
    lines = [json.dumps({"user_id": user, "history": of}) for user, of in USERS[:2]]
    path.write_text("\n".join([*lines, "", '{"user_id": 7, "history": ["books:b3"]}', ""]))


def write_rows(path):
    table = TABLE.assign(time=1)[["time", "domain", "item_id", "user_id"]]
    if path.suffix == ".csv":
        table.to_csv(path, index=False)
    else:
        table.to_parquet(path, row_group_size=2)


def write_lists(path):
    pd.DataFrame(USERS, columns=["user_id", "history"]).to_parquet(path)


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("a.jsonl", write_json),
        ("a.csv", write_rows),
        ("a.parquet", write_rows),
        ("a.parquet", write_lists),
    ],
)
def test_every_format_gives_the_same_users(tmp_path, name, write):
    write(tmp_path / name)
    history_files.check(tmp_path / name)
    assert list(history_files.read(tmp_path / name)) == USERS


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.txt", "", "ends with none of .json"),
        ("a.jsonl", '{"user_id": "u", "history": []}\n[1]\n', r"a\.jsonl, line 2: .* no object"),
        ("a.jsonl", "{", r"a\.jsonl, line 1: no JSON"),
        ("a.jsonl", '{"user_id": "u", "history": "b1"}', "history 'b1' is no list"),
        ("a.jsonl", '{"user_id": "u", "history": [1.5]}', "history 1.5 is no id"),
        ("a.jsonl", '{"history": []}', "line 1: user_id None is no id"),
        ("a.csv", "user_id,item\nu,b\n", "column 'item_id' is missing"),
        ("a.csv", "user_id,item_id\nu,b\nu\n", "line 3: has 1 fields, the header 2"),
        ("a.csv", "user_id,item_id\nu,\n", "line 2: item_id '' is no id"),
        ("a.csv", "user_id,item_id\nu,a\nv,a\nu,b\n", "user_id 'u' comes twice"),
        ("a.parquet", "no parquet", "cannot be read"),
    ],
)
def test_a_mistake_is_named(tmp_path, name, text, message):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        history_files.check(path)
        list(history_files.read(path))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"a\.csv: no such file"):
        history_files.check(tmp_path / "a.csv")
