"""Which domain an interaction belongs to, where the file does not say it in a column of its own."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd


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
    codes, lists = pd.factorize(categories)
    first = np.array(
        [
            next((one for one in map(str.strip, text.split(separator)) if one in named), "")
            for text in lists
        ],
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
    codes, unique = pd.factorize(items)
    numbers = pd.to_numeric(pd.Series(unique), errors="coerce").to_numpy(np.float64)
    names = np.full(len(unique), "", dtype=object)
    for domain, (first, last) in ranges.items():
        # NaN compares false: an id that is not a number is in no range.
        names[(numbers >= first) & (numbers <= last) & (numbers == np.floor(numbers))] = domain
    return pd.Series(names[codes], index=items.index, dtype="str")
