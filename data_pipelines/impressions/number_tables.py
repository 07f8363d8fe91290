"""Tables of numbers, csv text or parquet, read block by block and checked cell by cell.

A block is parsed as numbers at once. Only if that fails are it and what follows read as texts, so
that the bad lines can be told, and skipped as far as the user allows.
"""

import lzma
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from data_pipelines.errors import shown
from data_pipelines.impressions.log import MAX_CATEGORY
from data_pipelines.logs import BadLines
from data_pipelines.readers.csv_text import CsvText, row_locator, wrong_width
from data_pipelines.readers.text_files import unreadable

_CSV_BLOCK = 1 << 23
_PARQUET_ROWS = 1 << 15
_MOST = np.iinfo(np.int64).max
_DIGITS = re.compile(r"-?[0-9]{1,19}", re.ASCII)
_WHOLE = "is not a whole number."
_FINITE = "is not a finite number."


class Whole(NamedTuple):
    """What a column of whole numbers may hold.

    Attributes:
      least, most: the ends of its range, both included.
      remedy: what to say about a value outside, following it.
      not_whole: what to say about one that is not a whole number.
      below: what to say about one below the range; empty for the remedy.
    """

    least: int
    most: int
    remedy: str
    not_whole: str = _WHOLE
    below: str = ""


def category(size: int) -> Whole:
    """What a categorical column with `size` values may hold; 0 for any number of them."""
    most = size - 1 if size else MAX_CATEGORY
    return Whole(0, most, f"is not in 0..{most}; check --impression_read.field_sizes.")


class NumberColumns(NamedTuple):
    """The columns to read.

    Attributes:
      whole: name -> range of the columns of whole numbers.
      real: names of the columns of finite numbers.
      texts: names of the columns of texts; a missing one is empty.
      fill: what a missing value of a column of finite numbers is, and counted; None if it is a bad
        one.
      missing: what to say about a missing one, if it is.
    """

    whole: Mapping[str, Whole]
    real: Sequence[str]
    texts: Sequence[str] = ()
    fill: float | None = None
    missing: str = _FINITE

    @property
    def names(self) -> list[str]:
        """All of them."""
        return [*self.whole, *self.real, *self.texts]


class Numbers(NamedTuple):
    """The good rows of a block.

    Attributes:
      whole: int64 [rows, columns].
      real: float32 [rows, columns].
      texts: str [rows] by column.
      locate: says "FILE, line N" for one of the rows.
      missing: number of values of `real` that the block lacked, before rows were left out.
    """

    whole: np.ndarray
    real: np.ndarray
    texts: Mapping[str, np.ndarray]
    locate: Callable[[int], str]
    missing: int = 0

    def without(self, bad: np.ndarray) -> "Numbers":
        """Leaves out the rows where the bool array [rows] is true."""
        if not bad.any():
            return self
        kept = np.flatnonzero(~bad)
        texts = {name: values[kept] for name, values in self.texts.items()}
        return Numbers(
            self.whole[kept],
            self.real[kept],
            texts,
            lambda row: self.locate(int(kept[row])),
            self.missing,
        )


def csv_numbers(text: CsvText, columns: NumberColumns, bad_lines: BadLines) -> Iterator[Numbers]:
    """Reads columns of a csv file.

    Args:
      text: the file; blank lines are passed over.
      columns: of its header.
      bad_lines: takes lines with another number of fields than the header, and bad values.

    Raises:
      DataError: the file cannot be read, or has too many bad lines.
    """
    types = {
        **dict.fromkeys(columns.whole, pa.int64()),
        **dict.fromkeys(columns.real, pa.float32()),
        **dict.fromkeys(columns.texts, pa.string()),
    }
    locate = row_locator(text)
    done = 0
    try:
        for batch in _csv_batches(text, types):
            yield _checked(batch, columns, _shifted(locate, done), bad_lines)
            done += batch.num_rows
        return
    except pa.ArrowInvalid:
        pass  # The second reading says what is wrong, and where.
    malformed = 0

    def skip(row: pa.csv.InvalidRow) -> str:
        nonlocal malformed
        malformed += 1
        return "skip"

    first = 0
    try:
        for batch in _csv_batches(text, dict.fromkeys(columns.names, pa.string()), skip):
            start, first = first, first + batch.num_rows
            if first > done:
                batch = batch.slice(max(0, done - start))
                yield _checked(batch, columns, _shifted(locate, max(done, start)), bad_lines)
    except pa.ArrowInvalid as error:
        raise unreadable(text.name, error) from error
    if malformed:  # Told last, for Arrow meets them ahead of the blocks that it gives.
        bad_lines.add(malformed, lambda: wrong_width(text))


