"""Which domain an interaction belongs to, where the file does not say it in a column of its own."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from data_pipelines.readers.cells import whole_numbers


def by_category(categories: pd.Series, separator: str, domains: Sequence[str]) -> pd.Series:
    """The first category of each list that is a named domain.

    Args:
      categories: str [rows], categories joined by the separator.
      separator: between categories.
      domains: the named categories.

    Returns:
      str [rows]; "" where no category of the list is named.
    """
    named = set(domains)
    codes, lists = pd.factorize(categories.fillna(""))
    first = np.array(
        [next((one for one in _names(text, separator) if one in named), "") for text in lists],
        dtype=object,
    )
    return pd.Series(first[codes], index=categories.index, dtype="str")


def by_item_range(items: pd.Series, ranges: Mapping[str, tuple[int, int]]) -> pd.Series:
    """The domain whose range holds each item id.

    Args:
      items: str [rows], item ids.
      ranges: domain -> (first, last), both included, not overlapping.

    Returns:
      str [rows]; "" where the id is not a whole number or is in no range.
    """
    numbers, whole = whole_numbers(items)
    names = np.full(len(items), "", dtype=object)
    for domain, (first, last) in ranges.items():
        names[whole & (numbers >= first) & (numbers <= last)] = domain
    return pd.Series(names, index=items.index, dtype="str")


def _names(text: str, separator: str) -> list[str]:
    """The names in a list, without the quotes that RecBole's lists of texts have."""
    return [one.strip().strip("'\"") for one in text.split(separator)]
