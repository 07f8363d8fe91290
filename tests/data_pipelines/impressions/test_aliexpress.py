import stat
import zipfile

import numpy as np
import pytest

from data_pipelines import impressions
from data_pipelines.errors import DataError
from data_pipelines.impressions import aliexpress, synthetic_archives
from data_pipelines.impressions.aliexpress import AliExpressOptions
from data_pipelines.impressions.synthetic import FIELD_SIZES, SyntheticImpressionOptions
from tests.data_pipelines.impressions.raw_files import (
    default_files,
    item_line,
    rows_by_part,
    user_line,
    write_archive,
)


def read(path, **options):
    return impressions.read("aliexpress", [f"NL={path}"], AliExpressOptions(**options))


def test_columns_are_in_the_published_order(tmp_path):
    files = default_files()
    # Every cell tells its file and column.
    whole = {f"c{n}": n for n in (*range(2, 9), 32, 33)}
    files["nl_user_train"] = [user_line(1, **whole, **{f"c{n}": n + 0.5 for n in range(9, 32)})]
    categorical = (19, 34, 35, 36, 40, 41, 42)
    whole = {f"c{n}": 100 + n for n in categorical}
    rest = {f"c{n}": 100.5 + n for n in range(2, 49) if n not in categorical}
    files["nl_item_train"] = [item_line(1, 2, **whole, **rest)]
    log = read(write_archive(tmp_path / "a.zip", files))
    rows = rows_by_part(log, tmp_path / "scratch")["NL", "train"]
    assert len(log.columns.categorical) == 16 and len(log.columns.numerical) == 63
    user_fields = [*range(2, 9), 32, 33]
    assert rows["categorical"].tolist() == [user_fields + [100 + n for n in categorical]]
    expected = [n + 0.5 for n in range(9, 32)]
    expected += [n + 100.5 for n in range(2, 49) if n not in categorical]
    assert rows["numerical"].tolist() == [expected]


def test_labels_and_ids_on_one_side_only(tmp_path):
    files = default_files()
    files["nl_user_train"] += [user_line(90), user_line(91)]
    files["nl_item_train"] += [item_line(95, 2), item_line(95), item_line(10, 2)]
    log = read(write_archive(tmp_path / "a.zip", files))
    parts = rows_by_part(log, tmp_path / "scratch")
    train = parts["NL", "train"]
    # By page, and a page's items as in the file: ids 10 .. 14, labels (0, id % 3), 10 once more.
    assert train["click"].tolist() == [0, 1, 1, 0, 1, 0, 0, 0, 1, 0, 1]
    assert train["conversion"].tolist() == [0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 1]
    assert len(parts["NL", "test"]) == 4
    assert log.left_out == {
        "NL train: search ids in the user file only": 2,
        "NL train: search ids in the item file only": 1,
    }


def test_many_pieces_hold_the_rows_of_one(tmp_path, monkeypatch):
    options = SyntheticImpressionOptions(source_pages=60, target_pages=1, test_pages=20)
    path = tmp_path / "a.zip"
    synthetic_archives.write_archive(path, "RU", options, "source")
    whole = rows_by_part(read(path), tmp_path / "one")
    monkeypatch.setattr(aliexpress, "_PIECE_BYTES", 1 << 14)
    log = read(path, field_sizes=FIELD_SIZES)
    pieces = list(log.chunks(_folder(tmp_path / "many")))
    assert len(pieces) > 6
    for part in ("train", "test"):
        rows = np.concatenate([chunk.rows for chunk in pieces if chunk.part == part])
        assert sorted(row.tobytes() for row in rows) == sorted(
            row.tobytes() for row in whole["NL", part]
        )


def _folder(path):
    path.mkdir()
    return path


@pytest.mark.parametrize(
    ("member", "line", "message"),
    [
        ("nl_item_train", item_line(10, 3), "line 11: column 49: 3 is not 0 (shown), 1 (cli"),
        ("nl_item_test", item_line(10, -1), "line 5: column 49: -1 is not 0 (shown), 1"),
        ("nl_item_train", item_line(10, "x"), "line 11: column 49: 'x' is not a whole number"),
        ("nl_user_train", user_line(10, c9="nan"), "line 6: column 9: nan is not a finite num"),
        ("nl_item_train", item_line(10, c2="-inf"), "line 11: column 2: -inf is not a finite"),
        ("nl_item_train", item_line(10, c48="1e60"), "line 11: column 48: inf is not a finite"),
        ("nl_user_train", user_line(10, c10=""), "line 6: column 10: '' is not a finite number"),
        ("nl_user_train", user_line(10, c2=11), "line 6: column 2: 11 is not in 0..10; check --"),
        ("nl_item_test", item_line(10, c42=2), "line 5: column 42: 2 is not in 0..1; check --im"),
        ("nl_user_test", user_line(10, c33=-1), "line 3: column 33: -1 is not in 0..7; check"),
        ("nl_user_test", user_line(10, c33=1 << 40), "column 33: 1099511627776 is not in 0..7"),
        ("nl_user_train", user_line(10, c1="1a7"), "column 1: '1a7' is not a"),
        ("nl_user_train", user_line(10) + ",1", "line 6: 34 fields, the header has 33"),
    ],
)
def test_bad_lines_are_named_or_skipped(tmp_path, member, line, message):
    files = default_files()
    files[member].append(line)
    path = write_archive(tmp_path / "a.zip", files)
    with pytest.raises(DataError) as error:
        rows_by_part(read(path, field_sizes=FIELD_SIZES), tmp_path / "scratch")
    assert str(error.value).startswith(f"{path}/NL/{member}.zip/{member}.csv, line ")
    assert message in str(error.value)

    log = read(path, field_sizes=FIELD_SIZES, max_bad_lines=1)
    skipped = rows_by_part(log, tmp_path / "again")
    assert log.bad_lines.count == 1
    clean = read(write_archive(tmp_path / "b.zip", default_files()))
    for key, rows in rows_by_part(clean, tmp_path / "clean").items():
        np.testing.assert_array_equal(rows, skipped[key])