def parquet_numbers(path: Path, columns: NumberColumns, bad_lines: BadLines) -> Iterator[Numbers]:
    """Reads columns of a parquet file; see `csv_numbers`."""
    done = 0
    try:
        with pa.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(_PARQUET_ROWS, columns=columns.names):
                yield _checked(
                    batch, columns, _shifted(lambda row: f"{path}, row {row + 1}", done), bad_lines
                )
                done += batch.num_rows
    except (pa.ArrowException, OSError) as error:
        raise unreadable(path, error) from error


def _shifted(locate: Callable[[int], str], start: int) -> Callable[[int], str]:
    return lambda row: locate(start + row)


def _csv_batches(
    text: CsvText,
    types: Mapping[str, pa.DataType],
    skip: Callable[[pa.csv.InvalidRow], str] | None = None,
) -> Iterator[pa.RecordBatch]:
    try:
        with (
            text.open() as raw,
            pa.csv.open_csv(
                raw,
                pa.csv.ReadOptions(
                    block_size=_CSV_BLOCK, column_names=None if text.header_rows else text.header
                ),
                pa.csv.ParseOptions(
                    delimiter=text.separator,
                    quote_char='"' if text.quoted else False,
                    invalid_row_handler=skip,
                ),
                pa.csv.ConvertOptions(
                    include_columns=list(types),
                    column_types=types,
                    null_values=[],
                    strings_can_be_null=False,
                ),
            ) as batches,
        ):
            yield from batches
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error, lzma.LZMAError) as error:
        raise unreadable(text.name, error) from error


def _checked(
    batch: pa.RecordBatch,
    columns: NumberColumns,
    locate: Callable[[int], str],
    bad_lines: BadLines,
) -> Numbers:
    """Gives a block its types and takes the rows with a bad value out of it."""
    rows = batch.num_rows
    whole = np.empty((rows, len(columns.whole)), np.int64)
    real = np.empty((rows, len(columns.real)), np.float32)
    wrong = np.zeros((rows, len(columns.whole) + len(columns.real)), bool)
    for place, name in enumerate(columns.whole):
        limit = columns.whole[name]
        column = _zero_and_one(batch[name]) if (limit.least, limit.most) == (0, 1) else batch[name]
        whole[:, place], wrong[:, place] = _whole(column)
    unparsed = wrong[:, : len(columns.whole)].copy()
    missing = 0
    ranges = columns.whole.values()
    wrong[:, : len(ranges)] |= whole < np.array([limit.least for limit in ranges], np.int64)
    wrong[:, : len(ranges)] |= whole > np.array([limit.most for limit in ranges], np.int64)
    for place, name in enumerate(columns.real):
        column = batch[name]
        if columns.fill is not None:
            column, gaps = _filled(column, columns.fill)
            missing += gaps
        real[:, place] = _real(_zero_and_one(column))
    wrong[:, len(ranges) :] = ~np.isfinite(real)
    bad = np.any(wrong, axis=1)
    texts = {name: _texts(batch[name]) for name in columns.texts}
    found = Numbers(whole, real, texts, locate, missing)

    def describe() -> str:
        row = int(np.argmax(bad))
        place = int(np.argmax(wrong[row]))
        name = columns.names[place]
        if place >= len(ranges):
            remedy = columns.missing if _is_missing(batch[name][row]) else _FINITE
        else:
            limit = columns.whole[name]
            remedy = limit.not_whole if unparsed[row, place] else limit.remedy
            if not unparsed[row, place] and whole[row, place] < limit.least:
                remedy = limit.below or remedy
        return f"{locate(row)}: column {name}: {_value(batch[name][row])} {remedy}"

    if bad.any():
        bad_lines.add(int(bad.sum()), describe)
    return found.without(bad)


