"""Tables as JSON lines: an object a line, whose keys are the columns."""

import functools
import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from data_pipelines.errors import DataError, shown
from data_pipelines.logs import BadLines
from data_pipelines.readers.line_objects import BadLine, json_object
from data_pipelines.readers.line_stream import MAX_LINE_BYTES

# Objects whose keys are the header: a key may be left out of some.
_HEAD_LINES = 100
_ROWS_PER_BLOCK = 1 << 16


def json_header(lines: Iterable[tuple[int, bytes]], at: Callable[[int], str]) -> list[str]:
    """Returns the keys of the first objects, in the order in which they come.

    Raises:
      DataError: the first line is no object.
    """
    keys: dict[str, None] = {}
    for place, (number, line) in enumerate(lines):
        if place == _HEAD_LINES:
            break
        try:
            keys |= dict.fromkeys(json_object(line))
        except BadLine as error:
            if not keys:
                raise DataError(f"{at(number)}: {error}") from error
    return list(keys)


def json_columns(
    lines: Iterable[tuple[int, bytes]],
    wanted: Sequence[str],
    at: Callable[[int], str],
    bad_lines: BadLines,
    list_separator: str = "|",
) -> tuple[pd.DataFrame, np.ndarray]:
    """Reads the values of some keys as texts.

    Args:
      lines: (number, line) of those that are not blank.
      wanted: the keys; one that an object has not is a missing value.
      at: says "FILE, line N" for a line number.
      bad_lines: takes the lines that are no objects, or hold other values than texts, numbers and
        lists of texts.
      list_separator: what joins the texts of a list.

    Returns:
      str columns, and int64 [rows], the line of each row.
    """
    blocks: list[pa.RecordBatch] = []
    rows: list[list[str]] = []
    numbers: list[int] = []
    bad = 0
    for number, line in lines:
        try:
            if len(line) > MAX_LINE_BYTES:
                raise BadLine(f"longer than {MAX_LINE_BYTES:,} bytes.")
            record = json_object(line)
            rows.append([_text(record.get(key), key, list_separator) for key in wanted])
        except BadLine as error:
            bad += 1
            problem = f"{at(number)}: {error}"
            bad_lines.add(1, functools.partial(str, problem), len(numbers) + bad)
            continue
        numbers.append(number)
        if len(rows) == _ROWS_PER_BLOCK:
            blocks.append(_block(rows, wanted))
            rows = []
    blocks.append(_block(rows, wanted))
    return pa.Table.from_batches(blocks).to_pandas(), np.array(numbers, np.int64)


def _block(rows: list[list[str]], wanted: Sequence[str]) -> pa.RecordBatch:
    columns = list(zip(*rows, strict=True)) or [()] * len(wanted)
    arrays = [pa.array(column, pa.string()) for column in columns]
    return pa.RecordBatch.from_arrays(arrays, list(wanted))


def _text(value: Any, key: str, list_separator: str) -> str:
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise BadLine(f"{key} {shown(value)} is no text.") from error
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return list_separator.join(value)
    raise BadLine(f"{key} {shown(json.dumps(value))} is no text, number or list of texts.")
