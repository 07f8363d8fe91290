"""Replays the release's data preparation: raw lines through reader, split and view, renumbered.

Lists are the release's own products, made of the reader's table; the rows of each part are cut by
view `paired_behaviour` from the data set that the table is converted to.
"""

import ast
import collections
import dataclasses
import json
import pathlib
import tempfile
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from data_pipelines import readers
from data_pipelines.prepared.interaction_source import InteractionSource
from data_pipelines.splitting.split_log import SplitOptions
from data_pipelines.splitting.splits import split
from tests.data_pipelines.small_logs import built, joined, read

_DOMAINS = ("source", "target")
_PARTS = {"train": "train", "valid": "validation", "test": "test"}
_LIKED_ABOVE = 3.0
_DEVELOPING_USERS = 1000


def replay(case: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns every product of the release by the case's keys."""
    with tempfile.TemporaryDirectory() as folder:
        return _Products(case, pathlib.Path(folder)).outputs()


class _Products:
    """The users of both domains, numbered as the release numbers them."""

    def __init__(self, case: Mapping[str, np.ndarray], folder: pathlib.Path) -> None:
        for domain in _DOMAINS:
            for kind, name in (("reviews", f"reviews_{domain}_5"), ("meta", f"meta_{domain}")):
                text = str(case[f"in/{kind}_{domain}"])
                (folder / f"{name}.json").write_text(text, encoding="utf-8")
        inputs = [f"{domain}={folder}/reviews_{domain}_5.json" for domain in _DOMAINS]
        log = readers.read("amazon", inputs)
        rows = log.interactions
        users = [set(rows.loc[rows["domain"] == domain, "user_id"]) for domain in _DOMAINS]
        shared = rows[rows["user_id"].isin(set.intersection(*users))].reset_index(drop=True)
        self.tables = {
            domain: of.sort_values(["user_id", "timestamp"], kind="stable")
            for domain, of in shared.groupby("domain")
        }
        self.users = _numbered(self.tables["source"]["user_id"])
        self.items = {domain: _numbered(self.tables[domain]["item_id"]) for domain in _DOMAINS}
        self.category_of = {domain: self._category_of(case, domain) for domain in _DOMAINS}
        self.categories = {
            domain: _numbered(of_item.values()) for domain, of_item in self.category_of.items()
        }
        self.length = int(case["in/s_hislen"])
        self.source = built(
            folder / "data",
            split(dataclasses.replace(log, interactions=shared), SplitOptions()),
            ["target"],
            max_length=self.length,
            behaviour_cutoff="held_out",
            positive_above=_LIKED_ABOVE,
        )

    def _category_of(self, case: Mapping[str, np.ndarray], domain: str) -> dict[str, str]:
        """Item -> category, in the order of the metadata's lines."""
        table = self.tables[domain]
        of_item = dict(zip(table["item_id"], table["category"], strict=True))
        lines = str(case[f"in/meta_{domain}"]).splitlines()
        items = [ast.literal_eval(line)["asin"] for line in lines]
        return {item: of_item[item] for item in items if item in of_item}

    def outputs(self) -> dict[str, np.ndarray]:
        lists = {"users": self.users, **self._lists()}
        for domain in _DOMAINS:
            lists[f"{domain}_item"] = self.items[domain]
            lists[f"{domain}_cate2id"] = self.categories[domain]
            lists[f"{domain}_item_cate"] = {
                self.items[domain][item]: self.categories[domain][category]
                for item, category in self.category_of[domain].items()
            }
        outputs = {f"out/{name}": np.array(json.dumps(value)) for name, value in lists.items()}
        for part in _PARTS:
            rows = self._rows(self.source, part, lists[f"{part}_set"])
            outputs |= {f"out/rows_{part}/{name}": value for name, value in rows.items()}
        return outputs

    def _lists(self) -> dict[str, Any]:
        """The lists of section 7 by the release's names, with the release's numbers."""
        found: dict[str, Any] = collections.defaultdict(list)
        pools, liked = {}, {domain: {} for domain in _DOMAINS}
        latest_training = []
        by_user = {
            domain: dict(list(table.groupby("user_id"))) for domain, table in self.tables.items()
        }
        for name, user in self.users.items():
            source, target = (by_user[domain][name] for domain in _DOMAINS)
            cut = target["timestamp"].iloc[-2]
            for place in range(len(target)):
                row = self._list_row(user, target, place, source)
                part = {len(target) - 1: "test", len(target) - 2: "valid"}.get(place, "train")
                if part == "train" and place == len(target) - 3:
                    latest_training.append(len(found["train_set"]))
                found[f"{part}_set"].append(row)
            earlier = source[source["timestamp"] < cut]
            items = [self.items["source"][item] for item in earlier["item_id"]]
            pools[user] = [
                [rating, item] for rating, item in zip(earlier["rating"], items, strict=True)
            ]
            liked["source"][user] = self._liked("source", earlier)
            liked["target"][user] = self._liked("target", target.iloc[:-2])
            for place in range(len(source)):
                if source["timestamp"].iloc[place] < cut:
                    found["source_training"].append(self._source_row(user, source, place, target))
        developing = latest_training[:_DEVELOPING_USERS]
        others = [n for n in range(len(found["train_set"])) if n not in set(developing)]
        return {
            **found,
            "source_pos_neg": pools,
            "source_user_behavior": liked["source"],
            "target_user_behavior": liked["target"],
            "meta_indices": developing,
            "meta_train_indices": others,
        }

    def _list_row(self, user: int, target: pd.DataFrame, place: int, source: pd.DataFrame) -> list:
        row = target.iloc[place]
        until = source[source["timestamp"] <= row["timestamp"]]
        item = self.items["target"][row["item_id"]]
        own = self._liked("target", target.iloc[:place])
        return [user, item, float(row["rating"]), own, self._liked("source", until)]

    def _source_row(
        self, user: int, source: pd.DataFrame, place: int, target: pd.DataFrame
    ) -> list:
        row = source.iloc[place]
        until = target.iloc[:-2]
        until = until[until["timestamp"] <= row["timestamp"]]
        item = self.items["source"][row["item_id"]]
        own = self._liked("source", source.iloc[:place])
        return [user, item, float(row["rating"]), self._liked("target", until), own]

    def _liked(self, domain: str, rows: pd.DataFrame) -> list[int]:
        chosen = rows.loc[rows["rating"] > _LIKED_ABOVE, "item_id"]
        return [self.items[domain][item] for item in chosen]

    def _rows(
        self, source: InteractionSource, part: str, expected: list[list]
    ) -> dict[str, np.ndarray]:
        """The view's rows of a part with the release's numbers, in the release's order."""
        rows = joined(read(source, "paired_behaviour", _PARTS[part], batch_size=16))
        spaces = {
            "t": ("target", source.vocabulary("target")),
            "s": ("source", source.vocabulary("source")),
        }
        user = [self.users[name] for name in source.user_names(rows["user"].tolist())]
        found = {"user": np.array(user), "label": rows["liked"].astype(np.int64)}
        found["s_effect"] = rows["source_effect"].astype(np.int64)
        for short, (domain, vocabulary) in spaces.items():
            item = np.array([0, *(self.items[domain][token] for token in vocabulary.tokens)])
            names = vocabulary.categories
            category = np.array([0, *(self.categories[domain][name] for name in names)])
            found[f"{short}_his"] = item[rows[f"{domain}_history"]]
            found[f"{short}_cate"] = category[rows[f"{domain}_history_categories"]]
            found[f"{short}_len"] = rows[f"{domain}_length"].astype(np.int64)
            if domain == "target":
                found["candidate"] = item[rows["target_item"]]
                found["can_cate"] = category[rows["target_category"]]
        came = list(zip(found["user"].tolist(), found["candidate"].tolist(), strict=True))
        order = [came.index((row[0], row[1])) for row in expected]
        assert sorted(order) == list(range(len(came)))
        return {name: values[order] for name, values in found.items()}


def _numbered(texts: Iterable[str]) -> dict[str, int]:
    """Numbers from 1 in the order of first appearance."""
    return {text: number for number, text in enumerate(dict.fromkeys(texts), 1)}