def test_a_category_may_be_anything_that_a_table_can_have(tmp_path):
    files = default_files()
    files["nl_user_train"].append(user_line(10, c2=1 << 31))
    path = write_archive(tmp_path / "a.zip", files)
    with pytest.raises(DataError, match=r"column 2: 2147483648 is not in 0\.\.2147483646"):
        rows_by_part(read(path), tmp_path / "scratch")


def test_archives_that_lack_or_repeat_a_member(tmp_path):
    files = default_files()
    del files["nl_item_test"]
    path = write_archive(tmp_path / "a.zip", files)
    with pytest.raises(DataError, match=r"has no member <cc>_item_test\.zip"):
        rows_by_part(read(path), tmp_path / "scratch")
    files = {**default_files(), "fr_item_test": []}
    path = write_archive(tmp_path / "b.zip", files)
    with pytest.raises(DataError, match="are both the item file of test; give one country"):
        rows_by_part(read(path), tmp_path / "scratch2")


@pytest.mark.parametrize("name", ["../nl_item_train.zip", "/etc/x.csv", "a\\..\\..\\x", "C:x"])
def test_members_outside_the_folder_are_refused(tmp_path, name):
    path = write_archive(tmp_path / "a.zip", default_files())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(name, "x")
    with pytest.raises(DataError, match="points out of the archive's folder"):
        rows_by_part(read(path), tmp_path / "scratch")
    assert not list((tmp_path / "scratch").iterdir())


def test_links_are_refused(tmp_path):
    path = write_archive(tmp_path / "a.zip", default_files())
    link = zipfile.ZipInfo("NL/link.zip")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(DataError, match="is a link"):
        rows_by_part(read(path), tmp_path / "scratch")


def test_bombs_are_refused_before_they_are_unpacked(tmp_path):
    files = default_files()
    files["nl_item_train"] += [" " * 50_000_000]  # Zeroes in a zip of some kilobytes.
    path = write_archive(tmp_path / "a.zip", files)
    assert path.stat().st_size < 100_000
    with pytest.raises(DataError) as error:
        rows_by_part(read(path, max_unpacked_gb=0.04), tmp_path / "scratch")
    assert "nl_item_train.zip: its members take more than" in str(error.value)
    assert "--impression_read.max_unpacked_gb=0.04 once unpacked" in str(error.value)


def test_damaged_archives_are_named(tmp_path):
    path = write_archive(tmp_path / "a.zip", default_files())
    content = bytearray(path.read_bytes())
    path.write_bytes(content[:200])
    with pytest.raises(DataError, match=r"a\.zip: not a whole zip file"):
        rows_by_part(read(path), tmp_path / "scratch")
    content[400:420] = b"x" * 20  # In the first member's content.
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.zip.*: not a whole zip file"):
        rows_by_part(read(path), tmp_path / "scratch2")


@pytest.mark.parametrize(
    ("inputs", "options", "message"),
    [
        ([], {}, "--input is missing"),
        (["a.zip"], {}, "name the file's domain"),
        (["NL=nowhere.zip"], {}, "nowhere.zip: no such file"),
        (["NL=a.zip@train"], {}, "an archive has both parts; leave the part out"),
        (["NL=a.zip"], {"field_sizes": (3, 4)}, "field_sizes has 2 numbers, the data 16"),
    ],
)
def test_flags_that_do_not_fit(tmp_path, monkeypatch, inputs, options, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.zip").touch()
    with pytest.raises(DataError) as error:
        impressions.read("aliexpress", inputs, AliExpressOptions(**options))
    assert message in str(error.value)


def test_options_out_of_range():
    with pytest.raises(DataError, match=r"max_unpacked_gb is 0\.0: it must be positive"):
        AliExpressOptions(max_unpacked_gb=0.0)
