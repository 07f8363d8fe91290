"""Raw item ids as integers from 1: the items of a whole data set, and those that a model knows.

A data set has one list of items, in which each domain is a contiguous range. A model reads *item
spaces*, each made of the ranges of some domains, one behind the other: `source` (all sources of the
run), `target`, and `joint` (the target's items, then the sources'). In a space, id 0 is padding,
ids 1..n are the items, and two more ids are reserved for tokens that are no items.
"""

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from data_pipelines.errors import DataError
from data_pipelines.logs import PARTS


@dataclasses.dataclass(frozen=True, eq=False)
class ItemTable:
    """The items of a data set; the item at index i has id i + 1.

    Attributes:
      domains: names; each domain's items are contiguous, in this order.
      ids: str [n], raw item ids; in each domain by falling count of training interactions, ties by
        id.
      starts: int64 [domains + 1]; domain d has the items at index starts[d]:starts[d + 1].
      categories: str [n], "" for none.
      parts: int64 [n, 3], interactions in each part where the item's domain is the target.
    """

    domains: tuple[str, ...]
    ids: np.ndarray
    starts: np.ndarray
    categories: np.ndarray
    parts: np.ndarray

    @property
    def size(self) -> int:
        """Number of items n; their ids are 1..n."""
        return len(self.ids)

    def domain_of(self) -> np.ndarray:
        """Returns int16 [n], each item's domain."""
        return np.repeat(np.arange(len(self.domains), dtype=np.int16), np.diff(self.starts))

    def prefixes(self) -> np.ndarray:
        """Returns str [n], each item's domain with a colon."""
        return np.array([f"{name}:" for name in self.domains], dtype=object)[self.domain_of()]

    def save(self, path: Path) -> None:
        """Writes a parquet table with a row for each item, in the order of ids."""
        names = np.array(self.domains, dtype=object)
        columns = {
            "item_id": self.ids,
            "domain": names[self.domain_of()],
            "category": self.categories,
            **dict(zip(PARTS, self.parts.T, strict=True)),
        }
        pd.DataFrame(columns).to_parquet(path, index=False)

    @classmethod
    def load(cls, path: Path, domains: Sequence[str]) -> "ItemTable":
        """Reads what `save` wrote.

        Raises:
          DataError: the file is missing or not such a table.
        """
        try:
            table = pd.read_parquet(path)
            domain = pd.Categorical(table["domain"], categories=list(domains)).codes
            if (domain < 0).any() or (np.diff(domain) < 0).any():
                raise ValueError("its domains are not those of the data set, in order")
            return cls(
                domains=tuple(domains),
                ids=table["item_id"].to_numpy(dtype=object),
                starts=np.searchsorted(domain, np.arange(len(domains) + 1)),
                categories=table["category"].to_numpy(dtype=object),
                parts=table[list(PARTS)].to_numpy(np.int64),
            )
        except FileNotFoundError as error:
            raise DataError(f"{path}: the file is missing; convert the data again.") from error
        except (OSError, KeyError, ValueError, TypeError, pa.ArrowException) as error:
            raise DataError(f"{path}: damaged ({error}); convert the data again.") from error


def ranked(
    domains: Sequence[str],
    ids: np.ndarray,
    domain_of: np.ndarray,
    categories: np.ndarray,
    parts: np.ndarray,
) -> tuple[ItemTable, np.ndarray]:
    """Numbers items from 1: by domain, then by falling count of training interactions, then by id.

    Args:
      domains: names.
      ids: str [n], distinct in each domain, in any order.
      domain_of: int16 [n].
      categories: str [n].
      parts: int64 [n, 3].

    Returns:
      The table, and int64 [n], the id of each item as it was given.
    """
    by_id = np.argsort(ids, kind="stable")
    order = by_id[np.lexsort((-parts[by_id, 0], domain_of[by_id]))]
    numbers = np.empty(len(ids), np.int64)
    numbers[order] = np.arange(1, len(ids) + 1)
    starts = np.searchsorted(domain_of[order], np.arange(len(domains) + 1))
    return ItemTable(tuple(domains), ids[order], starts, categories[order], parts[order]), numbers


