import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipelines.coding import vocabulary
from data_pipelines.coding.vocabulary import ItemSpace, ItemTable, ranked
from data_pipelines.errors import DataError


def small_table():
    """Items b, a of domain S, then c, b of domain T."""
    ids = np.array(["a", "b", "b", "c"], object)
    domains = np.array([0, 1, 0, 1], np.int8)
    parts = np.array([[1, 0, 0], [0, 2, 0], [5, 0, 0], [0, 0, 7]])
    categories = np.array(["x", "", "y", ""], object)
    return ranked(("S", "T"), ids, domains, categories, parts)


def test_ids_follow_domains_then_falling_training_counts_then_raw_ids():
    table, ids = small_table()
    assert table.ids.tolist() == ["b", "a", "b", "c"]
    assert table.domain_of().tolist() == [0, 0, 1, 1]
    assert table.starts.tolist() == [0, 2, 4]
    assert table.categories.tolist() == ["y", "x", "", ""]
    assert table.parts[:, 0].tolist() == [5, 1, 0, 0]
    assert ids.tolist() == [2, 3, 1, 4]


def test_spaces_are_ranges_of_domains_one_behind_the_other():
    table, _ = small_table()
    space = ItemSpace(table, (1, 0), np.array([5, 1, 0, 0]))
    assert space.counts.tolist() == [0, 0, 5, 1]
    assert space.tokens == ("T:b", "T:c", "S:b", "S:a")
    assert (space.size, space.cls_id, space.mask_id, space.rows) == (4, 5, 6, 7)
    shifts = space.shifts()
    for index, id_of_all in enumerate((space.indices + 1).tolist()):
        assert id_of_all + shifts[table.domain_of()[id_of_all - 1]] == index + 1
    alone = ItemSpace(table, (1,), np.zeros(4, np.int64))
    assert (alone.tokens, alone.shifts().tolist()) == (("b", "c"), [0, -2])


# What a validated log's ids may hold: anything but line ends, tabs and blanks at the ends. Line
# separators other than the line feed (\x0b, \u2028) must survive.
TOKENS = st.text(st.characters(exclude_characters="\t\r\n", exclude_categories=["Cs"]), min_size=1)


@given(st.lists(TOKENS, unique=True, max_size=20))
def test_saved_tables_and_tokens_come_back(tmp_path_factory, tokens):
    folder = tmp_path_factory.mktemp("vocabulary")
    number = len(tokens)
    domain_of = (np.arange(number) % 3 // 2).astype(np.int8)
    parts = np.arange(3 * number).reshape(number, 3)
    ids = np.array([*tokens, ""], object)[:number]
    table, _ = ranked(("S", "T", "R"), ids, domain_of, ids, parts)
    table.save(folder / "items.parquet")
    loaded = ItemTable.load(folder / "items.parquet", ("S", "T", "R"))
    for field in ("ids", "starts", "categories", "parts"):
        np.testing.assert_array_equal(getattr(loaded, field), getattr(table, field))
    vocabulary.write_tokens(folder / "users.txt", tokens)
    assert vocabulary.read_tokens(folder / "users.txt") == tuple(tokens)


def test_missing_and_damaged_files_are_named(tmp_path):
    items, users = tmp_path / "items.parquet", tmp_path / "users.txt"
    with pytest.raises(DataError, match=r"items\.parquet: the file is missing"):
        ItemTable.load(items, ("S", "T"))
    with pytest.raises(DataError, match=r"users\.txt: the file is missing"):
        vocabulary.read_tokens(users)
    small_table()[0].save(items)
    content = items.read_bytes()
    with pytest.raises(DataError, match=r"items\.parquet: damaged"):  # Of another data set.
        ItemTable.load(items, ("T", "S"))
    for damaged in (b"", content[:100], content[:-9] + b"x" * 9, b"no parquet at all"):
        items.write_bytes(damaged)
        with pytest.raises(DataError, match=r"items\.parquet: damaged"):
            ItemTable.load(items, ("S", "T"))
    users.write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match=r"users\.txt: damaged"):
        vocabulary.read_tokens(users)


def test_categories_are_numbered_by_name_and_told_apart_by_domain():
    table, _ = small_table()
    alone = ItemSpace(table, (0,), np.zeros(4, np.int64))
    assert alone.categories == ("x", "y")
    assert alone.category_of.tolist() == [0, 2, 1]
    both = ItemSpace(table, (1, 0), np.zeros(4, np.int64))
    assert both.categories == ("S:x", "S:y")
    # Items b and c of T have none.
    assert both.category_of.tolist() == [0, 0, 0, 2, 1]
