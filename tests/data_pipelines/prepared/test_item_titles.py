"""Items are shown by the texts of a table, by their raw ids where it has none."""

import types

import pytest

from data_pipelines.errors import DataError
from data_pipelines.prepared.item_titles import ShownNames, TitleOptions, read_titles

ATOMIC = (
    "item_id:token\tmovie_title:token_seq\trelease_year:token\n"
    "1\tToy Story\t1995\n7\tTwelve Monkeys\t\n9\t\t1996\n"
)


@pytest.fixture
def titles(tmp_path):
    """Reads a table with the given text."""

    def read(content, /, name="items.csv", encoding="utf-8", **options):
        path = tmp_path / name
        path.write_bytes(content.encode(encoding))
        return read_titles(path, TitleOptions(**options))

    return read


def test_the_first_other_column_is_the_title(titles):
    assert titles('name,item_id,shop\nLamp,a1,x\n"Cup, blue",a2,y\n') == {
        "a1": "Lamp",
        "a2": "Cup, blue",
    }


def test_recbole_columns_are_named_without_their_type(titles):
    assert titles(ATOMIC, "ml.item") == {"1": "Toy Story", "7": "Twelve Monkeys"}
    text = "{movie_title} ({release_year})"
    assert titles(ATOMIC, "ml.item", text=text)["1"] == "Toy Story (1995)"


def test_a_text_joins_columns_and_skips_items_without_any_of_them(titles):
    table = "item_id\tkind\tcolour\n1\tcup\tblue\n2\t\tred\n3\t\t\n"
    options = {"text": "{item_id}: {colour} {kind}"}
    assert titles(table, "meta.csv", **options) == {"1": "1: blue cup", "2": "2: red"}


def test_braces_are_columns_and_nothing_else(titles):
    with pytest.raises(DataError, match=r"no column 'item_id\.__class__'"):
        titles("item_id,title\n1,x\n", text="{item_id.__class__}")


def test_movielens_tables_without_header_are_latin_1(titles):
    marks = "|".join("0" * 19)
    table = f"1|Misérables, Les|01-Jan-1995||http://x|{marks}\n"
    assert titles(table, "u.item", "latin-1") == {"1": "Misérables, Les"}
    shown = titles("1::Léon::Crime|Drama\n", "movies.dat", "latin-1", text="{title} [{genres}]")
    assert shown == {"1": "Léon [Crime|Drama]"}


def test_an_item_may_come_twice_with_one_text_only(titles):
    assert titles("item_id,title,user\n1,x,u\n1,x,v\n") == {"1": "x"}
    with pytest.raises(DataError, match="item_id '1' has two texts, 'x' and 'y'"):
        titles("item_id,title\n1,x\n2,z\n1,y\n")


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ("id,title\n1,x\n", {}, "no column 'item_id'; the file has id, title. .*item_column"),
        ("item_id,title\n1,x\n", {"text": "{name}"}, "no column 'name'; .*item_id, title.*text"),
        (ATOMIC, {"text": "{title}"}, "no column 'title'; the file has item_id, movie_title"),
        ("item_id\n1\n", {}, "no column besides 'item_id'"),
        ("", {}, "empty"),
        ("item_id,title\n", {}, "no good line"),
        ("item_id,title\n1,x\n2\n", {}, "line 3: 1 fields, the header has 2"),
    ],
)
def test_a_bad_table_is_named(titles, content, options, message):
    with pytest.raises(DataError, match=f"items.csv.*{message}"):
        titles(content, **options)


def test_a_missing_table_is_named_with_its_flag(tmp_path):
    with pytest.raises(DataError, match=r"--titles\.path=.*nowhere\.csv: no such file"):
        read_titles(tmp_path / "nowhere.csv", TitleOptions())


@pytest.mark.parametrize("options", [{"item_column": ""}, {"text": "title"}])
def test_bad_options_are_refused(options):
    with pytest.raises(DataError, match=next(iter(options))):
        TitleOptions(**options)


def shown_names(titles):
    spaces = {"target": ("7", "8:7"), "joint": ("Comedy:7", "Drama:7", "Comedy:9")}
    data = types.SimpleNamespace(
        prepared=types.SimpleNamespace(domains=("Drama", "Comedy")),
        user_names=lambda users: [("ann", "bob")[user - 1] for user in users],
        vocabulary=lambda space: types.SimpleNamespace(tokens=spaces[space]),
    )
    return ShownNames(data, titles)


def test_items_without_a_title_are_shown_by_their_raw_id():
    names = shown_names({"9": "Heat"})
    assert [names.item("target", item) for item in (1, 2)] == ["7", "8:7"]
    assert [names.item("joint", item) for item in (1, 2)] == ["Comedy:7", "Drama:7"]
    assert names.user(2) == "bob"


def test_in_a_space_of_several_domains_the_title_says_which():
    names = shown_names({"7": "Seven", "Drama:7": "Another"})
    # "8" is no domain, so that "8:7" is an id.
    assert [names.item("target", item) for item in (1, 2)] == ["Seven", "8:7"]
    assert [names.item("joint", item) for item in (1, 2)] == ["Seven [Comedy]", "Another"]


def test_movielens_as_published(real_data):
    path = real_data("movielens_100k") / "ml-100k.item"
    titles = read_titles(path, TitleOptions(text="{movie_title} ({release_year})"))
    assert titles["50"] == "Star Wars (1977)"
    assert len(titles) == 1682


def test_grocery_as_published(real_data):
    path = real_data("grocery") / "item_meta.csv"
    titles = read_titles(path, TitleOptions(text="{item_id} (category {i_category})"))
    assert titles["3"] == "3 (category 21)"
