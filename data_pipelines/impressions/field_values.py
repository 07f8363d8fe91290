"""Vocabularies of categorical columns that hold any values: hashed texts, gaps, -1, booleans.

A value is its text. A missing one is the empty text, a value like any other. Id 0 is for values
that training rows have too few times, or not at all; ids 1..n are the others', by falling count of
training rows, ties by text.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from data_pipelines.errors import DataError

FILE = "field_values.parquet"


class GrowingVocabulary:
    """Numbers the values of one column as they come.

    Attributes:
      values: the texts, each once; the number of a value is its place.
    """

    def __init__(self) -> None:
        """Starts without a value."""
        self.values: list[str] = []
        self._numbers: dict[str, int] = {}

    def numbers(self, texts: np.ndarray) -> np.ndarray:
        """Returns the numbers of values, int32 [rows]; new values get the next ones."""
        places, distinct = pd.factorize(texts)
        own = np.empty(len(distinct), np.int32)
        for place, text in enumerate(distinct):
            number = self._numbers.get(text)
            if number is None:
                number = self._numbers[text] = len(self.values)
                self.values.append(text)
            own[place] = number
        return own[places]


class FieldValues(NamedTuple):
    """The vocabulary of one column.

    Attributes:
      texts: that of id i + 1 at i.
      counts: int64 [n], training rows that have each.
      ids: int32 [m], the id of each number of the `GrowingVocabulary` that it was made of.
    """

    texts: tuple[str, ...]
    counts: np.ndarray
    ids: np.ndarray


def frequent(growing: GrowingVocabulary, counts: np.ndarray, least: int) -> FieldValues:
    """Keeps the values that training rows have at least so many times.

    Args:
      growing: all values.
      counts: int64, training rows by number; zeros at the end may be missing.
      least: how many are enough, at least 1.
    """
    counts = np.pad(counts, (0, len(growing.values) - len(counts)))
    texts = np.array(growing.values, dtype=object)
    kept = np.flatnonzero(counts >= least)
    by_text = kept[np.argsort(texts[kept], kind="stable")]
    order = by_text[np.argsort(-counts[by_text], kind="stable")]
    ids = np.zeros(len(texts), np.int32)
    ids[order] = np.arange(1, len(order) + 1)
    return FieldValues(tuple(texts[order]), counts[order], ids)


def save(path: Path, columns: Sequence[str], fields: Sequence[FieldValues]) -> None:
    """Writes a parquet table with a row for each value, in the order of columns and ids."""
    pd.DataFrame(
        {
            "field": np.repeat(np.array(columns, object), [len(of.texts) for of in fields]),
            "value": [value for of in fields for value in of.texts],
            "count": np.concatenate([of.counts for of in fields]).astype(np.int64),
        }
    ).to_parquet(path, index=False)


def load(path: Path, columns: Sequence[str], sizes: Sequence[int]) -> tuple[tuple[str, ...], ...]:
    """Reads what `save` wrote: for each column, the values in the order of their ids.

    Args:
      path: the file.
      columns: names of the categorical columns.
      sizes: of each, the number of its ids, 0 included.

    Raises:
      DataError: the file is missing or damaged.
    """
    again = "convert the data again"
    try:
        table = pd.read_parquet(path)
        values = {name: of["value"] for name, of in table.groupby("field", sort=False)}
        found = tuple(tuple(map(str, values.get(name, ()))) for name in columns)
        if [len(of) + 1 for of in found] != list(sizes):
            raise ValueError("other numbers of values than the data set has")
    except FileNotFoundError as error:
        raise DataError(f"{path}: the file is missing; {again}.") from error
    except (OSError, KeyError, ValueError, TypeError, pa.ArrowException) as error:
        raise DataError(f"{path}: damaged ({error}); {again}.") from error
    return found
