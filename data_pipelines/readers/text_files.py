"""Text files as Arrow columns, without a Python loop over lines, and with exact line numbers."""

import pathlib
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from data_pipelines.errors import DataError
from data_pipelines.logs import BadLines
from data_pipelines.readers.input_streams import open_text

# A control sign that no log holds: with it as separator, a line is one field.
_NO_SEPARATOR = "\x1f"


class Lines(NamedTuple):
    """The lines of a file that are not blank.

    Attributes:
      texts: large_string [lines], without line breaks.
      numbers: int64 [lines], 1-based line numbers in the file.
    """

    texts: pa.Array
    numbers: np.ndarray

    def keep(self, mask: np.ndarray) -> "Lines":
        """The lines where the bool array [lines] is true."""
        return Lines(self.texts.filter(pa.array(mask)), self.numbers[mask])


class Fields(NamedTuple):
    """Lines cut into fields.

    Attributes:
      tokens: large_string [tokens], line after line, without blanks at their ends.
      lengths: int64 [lines], number of fields of each line.
    """

    tokens: pa.Array
    lengths: np.ndarray

    def line_of_token(self) -> np.ndarray:
        """int64 [tokens]: the position of the line that each token stands in."""
        return np.repeat(np.arange(len(self.lengths)), self.lengths)

    def position_in_line(self) -> np.ndarray:
        """int64 [tokens]: 0 for the first token of its line."""
        starts = np.cumsum(self.lengths) - self.lengths
        return np.arange(len(self.tokens)) - np.repeat(starts, self.lengths)


def require_file(path: pathlib.Path) -> None:
    """Raises a DataError unless the path is a file with something in it."""
    try:
        missing = not path.exists()
    except OSError as error:  # A name that is too long, above all.
        raise DataError(f"{path}: cannot be read ({error.strerror}); check --input.") from error
    if missing and re.match("[a-z0-9]+:/", str(path)):
        raise DataError(
            f"{path}: URLs are not read; fetch the file, or use --reader=csv --engine=beam, which "
            "opens what Apache Beam knows, such as gs://."
        )
    if missing:
        raise DataError(f"{path}: no such file; check --input.")
    if not path.is_file():
        raise DataError(f"{path}: this is a folder, --input must name a file.")
    if path.stat().st_size == 0:
        raise DataError(f"{path}: the file is empty.")


def read_lines(path: pathlib.Path, encoding: str = "") -> Lines:
    """Reads a text file, plain or packed.

    Raises:
      DataError: the file is missing, empty, blank, damaged, or not text in this encoding.
    """
    require_file(path)
    try:
        with open_text(path, encoding) as file:
            table = pa.csv.read_csv(
                file,
                pa.csv.ReadOptions(column_names=["line"], block_size=1 << 26),
                pa.csv.ParseOptions(
                    delimiter=_NO_SEPARATOR, quote_char=False, ignore_empty_lines=False
                ),
                pa.csv.ConvertOptions(
                    column_types={"line": pa.large_string()}, strings_can_be_null=False
                ),
            )
    except (pa.ArrowInvalid, OSError) as error:
        raise unreadable(path, error) from error
    texts = table["line"].combine_chunks()
    filled = pc.greater(pc.binary_length(pc.utf8_trim_whitespace(texts)), 0)
    filled = filled.to_numpy(zero_copy_only=False)
    lines = Lines(texts, np.arange(1, len(texts) + 1))
    if not filled.all():
        lines = lines.keep(filled)
    if not len(lines.numbers):
        raise DataError(f"{path}: the file has no lines but blank ones.")
    return lines


def split_lines(texts: pa.Array, separator: str = "") -> Fields:
    """Cuts lines at a separator, or at blanks and tabs if it is empty."""
    # Slices of a list array keep the parent's values: flatten() and not .values.
    if separator:
        lists = pc.split_pattern(texts, separator)
        values = pc.utf8_trim_whitespace(lists.flatten())
    else:
        lists = pc.ascii_split_whitespace(pc.ascii_trim_whitespace(texts))
        values = lists.flatten()
    lengths = pc.list_value_length(lists).to_numpy(zero_copy_only=False).astype(np.int64)
    return Fields(values, lengths)


def split_columns(
    path: pathlib.Path, lines: Lines, widths: Sequence[int], separator: str, bad_lines: BadLines
) -> tuple[list[pa.Array], np.ndarray]:
    """Cuts lines that all have the same number of fields into columns.

    Args:
      path: the file, for messages.
      lines: its lines.
      widths: numbers of fields that the format allows; the file's first line decides which.
      separator: between fields; empty for blanks and tabs.
      bad_lines: takes the lines with another number of fields.

    Returns:
      One string array [rows] for each column; and int64 [rows], the line number of each row.
    """
    fields = split_lines(lines.texts, separator)
    first_width = int(fields.lengths[0]) if len(fields.lengths) else 0
    width = first_width if first_width in widths else widths[0]
    good = fields.lengths == width
    if not good.all():
        first = int(np.argmin(good))
        bad_lines.add(
            int((~good).sum()),
            lambda: (
                f"{path}, line {lines.numbers[first]}: {fields.lengths[first]} fields, "
                f"expected {width}."
            ),
        )
        tokens = fields.tokens.filter(pa.array(np.repeat(good, fields.lengths)))
    else:
        tokens = fields.tokens
    starts = np.arange(int(good.sum())) * width
    return [tokens.take(pa.array(starts + k)) for k in range(width)], lines.numbers[good]


def unreadable(name: object, error: Exception) -> DataError:
    """The error for a file that cannot be read, with the reason on one line."""
    return DataError(f"{name}: cannot be read: {' '.join(str(error).split())}")
