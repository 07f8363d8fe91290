"""Tables as text: csv and tsv files with a header, whole or in pieces."""

import csv
import io
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO, NamedTuple

import pandas as pd
import pyarrow as pa
import pyarrow.csv

from data_pipelines.errors import DataError
from data_pipelines.logs import BadLines
from data_pipelines.readers.text_files import not_text, require_file


class CsvText(NamedTuple):
    """A csv file or a piece of one, which can be read again.

    Attributes:
      open: opens it from its start.
      at: says "FILE, line N" for a line number of it (1-based).
      name: the file, for messages.
      separator: between fields, one sign.
      header: its columns.
      header_rows: 1 if the header is the first row, 0 if it is not in this piece.
    """

    open: Callable[[], BinaryIO]
    at: Callable[[int], str]
    name: str
    separator: str
    header: list[str]
    header_rows: int


def read_columns(
    path: pathlib.Path,
    names: Callable[[list[str]], Sequence[str]],
    separator: str,
    bad_lines: BadLines,
) -> tuple[pd.DataFrame, Callable[[int], str]]:
    """Reads columns of a csv file with a header, as texts.

    Fields may be quoted by double quotes. Blank lines are passed over.

    Args:
      path: the file.
      names: gets the header and gives the names of the columns to read (or raises).
      separator: one sign.
      bad_lines: takes the lines with another number of fields than the header.

    Returns:
      The columns; and a function that says "FILE, line N" for a row (0-based) of them.

    Raises:
      DataError: the file is missing, empty or not UTF-8, or has too many bad lines.
    """
    require_file(path)
    file = CsvText(
        lambda: pa.input_stream(str(path)),
        lambda number: f"{path}, line {number}",
        str(path),
        separator,
        [],
        1,
    )
    file = file._replace(header=csv_header(file))
    rows, locate = csv_columns(file, list(names(file.header)), bad_lines)
    if rows.empty:
        raise no_rows(path)
    return rows, locate


def csv_header(text: CsvText) -> list[str]:
    """Returns the fields of the first row.

    Raises:
      DataError: there is none, or it cannot be read.
    """
    try:
        header = next(_csv_rows(text), (0, []))[1]
    except (csv.Error, OSError) as error:
        raise not_text(text.open, text.at, text.name, "utf-8", error) from error
    if not header:
        raise DataError(f"{text.name}: the file has no lines but blank ones.")
    return header


def no_rows(path: object) -> DataError:
    """The error for a file with nothing but a header."""
    return DataError(f"{path}: the file has a header and no good line after it.")


def csv_columns(
    text: CsvText, wanted: Sequence[str], bad_lines: BadLines
) -> tuple[pd.DataFrame, Callable[[int], str]]:
    """Reads some columns, as texts; see `read_columns`."""
    malformed = 0

    def skip(row: pa.csv.InvalidRow) -> str:
        nonlocal malformed
        malformed += 1
        return "skip"

    try:
        table = pa.csv.read_csv(
            text.open(),
            pa.csv.ReadOptions(
                block_size=1 << 24, column_names=None if text.header_rows else text.header
            ),
            pa.csv.ParseOptions(
                delimiter=text.separator, newlines_in_values=True, invalid_row_handler=skip
            ),
            pa.csv.ConvertOptions(
                include_columns=wanted,
                column_types=dict.fromkeys(wanted, pa.string()),
                strings_can_be_null=False,
            ),
        )
    except (pa.ArrowInvalid, OSError) as error:
        raise not_text(text.open, text.at, text.name, "utf-8", error) from error
    if malformed:
        bad_lines.add(malformed, lambda: wrong_width(text))
    return table.to_pandas(), row_locator(text)


def wrong_width(text: CsvText) -> str:
    """Describes the first line with another number of fields than the header."""
    width = len(text.header)
    number, row = next((n, row) for n, row in _csv_rows(text) if len(row) != width)
    return (
        f"{text.at(number)}: {len(row)} fields, the header has {width}; "
        "quote a field that holds the separator."
    )


def row_locator(text: CsvText) -> Callable[[int], str]:
    """Says "FILE, line N" for a row (0-based) of those with as many fields as the header."""

    def locate(row: int) -> str:
        # Only messages need it, so the file is read again, up to that row.
        good = (n for n, fields in _csv_rows(text) if len(fields) == len(text.header))
        return text.at(next(n for k, n in enumerate(good) if k == row + text.header_rows))

    return locate


def _csv_rows(text: CsvText) -> Iterator[tuple[int, list[str]]]:
    """Yields (number of the row's first line, its fields) for the rows that are not blank."""
    with text.open() as raw:
        lines = io.TextIOWrapper(io.BufferedReader(raw), "utf-8-sig", errors="replace", newline="")
        rows = csv.reader(lines, delimiter=text.separator)
        start = 1
        for row in rows:
            if row:
                yield start, row
            start = rows.line_num + 1
