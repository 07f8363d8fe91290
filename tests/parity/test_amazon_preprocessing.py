"""Reader `amazon` on raw lines whose products BiAO's own scripts recorded."""

import json
import pathlib

import numpy as np
import pytest

from data_pipelines import readers

GOLDEN = pathlib.Path(__file__).parent / "golden" / "biao" / "data_split.npz"
DOMAINS = ("source", "target")


@pytest.fixture(scope="module")
def case():
    with np.load(GOLDEN, allow_pickle=False) as arrays:
        return {name: array.item() for name, array in arrays.items() if array.dtype.kind == "U"}


@pytest.fixture(scope="module")
def product(case):
    return lambda name: json.loads(case[f"out/{name}"])


@pytest.fixture(scope="module")
def log(case, tmp_path_factory):
    folder = tmp_path_factory.mktemp("raw")
    for domain in DOMAINS:
        (folder / f"reviews_{domain}_5.json").write_text(case[f"in/reviews_{domain}"])
        (folder / f"meta_{domain}.json").write_text(case[f"in/meta_{domain}"])
    inputs = [f"{domain}={folder}/reviews_{domain}_5.json" for domain in DOMAINS]
    return readers.read("amazon", inputs)


@pytest.fixture(scope="module")
def tables(log):
    """Each domain's rows of the users of both, by user and time; ties in the order of lines."""
    rows = log.interactions
    apart = {domain: rows[rows["domain"] == domain] for domain in DOMAINS}
    shared = set(apart["source"]["user_id"]) & set(apart["target"]["user_id"])
    return {
        domain: of[of["user_id"].isin(shared)].sort_values(["user_id", "timestamp"], kind="stable")
        for domain, of in apart.items()
    }


def numbered(texts):
    """Numbers from 1 in the order of first appearance."""
    return {text: number for number, text in enumerate(dict.fromkeys(texts), 1)}


def test_every_raw_line_is_an_interaction(log, case):
    for domain in DOMAINS:
        lines = [json.loads(line) for line in case[f"in/reviews_{domain}"].splitlines()]
        of = log.interactions[log.interactions["domain"] == domain]
        names = ["user_id", "item_id", "rating", "timestamp"]
        keys = ["reviewerID", "asin", "overall", "unixReviewTime"]
        expected = [tuple(line[key] for key in keys) for line in lines]
        assert list(of[names].itertuples(index=False, name=None)) == expected
    assert log.comparable_times


def test_users_and_items(tables, product):
    assert numbered(tables["source"]["user_id"]) == product("users")
    for domain in DOMAINS:
        assert numbered(tables[domain]["item_id"]) == product(f"{domain}_item")


def test_categories(tables, product):
    for domain in DOMAINS:
        names = {number: name for name, number in product(f"{domain}_cate2id").items()}
        of_item = product(f"{domain}_item_cate")
        found = dict(zip(tables[domain]["item_id"], tables[domain]["category"], strict=True))
        assert found == {
            item: names[of_item[str(number)]] for item, number in product(f"{domain}_item").items()
        }
        assert "others" in found.values()


def test_rows_in_the_order_of_time(tables, product):
    """The last two target rows of a user are held out; a row lists what came before it."""
    users = product("users")
    items = {domain: product(f"{domain}_item") for domain in DOMAINS}
    sets = {"train_set": [], "valid_set": [], "test_set": []}
    pools, liked = {}, {}
    for user, of_target in tables["target"].groupby("user_id"):
        of_source = tables["source"][tables["source"]["user_id"] == user]
        cut = of_target["timestamp"].iloc[-2]
        before = of_source[of_source["timestamp"] < cut]
        pools[str(users[user])] = [
            [row.rating, items["source"][row.item_id]] for row in before.itertuples()
        ]
        liked[str(users[user])] = [
            items["target"][row.item_id] for row in of_target[:-2].itertuples() if row.rating > 3
        ]
        for place, row in enumerate(of_target.itertuples()):
            earlier = of_target[:place]
            sources = of_source[of_source["timestamp"] <= row.timestamp]
            positives = [
                [items[domain][item] for item in some["item_id"][some["rating"] > 3]]
                for domain, some in (("target", earlier), ("source", sources))
            ]
            part = {len(of_target) - 2: "valid_set", len(of_target) - 1: "test_set"}
            sets[part.get(place, "train_set")].append(
                [users[user], items["target"][row.item_id], row.rating, *positives]
            )
    for name, rows in sets.items():
        assert rows == product(name), name
    assert pools == product("source_pos_neg")
    assert liked == product("target_user_behavior")
