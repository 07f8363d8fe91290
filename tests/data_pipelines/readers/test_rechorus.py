"""Reader `rechorus`: a small folder, folders that are wrong, and the real Grocery data."""

import json

import numpy as np
import pytest

from data_pipelines import readers
from data_pipelines.errors import DataError
from data_pipelines.readers.rechorus import ReChorusOptions
from data_pipelines.splitting import splits
from data_pipelines.splitting.split_log import SplitOptions
from tests.data_pipelines.small_logs import built

TRAIN = "user_id\titem_id\ttime\n1\t10\t5\n2\t11\t5\n2\t10\t6\n"
DEV = "user_id\titem_id\ttime\tneg_items\n1\t12\t7\t[11, 13]\n2\t13\t8\t[12, 12]\n"
TEST = "user_id\titem_id\ttime\tneg_items\n1\t13\t9\t[11, 11, 14]\n2\t14\t9\t[13, 12, 13]\n"
GIVEN = SplitOptions(kind="given")


def folder(tmp_path, *, train=TRAIN, dev=DEV, test=TEST):
    for name, text in (("train", train), ("dev", dev), ("test", test)):
        if text is not None:
            (tmp_path / f"{name}.csv").write_text(text)
    return tmp_path


def read(path, **options):
    return readers.read("rechorus", [f"Shop={path}"], ReChorusOptions(**options))


def table(log):
    columns = ["user_id", "item_id", "timestamp", "part", "negatives"]
    return list(log.interactions[columns].itertuples(index=False, name=None))


def test_the_three_files_become_one_log_with_parts_and_negatives(tmp_path):
    log = read(folder(tmp_path))
    assert table(log) == [
        ("1", "10", 5, "train", ""),
        ("2", "11", 5, "train", ""),
        ("2", "10", 6, "train", ""),
        ("1", "12", 7, "validation", "11\t13"),
        ("2", "13", 8, "validation", "12\t12"),
        ("1", "13", 9, "test", "11\t11\t14"),
        ("2", "14", 9, "test", "13\t12\t13"),
    ]
    assert log.domains == ("Shop",)
    assert set(log.interactions["domain"]) == {"Shop"}
    assert log.comparable_times
    assert (log.skipped_lines, dict(log.left_out)) == (0, {})


def test_columns_stand_in_any_order_and_negatives_in_quotes(tmp_path):
    dev = "neg_items\tnote\ttime\titem_id\tuser_id\n['11','x y']\t-\t7\t12\t1\n"
    train = TRAIN + "3\tx y\t5\n"
    log = read(folder(tmp_path, train=train, dev=dev))
    assert table(log)[4] == ("1", "12", 7, "validation", "11\tx y")


def wrong(id, files, expected):
    """One case of `test_bad_input_is_named_by_file_line_and_field`."""
    return pytest.param(files, expected, id=id)


