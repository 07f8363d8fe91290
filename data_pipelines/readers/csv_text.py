"""Tables as text: csv and tsv files with or without a header, whole or in pieces."""

import csv
import io
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import pandas as pd
import pyarrow as pa
import pyarrow.csv

from data_pipelines.errors import DataError
from data_pipelines.logs import BadLines
from data_pipelines.readers.input_streams import line_namer, open_text
from data_pipelines.readers.text_files import require_file, unreadable

# Python's own limit on a field would end the search for a bad line at a long one.
csv.field_size_limit(2**31 - 1)


class CsvText(NamedTuple):
    """A csv file or a piece of one, which can be read again.

    Attributes:
      open: opens it from its start, as UTF-8.
      at: says "FILE, line N" for a line number of it (1-based).
      name: the file, for messages.
      separator: between fields, one sign.
      header: its columns.
      header_rows: 1 if the header is the first row, 0 if it is not in this piece.
      quoted: whether double quotes around a field hide separators and line ends in it.
    """

    open: Callable[[], io.BufferedIOBase]
    at: Callable[[int], str]
    name: str
    separator: str
    header: list[str]
    header_rows: int
    quoted: bool = True


class CsvColumns(NamedTuple):
    """Columns that were read.

    Attributes:
      rows: texts, under the names in the file.
      locate: says "FILE, line N" for a row (0-based) of them.
      spread: number of rows that run over several lines, in quotes.
      first_spread: "FILE, line N" of the first of them, or "".
    """

    rows: pd.DataFrame
    locate: Callable[[int], str]
    spread: int = 0
    first_spread: str = ""


def read_columns(
    path: pathlib.Path,
    names: Callable[[list[str]], Sequence[str]],
    separator: str,
    bad_lines: BadLines,
    quoted: bool = True,
) -> tuple[pd.DataFrame, Callable[[int], str]]:
    """Reads columns of a csv file with a header, as texts.

    Blank lines are passed over.

    Args:
      path: the file, plain or packed.
      names: gets the header and gives the names of the columns to read (or raises).
      separator: one sign.
      bad_lines: takes the lines with another number of fields than the header.
      quoted: whether fields may be quoted by double quotes.

    Returns:
      The columns; and a function that says "FILE, line N" for a row (0-based) of them.

    Raises:
      DataError: the file is missing, empty or not UTF-8, or has too many bad lines.
    """
    require_file(path)
    file = csv_file(path, separator, quoted)
    file = file._replace(header=csv_header(file))
    found = csv_columns(file, list(names(file.header)), bad_lines)
    if found.rows.empty:
        raise no_rows(path)
    return found.rows, found.locate


def exactly(
    path: pathlib.Path, wanted: Sequence[str], header_is: str
) -> Callable[[list[str]], Sequence[str]]:
    """Gives `read_columns` the names of columns, each of which must be there once.

    Args:
      path: the file, for messages.
      wanted: the names.
      header_is: how a message begins to say what the header has instead.
    """

    def names(header: list[str]) -> Sequence[str]:
        for name in wanted:
            if header.count(name) != 1:
                raise DataError(
                    f"{path}, line 1: column {name!r} is missing or comes twice; {header_is} "
                    f"{', '.join(header)}."
                )
        return wanted

    return names


def csv_file(path: pathlib.Path, separator: str, quoted: bool, encoding: str = "") -> CsvText:
    """A whole file with a header that is still to be read."""
    return CsvText(
        lambda: open_text(path, encoding), line_namer(path), str(path), separator, [], 1, quoted
    )


def csv_header(text: CsvText) -> list[str]:
    """Returns the fields of the first row.

    Raises:
      DataError: there is none, or it cannot be read.
    """
    try:
        header = next(_csv_rows(text), (0, 0, []))[2]
    except (csv.Error, OSError) as error:
        raise unreadable(text.name, error) from error
    if not header:
        raise DataError(f"{text.name}: the file has no lines but blank ones.")
    return header


def no_rows(path: object) -> DataError:
    """The error for a file with nothing but a header."""
    return DataError(f"{path}: the file has a header and no good line after it.")


def csv_columns(text: CsvText, wanted: Sequence[str], bad_lines: BadLines) -> CsvColumns:
    """Reads some columns, as texts; see `read_columns`."""
    malformed = 0

    def skip(row: pa.csv.InvalidRow) -> str:
        nonlocal malformed
        malformed += 1
        return "skip"

    try:
        with text.open() as file:
            table = pa.csv.read_csv(
                file,
                pa.csv.ReadOptions(
                    block_size=1 << 24, column_names=None if text.header_rows else text.header
                ),
                pa.csv.ParseOptions(
                    delimiter=text.separator,
                    quote_char='"' if text.quoted else False,
                    newlines_in_values=text.quoted,
                    invalid_row_handler=skip,
                ),
                pa.csv.ConvertOptions(
                    include_columns=wanted,
                    column_types=dict.fromkeys(wanted, pa.string()),
                    strings_can_be_null=False,
                ),
            )
            lines = getattr(getattr(file, "raw", None), "lines", 0)
    except (pa.ArrowInvalid, OSError) as error:
        raise unreadable(text.name, error) from error
    if malformed:
        bad_lines.add(malformed, lambda: wrong_width(text))
    spread, first = 0, ""
    if text.quoted and lines > table.num_rows + malformed + text.header_rows:
        # Blank lines, or fields with line ends in them.
        over = [number for number, last, _ in _csv_rows(text) if last > number]
        spread, first = len(over), text.at(over[0]) if over else ""
    return CsvColumns(table.to_pandas(), row_locator(text), spread, first)


def wrong_width(text: CsvText) -> str:
    """Describes the first line with another number of fields than the header."""
    width = len(text.header)
    wrong = ((n, row) for n, _, row in _csv_rows(text) if len(row) != width)
    number, row = next(wrong, (0, []))
    if not number:  # Where Python and Arrow differ about quotes.
        return f"{text.name}: a row has not as many fields as the header, {width}."
    remedy = "quote a field that holds the separator" if text.quoted else "check the separator"
    return f"{text.at(number)}: {len(row)} fields, the header has {width}; {remedy}."


def row_locator(text: CsvText) -> Callable[[int], str]:
    """Says "FILE, line N" for a row (0-based) of those with as many fields as the header."""

    def locate(row: int) -> str:
        # Only messages need it, so the file is read again, up to that row.
        good = (n for n, _, fields in _csv_rows(text) if len(fields) == len(text.header))
        found = (n for k, n in enumerate(good) if k == row + text.header_rows)
        number = next(found, 0)
        return text.at(number) if number else text.name

    return locate


def _csv_rows(text: CsvText) -> Iterator[tuple[int, int, list[str]]]:
    """Yields (first line, last line, fields) for the rows that are not blank."""
    with text.open() as raw:
        lines = io.TextIOWrapper(io.BufferedReader(raw), "utf-8-sig", errors="replace", newline="")
        rows = csv.reader(
            lines,
            delimiter=text.separator,
            quoting=csv.QUOTE_MINIMAL if text.quoted else csv.QUOTE_NONE,
        )
        start = 1
        for row in rows:
            if row:
                yield start, rows.line_num, row
            start = rows.line_num + 1
