"""The reviews of a category: who rated what, how, and when."""

import pathlib
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from data_pipelines.errors import shown
from data_pipelines.logs import BadLines
from data_pipelines.readers.line_objects import BadLine, good_lines, is_text, json_object

# 2100-01-01: a time after it was counted in other units.
_TIMES_END = 4_102_444_800
_ROWS_PER_BLOCK = 1 << 16
_TYPES = {
    "line": pa.int64(),
    "user_id": pa.large_string(),
    "item_id": pa.large_string(),
    "rating": pa.float64(),
    "timestamp": pa.int64(),
}


class _Keys(NamedTuple):
    """What an edition calls the parts of a review.

    Attributes:
      user: a text.
      item: a text.
      rating: a number from 1 to 5.
      time: a whole number.
      per_second: the unit of time.
    """

    user: str
    item: str
    rating: str
    time: str
    per_second: int


_EDITIONS = {
    "2014, 2018": _Keys("reviewerID", "asin", "overall", "unixReviewTime", 1),
    # Variants of a product, such as colours, have an asin each and one parent, which the metadata
    # describe.
    "2023": _Keys("user_id", "parent_asin", "rating", "timestamp", 1000),
}


def read_reviews(path: pathlib.Path, bad_lines: BadLines) -> tuple[pd.DataFrame, np.ndarray]:
    """Reads a file of reviews of any edition; the keys of its first object tell which.

    Args:
      path: the file.
      bad_lines: takes the lines that are no review of that edition.

    Returns:
      user_id, item_id: str, rating: float64, timestamp: int64 [rows], in seconds; and int64 [rows],
      their line numbers.

    Raises:
      DataError: the file cannot be read, or more lines are bad than may be skipped.
    """
    keys: _Keys | None = None

    def parse(line: bytes) -> tuple[str, str, float, int]:
        nonlocal keys
        record = json_object(line)
        keys = keys or _keys(record)
        return _review(record, keys)

    blocks: list[pa.RecordBatch] = []
    rows: list[tuple[Any, ...]] = []
    for number, review in good_lines(path, parse, bad_lines):
        rows.append((number, *review))
        if len(rows) == _ROWS_PER_BLOCK:
            blocks.append(_block(rows))
            rows.clear()
    blocks.append(_block(rows))
    table = pa.Table.from_batches(blocks)
    blocks.clear()
    numbers = table["line"].to_numpy()
    return table.drop_columns("line").to_pandas(), numbers


def _keys(record: dict[str, Any]) -> _Keys:
    for keys in _EDITIONS.values():
        if keys.user in record:
            return keys
    expected = " or ".join(
        f"{', '.join(keys[:-1])} ({editions})" for editions, keys in _EDITIONS.items()
    )
    raise BadLine(f"no review, which has {expected}; the keys are {shown(list(record))}.")


def _review(record: dict[str, Any], keys: _Keys) -> tuple[str, str, float, int]:
    """Returns user, item, rating and time in seconds."""
    try:
        user, item = record[keys.user], record[keys.item]
        rating, time = record[keys.rating], record[keys.time]
    except KeyError as missing:
        raise BadLine(f"no key {missing}; the keys are {shown(list(record))}.") from missing
    if not is_text(user):
        raise BadLine(f"{keys.user} {shown(user)} is not an id, which is a text.")
    if not is_text(item):
        raise BadLine(f"{keys.item} {shown(item)} is not an id, which is a text.")
    if type(rating) not in (int, float) or not 1 <= rating <= 5:  # True is an int, too.
        raise BadLine(f"{keys.rating} {shown(rating)} is not a rating from 1 to 5.")
    if type(time) is not int or not 0 <= time < _TIMES_END * keys.per_second:
        unit = "milliseconds" if keys.per_second == 1000 else "seconds"
        raise BadLine(
            f"{keys.time} {shown(time)} is not a time in whole {unit}, from 1970 to 2099."
        )
    return user, item, rating, time // keys.per_second


def _block(rows: list[tuple[Any, ...]]) -> pa.RecordBatch:
    """Packs rows into arrays, which take a small part of the room."""
    columns = list(zip(*rows, strict=True)) or [()] * len(_TYPES)
    arrays = [pa.array(column, kind) for column, kind in zip(columns, _TYPES.values(), strict=True)]
    return pa.RecordBatch.from_arrays(arrays, list(_TYPES))