HEADER = "user_id\titem_id\ttime\tneg_items\n"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        wrong(
            id="negative outside",
            files={"dev": DEV.replace("13]", "99]")},
            expected="dev.csv, line 2: neg_items: '99' is in none of the three files",
        ),
        wrong(
            id="padding as negative",
            files={"test": TEST.replace("[13, 12", "[0, 12")},
            expected="test.csv, line 3: neg_items: '0' is in none of the three files",
        ),
        wrong(
            id="positive among negatives",
            files={"dev": DEV.replace("[12, 12]", "[12, 13]")},
            expected="dev.csv, line 3: neg_items: '13' is the line's own item_id",
        ),
        wrong(
            id="fewer negatives",
            files={"dev": DEV + "3\t14\t9\t[12]\n3\t10\t9\t[12, 12]\n"},
            expected="dev.csv, line 4: neg_items: 1 items, most lines have 2",
        ),
        wrong(
            id="more negatives in the first line",
            files={"dev": HEADER + "3\t14\t9\t[12, 11, 10]\n" + DEV.split("\n", 1)[1]},
            expected="dev.csv, line 2: neg_items: 3 items, most lines have 2",
        ),
        wrong(
            id="no list",
            files={"dev": DEV.replace("[11, 13]", "11 13")},
            expected="dev.csv, line 2: neg_items: '11 13' is not a list like [12, 7]",
        ),
        wrong(
            id="half a list",
            files={"dev": DEV.replace("[11, 13]", "[11, 13")},
            expected="dev.csv, line 2: neg_items: '[11, 13' is not a list like [12, 7]",
        ),
        wrong(
            id="code, which is not run",
            files={"dev": DEV.replace("[11, 13]", "[exit(), 13]")},
            expected="dev.csv, line 2: neg_items: 'exit()' is in none of the three files",
        ),
        wrong(
            id="empty field",
            files={"dev": DEV.replace("[11, 13]", "")},
            expected="dev.csv, line 2: neg_items: '' is not a list like [12, 7]",
        ),
        wrong(
            id="empty list",
            files={"dev": DEV.replace("[11, 13]", "[]").replace("[12, 12]", "[]")},
            expected="dev.csv, line 2: neg_items: '' is in none of the three files",
        ),
        wrong(
            id="a list of a list",
            files={"dev": DEV.replace("[11, 13]", "[[11], 13]")},
            expected="dev.csv, line 2: neg_items: '[11]' is in none of the three files",
        ),
        wrong(
            id="time",
            files={"train": TRAIN + "3\t12\tnoon\n"},
            expected="train.csv, line 5: timestamp 'noon' is not a time",
        ),
        wrong(
            id="user",
            files={"test": TEST + "\t12\t9\t[13, 11, 13]\n"},
            expected="test.csv, line 4: user_id '' is not an id",
        ),
        wrong(
            id="another number of fields",
            files={"test": TEST + "1\t12\t9\n"},
            expected="test.csv, line 4: 3 fields, the header has 4",
        ),
        wrong(
            id="no column",
            files={"dev": DEV.replace("neg_items", "negatives")},
            expected="dev.csv, line 1: column 'neg_items' is missing or comes twice",
        ),
        wrong(
            id="column twice",
            files={"train": "user_id\titem_id\ttime\titem_id\n1\t1\t1\t1\n"},
            expected="train.csv, line 1: column 'item_id' is missing or comes twice",
        ),
        wrong(
            id="commas",
            files={"train": TRAIN.replace("\t", ",")},
            expected="train.csv, line 1: column 'user_id' is missing or comes twice",
        ),
        wrong(id="no file", files={"test": None}, expected="test.csv: no such file"),
        wrong(id="empty file", files={"test": ""}, expected="test.csv: the file"),
        wrong(id="header only", files={"dev": HEADER}, expected="dev.csv: the file has a header"),
    ],
)
def test_bad_input_is_named_by_file_line_and_field(tmp_path, files, expected):
    path = folder(tmp_path, **files)
    with pytest.raises(DataError) as caught:
        read(path)
    assert f"{path}/{expected}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bad_lines_are_skipped_with_a_count_up_to_the_limit(tmp_path):
    dev = DEV + "3\t14\t9\t[12]\n3\t10\t9\t[12, 99]\n3\t10\n"
    path = folder(tmp_path, dev=dev, train=TRAIN + "3\t12\tnoon\n")
    log = read(path, max_bad_lines=4)
    assert table(log) == table(read(folder(tmp_path)))
    assert log.skipped_lines == 4
    folder(tmp_path, dev=dev, train=TRAIN + "3\t12\tnoon\n")
    with pytest.raises(DataError, match=r"dev\.csv, line 4: .* It is the first of 2 bad lines\."):
        read(path, max_bad_lines=3)


@pytest.mark.parametrize(
    ("test", "negative"),
    [
        # Item 15 stands only in a line whose own negatives are wrong, or whose time is.
        (TEST.replace("14]", "15]") + "3\t15\t9\t[15, 11, 12]\n", "15"),
        (TEST.replace("14]", "15]") + "3\t15\tnoon\t[10, 11, 12]\n", "15"),
    ],
)
def test_an_item_of_skipped_lines_alone_is_nobodys_negative(tmp_path, test, negative):
    path = folder(tmp_path, test=test)
    with pytest.raises(DataError) as caught:
        read(path, max_bad_lines=1)
    assert f"{path}/test.csv: neg_items of user_id '1', item_id '13' hold '{negative}'" in str(
        caught.value
    )


@pytest.mark.parametrize(
    ("inputs", "options", "expected"),
    [
        (["{path}"], {}, "name the file's domain, as in DOMAIN=PATH"),
        (["Shop={path}/nothing"], {}, "nothing: no such folder; check --input"),
        (["Shop={path}/train.csv"], {}, "train.csv: no such folder"),
        (["Shop={path}@train"], {}, "leave the part out"),
        (["A={path}", "B={path}"], {}, "--input names 2 folders"),
        (["Shop={path}"], {"domain_by": "column"}, "the rechorus reader takes file"),
        (["Shop={path}"], {"domains": ("Other",)}, "--read.domains names Other"),
    ],
)
def test_options_that_do_not_fit_are_named(tmp_path, inputs, options, expected):
    path = folder(tmp_path)
    with pytest.raises(DataError) as caught:
        texts = [text.format(path=path) for text in inputs]
        readers.read("rechorus", texts, ReChorusOptions(**options))
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("split", "expected"),
    [
        (SplitOptions(), "--split.kind=leave_one_out: the log brings negatives"),
        (SplitOptions(kind="ratio"), "use --split.kind=given"),
        (SplitOptions(kind="given", min_user_interactions=2), "leave them out"),
        (SplitOptions(kind="given", min_item_interactions=2), "leave them out"),
    ],
)
def test_its_split_goes_with_its_negatives(tmp_path, split, expected):
    log = read(folder(tmp_path))
    with pytest.raises(DataError) as caught:
        splits.split(log, split)
    assert expected in str(caught.value)


