"""The metadata of a category: what an item's own category is.

The editions say it in three ways, which the lines themselves tell apart:

    {'asin': 'B1', 'categories': [['Toys', 'Games'], ['Gifts']], ...}            2014, in Python
    {"category": ["Toys", "Games"], "asin": "B1", ...}                           2018
    {"main_category": "Toys", "categories": ["Toys", "Games"], "parent_asin": "B1", ...}   2023
"""

import pathlib
import re
from collections.abc import Iterable, Set
from typing import Any, NamedTuple

from data_pipelines.errors import shown
from data_pipelines.logs import BadLines
from data_pipelines.readers.line_objects import (
    BadLine,
    good_lines,
    is_text,
    json_or_literal_object,
)

# The category of items without one.
OTHERS = "others"
# Lines of 2014 begin with the item; most are of items that a 5-core has not, and parsing is slow.
_ITEM_FIRST = re.compile(rb"\{'asin': '([A-Za-z0-9]+)'[,}]")


class ItemCategories(NamedTuple):
    """What metadata say about the items of a log.

    Attributes:
      names: item -> category, for the items that the metadata hold.
      contradicted: number of items that come again with another category; the first counts.
    """

    names: dict[str, str]
    contradicted: int


def read_categories(
    paths: Iterable[pathlib.Path], items: Set[str], depth: int, bad_lines: BadLines
) -> ItemCategories:
    """Reads the categories of items.

    Args:
      paths: files of metadata, which count as one.
      items: whose categories are wanted; lines of others are ignored.
      depth: which name of an item's first path of categories is its category, from 1; `OTHERS` if
        the path is shorter.
      bad_lines: takes the lines that are no metadata of an item.

    Raises:
      DataError: a file cannot be read, or more lines are bad than may be skipped.
    """
    names: dict[str, str] = {}
    contradicted: set[str] = set()

    def parse(line: bytes) -> tuple[str, str] | None:
        begins = _ITEM_FIRST.match(line)
        if begins and begins[1].decode() not in items:
            return None
        record = json_or_literal_object(line)
        item = _item(record)
        return (item, _category(record, depth)) if item in items else None

    for path in paths:
        for _, found in good_lines(path, parse, bad_lines):
            if found and names.setdefault(*found) != found[1]:
                contradicted.add(found[0])
    return ItemCategories(names, len(contradicted))


def _item(record: dict[str, Any]) -> str:
    key = "parent_asin" if "parent_asin" in record else "asin"
    if key not in record:
        raise BadLine(
            f"no key 'asin' (2014, 2018) or 'parent_asin' (2023); the keys are "
            f"{shown(list(record))}."
        )
    if not is_text(record[key]):
        raise BadLine(f"{key} {shown(record[key])} is not an id, which is a text.")
    return record[key]


def _category(record: dict[str, Any], depth: int) -> str:
    key = "categories" if "categories" in record else "category"
    if key not in record:
        raise BadLine(
            f"no key 'categories' (2014, 2023) or 'category' (2018); the keys are "
            f"{shown(list(record))}."
        )
    path = [] if record[key] is None else record[key]
    if isinstance(path, list) and path and isinstance(path[0], list):
        path = path[0]
    if not (isinstance(path, list) and all(map(is_text, path))):
        raise BadLine(f"{key} {shown(record[key])} is not a path of names, or a list of such.")
    return (path[depth - 1] if len(path) >= depth else "") or OTHERS
