"""Interactions in integers: what needs no knowledge of users other than those it holds."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pandas as pd

from data_pipelines.logs import PARTS


@dataclasses.dataclass(frozen=True, eq=False)
class CodedLog:
    """A log, or all interactions of some of its users, by user, then time, then place in the file.

    A code is a place in a list of this log alone; the ids by which a whole data set knows an item
    and a user are numbered later (`user_histories`).

    Attributes:
      domains: the log's.
      comparable_times: as in the log.
      users: str [users], sorted; some may have no interaction left.
      item_ids: str [items], of (domain, item id) pairs.
      item_domains: int16 [items], index into `domains`.
      categories: str [items], "" for none; where a log's lines differ, the smallest text.
      user: int64 [n], index into `users`, ascending.
      item: int64 [n], index into `item_ids`.
      times: int64 [n].
      ratings: float32 [n], or None if the log has none.
      given_parts: int8 [n], index into PARTS, or None if the log brings none.
      negatives: int64 [m], items that came with the data to rank interactions among, or None.
      negative_offsets: int64 [n + 1], or None; interaction i has
        negatives[negative_offsets[i]:negative_offsets[i + 1]].
    """

    domains: tuple[str, ...]
    comparable_times: bool
    users: np.ndarray
    item_ids: np.ndarray
    item_domains: np.ndarray
    categories: np.ndarray
    user: np.ndarray
    item: np.ndarray
    times: np.ndarray
    ratings: np.ndarray | None = None
    given_parts: np.ndarray | None = None
    negatives: np.ndarray | None = None
    negative_offsets: np.ndarray | None = None

    @classmethod
    def of(cls, rows: pd.DataFrame, domains: Sequence[str], comparable_times: bool) -> "CodedLog":
        """Codes the interactions of some whole users.

        Args:
          rows: columns of an `InteractionLog`, in file order.
          domains: the log's.
          comparable_times: the log's.
        """
        user, users = pd.factorize(rows["user_id"], sort=True)
        times = rows["timestamp"].to_numpy(dtype=np.int64)
        order = np.lexsort((times, user))
        domain = _codes(rows["domain"], domains).astype(np.int64)
        texts = rows["item_id"]
        lists = pd.Series([], dtype=object)
        counts = np.zeros(len(rows), np.int64)
        if "negatives" in rows:
            # In the order of the log; a negative is of its interaction's domain.
            sorted_texts = rows["negatives"].iloc[order].reset_index(drop=True)
            lists = sorted_texts[(sorted_texts != "").to_numpy()].str.split("\t")
            counts[lists.index] = lists.str.len()
            negatives = np.array([item for row in lists for item in row], object)
            texts = pd.concat([texts.astype(object), pd.Series(negatives, dtype=object)])
            domain = np.concatenate([domain, np.repeat(domain[order], counts)])
        text, distinct = pd.factorize(texts)
        item, pairs = pd.factorize(text * len(domains) + domain)
        columns: dict[str, np.ndarray] = {}
        if "rating" in rows:
            columns["ratings"] = rows["rating"].to_numpy(np.float32)[order]
        if "part" in rows:
            columns["given_parts"] = _codes(rows["part"], PARTS)[order].astype(np.int8)
        if "negatives" in rows:
            columns["negatives"] = item[len(rows) :].astype(np.int64)
            columns["negative_offsets"] = np.concatenate([[0], np.cumsum(counts)])
        item = item[: len(rows)]
        categories = np.full(len(pairs), "", dtype=object)
        if "category" in rows:
            categories = smallest_texts(item, rows["category"], len(pairs))
        return cls(
            domains=tuple(domains),
            comparable_times=comparable_times,
            users=np.asarray(users, dtype=object),
            item_ids=np.asarray(distinct, dtype=object)[pairs // len(domains)],
            item_domains=(pairs % len(domains)).astype(np.int16),
            categories=categories,
            user=user[order],
            item=item[order].astype(np.int64),
            times=times[order],
            **columns,
        )

    @property
    def domain(self) -> np.ndarray:
        """int16 [n], each interaction's domain."""
        return self.item_domains[self.item]

    @property
    def offsets(self) -> np.ndarray:
        """int64 [users + 1]; user k has the interactions offsets[k]:offsets[k + 1]."""
        return np.searchsorted(self.user, np.arange(len(self.users) + 1))

    @property
    def present(self) -> np.ndarray:
        """int64 [k], the users with interactions, ascending."""
        return np.flatnonzero(np.diff(self.offsets))

    def only(self, kept: np.ndarray) -> "CodedLog":
        """Keeps the interactions where `kept`, bool [n], holds; the lists stay as they are."""
        if kept.all():
            return self
        names = ("user", "item", "times", "ratings", "given_parts")
        columns = {name: getattr(self, name) for name in names}
        columns = {name: c if c is None else c[kept] for name, c in columns.items()}
        if self.negatives is not None and self.negative_offsets is not None:
            counts = np.diff(self.negative_offsets)
            columns["negatives"] = self.negatives[np.repeat(kept, counts)]
            columns["negative_offsets"] = np.concatenate([[0], np.cumsum(counts[kept])])
        return dataclasses.replace(self, **columns)


def _codes(column: pd.Series, names: Sequence[str]) -> np.ndarray:
    codes = pd.Categorical(column, categories=list(names)).codes
    if np.any(codes < 0):
        raise ValueError(f"{column.name} must be one of {', '.join(names)}.")
    return codes


def smallest_texts(item: np.ndarray, texts: pd.Series, items: int) -> np.ndarray:
    """Chooses among several texts for an item: the smallest that is not empty.

    Args:
      item: int64 [n], which item each text is for.
      texts: str [n].
      items: number of items.

    Returns:
      str [items], "" for items without a text.
    """
    smallest = np.full(items, "", dtype=object)
    named = pd.DataFrame({"item": item, "text": texts.to_numpy(dtype=object)})
    named = named[named["text"] != ""].drop_duplicates()
    named = named.sort_values("text").drop_duplicates("item")
    smallest[named["item"]] = named["text"]
    return smallest