def rows_of(batches):
    """The rows that count, as one dict of arrays."""
    batches = [{key: value.numpy() for key, value in batch.items()} for batch in batches]
    kept = np.concatenate([batch["example_weight"] for batch in batches]) > 0
    return {key: np.concatenate([batch[key] for batch in batches])[kept] for key in batches[0]}


def prepared(path, data_dir, name="Shop", max_length=20):
    log = readers.read("rechorus", [f"{name}={path}"])
    return built(data_dir, splits.split(log, GIVEN), [name], max_length=max_length)


def test_a_folder_becomes_batches_with_its_own_candidates(tmp_path):
    data = prepared(folder(tmp_path), tmp_path / "data", max_length=2)
    tokens = ("", *data.vocabulary("target").tokens)
    found = {}
    for part, number in (("validation", 2), ("test", 3)):
        batches = data.batches("leave_one_out", part, batch_size=4, seed=0, candidates=number)
        rows = rows_of(batches)
        for k, user in enumerate(rows["user"]):
            found[part, data.prepared.users[user - 1]] = [
                [tokens[item] for item in rows[key][k]] for key in ("history", "candidates")
            ]
    assert found == {
        ("validation", "1"): [["", "10"], ["12", "11", "13"]],
        ("validation", "2"): [["11", "10"], ["13", "12", "12"]],
        ("test", "1"): [["10", "12"], ["13", "11", "11", "14"]],
        ("test", "2"): [["10", "13"], ["14", "13", "12", "13"]],
    }


@pytest.fixture(scope="module")
def grocery(real_data, tmp_path_factory):
    path = real_data("grocery")
    return path, prepared(path, tmp_path_factory.mktemp("grocery") / "data", "Grocery")


def plain_rows(path):
    """(user, item, time, negatives) of each line; integers as the file has them."""
    rows = []
    for line in path.read_text().splitlines()[1:]:
        user, item, time, *negatives = line.split("\t")
        rows.append((user, item, int(time), json.loads(negatives[0]) if negatives else []))
    return rows


def test_grocery_has_its_published_size(grocery):
    _, data = grocery
    assert [data.num_examples("leave_one_out", part) for part in ("train", "validation")] == [
        107_211,
        14_681,
    ]
    assert data.num_examples("leave_one_out", "test") == 14_681
    assert len(data.prepared.users) == 14_681
    assert data.vocabulary("target").size == 8_713
    assert data.vocabulary("joint").tokens == data.vocabulary("target").tokens
    assert data.prepared.metadata["interactions"] == 151_254
    assert data.prepared.metadata["dropped"] == {}


@pytest.mark.parametrize(("part", "file"), [("validation", "dev.csv"), ("test", "test.csv")])
def test_grocery_ranks_the_items_of_its_files(grocery, part, file):
    """Every history and candidate list, against the files read line by line."""
    path, data = grocery
    before = {}
    for name in ("train.csv", "dev.csv")[: 2 if part == "test" else 1]:
        for user, item, *_ in plain_rows(path / name):
            before.setdefault(user, []).append(item)
    tokens = np.array(["", *data.vocabulary("target").tokens], object)
    batches = data.batches("leave_one_out", part, batch_size=512, seed=0, candidates=99)
    rows = rows_of(batches)
    place = {data.prepared.users[user - 1]: k for k, user in enumerate(rows["user"])}
    lengths = np.count_nonzero(rows["history"], axis=1)
    expected = plain_rows(path / file)
    assert len(place) == len(expected) == 14_681
    for user, item, _, negatives in expected:
        k = place[user]
        assert tokens[rows["candidates"][k]].tolist() == [item, *map(str, negatives)]
        assert lengths[k] == min(20, len(before[user]))
        # The files lie in the order of time; ties keep the order of lines.
        assert tokens[rows["history"][k][20 - lengths[k] :]].tolist() == before[user][-20:]


def test_grocery_user_by_hand(grocery):
    """User 2177's items as they stand in train.csv, dev.csv and test.csv; two share a day."""
    _, data = grocery
    items = [3, 372, 369, 488, 4551, 4811, 6816, 7030, 6425, 7774]
    user = data.prepared.users.index("2177") + 1
    tokens = ("0", *data.vocabulary("target").tokens)
    found = {}
    for part in ("train", "validation", "test"):
        rows = rows_of(data.batches("leave_one_out", part, batch_size=512, seed=0))
        for k in np.flatnonzero(rows["user"] == user):
            history = [int(tokens[item]) for item in rows["history"][k]]
            found[int(tokens[rows["target_item"][k]])] = (part, history)
    parts = ["train"] * 7 + ["validation", "test"]
    assert found == {
        items[k]: (part, [0] * (20 - k) + items[:k]) for k, part in enumerate(parts, 1)
    }