@dataclasses.dataclass(frozen=True, eq=False)
class ItemSpace:
    """The items that one input of a model knows; the token at index i has id i + 1.

    Attributes:
      items: of the data set.
      chosen: numbers of the domains whose items these are, in the order of their ids.
      trained: int64, how many training interactions of the run each item of the data set has (0 for
        items that occur only in validation or test, or too late).
    """

    items: ItemTable
    chosen: tuple[int, ...]
    trained: np.ndarray

    @property
    def size(self) -> int:
        """Number of items n; their ids are 1..n."""
        return sum(int(np.diff(self.items.starts)[domain]) for domain in self.chosen)

    @property
    def cls_id(self) -> int:
        """Id of the token that closes (or encloses) a history."""
        return self.size + 1

    @property
    def mask_id(self) -> int:
        """Id of the token that hides an item."""
        return self.size + 2

    @property
    def rows(self) -> int:
        """Rows of an embedding table that holds padding, the items, CLS and MASK."""
        return self.size + 3

    @property
    def domain_sizes(self) -> dict[str, int]:
        """Items of each of these domains, by name; their ids follow each other in this order."""
        sizes = np.diff(self.items.starts)
        return {self.items.domains[domain]: int(sizes[domain]) for domain in self.chosen}

    @functools.cached_property
    def indices(self) -> np.ndarray:
        """int64 [n], each item's index in the data set."""
        starts = self.items.starts
        return np.concatenate(
            [np.arange(starts[domain], starts[domain + 1]) for domain in self.chosen]
        )

    @functools.cached_property
    def counts(self) -> np.ndarray:
        """int64 [n], how many training interactions of the run each item has."""
        return self.trained[self.indices]

    @functools.cached_property
    def tokens(self) -> tuple[str, ...]:
        """Raw ids; with several domains `domain:item_id`."""
        ids = self.items.ids[self.indices]
        if len(self.chosen) > 1:
            ids = self._prefixes() + ids
        return tuple(ids.tolist())

    @functools.cached_property
    def categories(self) -> tuple[str, ...]:
        """Names of the items' categories, in order; with several domains `domain:category`.

        The category at index i has id i + 1. Items without one have none.
        """
        return self._category_codes[1]

    @functools.cached_property
    def category_of(self) -> np.ndarray:
        """int64 [n + 1], the id of each item's category, 0 for none and for id 0."""
        return self._category_codes[0]

    @functools.cached_property
    def _category_codes(self) -> tuple[np.ndarray, tuple[str, ...]]:
        names = self.items.categories[self.indices].astype(object)
        has_one = names != ""
        if len(self.chosen) > 1:
            names = self._prefixes() + names
        found = np.unique(names[has_one].astype(str))
        codes = np.zeros(self.size + 1, np.int64)
        codes[1:][has_one] = np.searchsorted(found, names[has_one].astype(str)) + 1
        return codes, tuple(found.tolist())

    def _prefixes(self) -> np.ndarray:
        """Returns str [n], the domain of each item with a colon."""
        return self.items.prefixes()[self.indices]

    def shifts(self) -> np.ndarray:
        """Returns int64 [domains], what to add to a data set's ids for those of this space.

        Domains outside it get 0.
        """
        shifts = np.zeros(len(self.items.domains), np.int64)
        start = 0
        for domain in self.chosen:
            shifts[domain] = start - self.items.starts[domain]
            start += int(np.diff(self.items.starts)[domain])
        return shifts


def read_tokens(path: Path) -> tuple[str, ...]:
    """Reads a file of one token per line.

    Raises:
      DataError: the file is missing or no text.
    """
    try:
        with path.open(encoding="utf-8", newline="\n") as file:
            text = file.read()
    except FileNotFoundError as error:
        raise DataError(f"{path}: the file is missing; convert the data again.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: damaged ({error}); convert the data again.") from error
    # Not splitlines(): an id may hold characters, such as a form feed, that it takes for line ends.
    return tuple(text.split("\n")[:-1])


def write_tokens(path: Path, tokens: Sequence[str]) -> None:
    """Writes one token per line, as `read_tokens` and TensorFlow's lookup tables read it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(f"{token}\n" for token in tokens)