def _texts(column: pa.Array) -> np.ndarray:
    """Str [rows]: whole floats, as gaps make of whole numbers, without their point.

    Truth values are those that pandas writes as text, True and False.
    """
    if pa.types.is_boolean(column.type):
        column = pc.if_else(column, "True", "False")
    if pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
    return pc.fill_null(column.cast(pa.string()), "").to_numpy(zero_copy_only=False)


def _value(cell: pa.Scalar) -> str:
    """A cell as messages show it."""
    try:
        return shown(cell.as_py())
    except (OverflowError, ValueError):  # A time that Python does not have.
        return f"of type {cell.type}"


def _is_missing(cell: pa.Scalar) -> bool:
    return not cell.is_valid or (pa.types.is_string(cell.type) and not cell.as_py())


def _whole(column: pa.Array) -> tuple[np.ndarray, np.ndarray | bool]:
    """int64 [rows], and where a value is not a whole number."""
    numbers = _cast(column, pa.int64())
    if numbers is not None:
        return numbers, False
    floats = _parsed(column)
    with np.errstate(invalid="ignore"):
        bad = ~((np.floor(floats) == floats) & (np.abs(floats) < 2.0**53))
    values = np.where(bad, 0.0, floats).astype(np.int64)
    if pa.types.is_string(column.type):  # Beyond 2^53 floats are no whole numbers any more.
        for row in np.flatnonzero(bad):
            text = column[row].as_py()
            if text is not None and _DIGITS.fullmatch(text) and abs(int(text)) <= _MOST:
                values[row], bad[row] = int(text), False
    return values, bad


def _zero_and_one(column: pa.Array) -> pa.Array:
    """A column with 0 and 1 where it says false and true."""
    if not pa.types.is_string(column.type):
        return column
    lowered = pc.utf8_lower(column)
    column = pc.if_else(pc.equal(lowered, "true"), "1", column)
    return pc.if_else(pc.equal(lowered, "false"), "0", column)


def _filled(column: pa.Array, value: float) -> tuple[pa.Array, int]:
    """A column with a value for what is missing: nulls, NaN and empty texts; and their number."""
    missing = pc.is_null(column, nan_is_null=True)
    texts = pa.types.is_string(column.type)
    if texts:
        missing = pc.or_(missing, pc.fill_null(pc.equal(column, ""), False))
    count = pc.sum(missing).as_py() or 0
    if count:
        filling = pa.scalar(repr(value)) if texts else pa.scalar(value)
        column = pc.if_else(missing, filling, column if texts else column.cast(pa.float64()))
    return column, count


def _real(column: pa.Array) -> np.ndarray:
    """float32 [rows], not finite where a value is not a number or too great."""
    numbers = _cast(column, pa.float32())
    if numbers is not None:
        return numbers
    with np.errstate(over="ignore"):
        return _parsed(column).astype(np.float32)


def _cast(column: pa.Array, kind: pa.DataType) -> np.ndarray | None:
    """All values as numbers, or None if Arrow refuses one of them."""
    if column.null_count:
        return None
    if column.type != kind:
        try:
            # Rounding a parquet file's float64 is meant; a whole number must stay as it is.
            column = pc.cast(column, kind, safe=kind == pa.int64())
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            return None
    return column.to_numpy(zero_copy_only=False)


def _parsed(column: pa.Array) -> np.ndarray:
    """float64 [rows], NaN where a value is not a number."""
    numbers = pd.to_numeric(column.to_pandas(), errors="coerce")
    return numbers.to_numpy(np.float64, na_value=np.nan)
