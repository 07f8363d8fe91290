"""Input files in pieces that workers read on their own.

Text is cut at line ends every `_PIECE_BYTES`, so that a quoted field must not hold a line break; a
text that is packed or not in UTF-8 is one piece, whose reader hands its rows on block by block. A
piece of a parquet file is a row group.
"""

import codecs
import io
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
from apache_beam.io.filesystem import BeamIOError
from apache_beam.io.filesystems import FileSystems

from data_pipelines.errors import DataError
from data_pipelines.logs import BadLines
from data_pipelines.readers.assembly import LogAssembly
from data_pipelines.readers.cells import table_cells
from data_pipelines.readers.csv_text import CsvText, csv_columns
from data_pipelines.readers.input_streams import TextStream, is_packed, is_utf8, line_namer
from data_pipelines.readers.json_lines import json_columns, json_header
from data_pipelines.readers.parquet_tables import not_parquet
from data_pipelines.readers.table_formats import TableFormat
from data_pipelines.readers.text_files import require_file, unreadable

_PIECE_BYTES = 8 << 20
# A row's place in the whole input: its file's number, and what rises within the file below.
_FILE_STEP = 1 << 44
# Stands around a line number that counts from the beginning of a piece of text.
LINE_MARK = "\x00"


class Source(NamedTuple):
    """An input file and what its beginning tells.

    Attributes:
      table: how its rows become rows of the log.
      number: the file's place in --input.
      header: its columns.
      chosen: the file's name of each column to read -> the canonical name.
      header_lines: text: number of lines up to the end of the header.
      size: number of bytes.
      separator: text: between fields.
      quoted: text: whether fields may be quoted.
      streamed: whether the text is read as a whole, from its beginning.
    """

    table: TableFormat
    number: int
    header: tuple[str, ...]
    chosen: dict[str, str]
    header_lines: int
    size: int
    separator: str = ""
    quoted: bool = False
    streamed: bool = False

    @property
    def wanted(self) -> list[str]:
        """The columns to read of the file itself."""
        return [name for name in self.chosen if name not in self.table.constants]


class Piece(NamedTuple):
    """What one worker reads.

    Attributes:
      source: the number of its file.
      start: text: the first byte; parquet: the number of its first row.
      stop: text: the byte after the last one of the piece, -1 for the end of the file; the lines
        that begin in the piece belong to it. parquet: the row group.
    """

    source: int
    start: int
    stop: int


class Block(NamedTuple):
    """Rows that were read, and what happened on the way.

    Attributes:
      rows: the good ones, typed; their index is their place in the whole input.
      facts: what the launching machine must know, in values that JSON can hold: `place` of the
        first row; numbers of `lines`, of `rows` with the right number of fields, of `good` and
        `bad` ones; `problem`, the first bad line, or ""; `fatal`, why the piece cannot be read,
        or ""; `left_out`; `remarks`; `domains`, names in the order of rows; `spans`, the first and
        last time of each; `digits`, decimal digits of a second that the times have; `unrated`,
        rows without a rating.
    """

    rows: pd.DataFrame
    facts: dict[str, Any]


class _FirstBadLine(BadLines):
    """Counts bad lines and remembers the first description instead of raising."""

    def __init__(self) -> None:
        super().__init__("", 0)
        self.first = ""

    def add(self, count: int, first: Callable[[], str], lines: int = 0) -> None:
        del lines
        self.count += count
        self.first = self.first or first()


def open_source(table: TableFormat, number: int) -> tuple[Source, list[Piece]]:
    """Looks at the beginning of a file and cuts it into pieces.

    Raises:
      DataError: the file is missing or empty, or lacks a column.
    """
    size = _size(table)
    try:
        if table.kind == "parquet":
            return _open_parquet(table, number, size)
        return _open_text(table, number, size)
    except pa.ArrowException as error:
        raise not_parquet(table.entry.location, error) from error
    except OSError as error:
        raise unreadable(table.entry.location, error) from error


def _size(table: TableFormat) -> int:
    location = table.entry.location
    if "://" not in location:
        require_file(table.entry.path)
        return table.entry.path.stat().st_size
    try:
        found = FileSystems.match([location])[0].metadata_list
    except (BeamIOError, ValueError) as error:
        raise DataError(f"{location}: cannot be read: {' '.join(str(error).split())}") from error
    if len(found) != 1:
        raise DataError(f"{location}: no such file; check --input.")
    return found[0].size_in_bytes


def _open_parquet(table: TableFormat, number: int, size: int) -> tuple[Source, list[Piece]]:
    with table.raw() as file, pa.parquet.ParquetFile(file) as parquet:
        metadata = parquet.metadata
        header = tuple(parquet.schema_arrow.names)
    if not metadata.num_rows:
        raise DataError(f"{table.entry.location}: the file has no rows.")
    groups = [metadata.row_group(k).num_rows for k in range(metadata.num_row_groups)]
    starts = np.cumsum([0, *groups[:-1]]).tolist()
    pieces = [Piece(number, start, k) for k, start in enumerate(starts)]
    return Source(table, number, header, table.columns(list(header)), 0, size), pieces


def _open_text(table: TableFormat, number: int, size: int) -> tuple[Source, list[Piece]]:
    location, at = table.entry.location, line_namer(table.entry.location)
    with table.raw() as raw:
        streamed = is_packed(raw) or not is_utf8(raw, table.options.encoding)
    if table.kind == "json":
        with table.open_lines() as file:
            header = json_header(_numbered(file, at_start=True), at)
        if not header:
            raise DataError(f"{location}: the file has no lines but blank ones.")
        source = Source(table, number, tuple(header), table.columns(header), 0, size)
        return source._replace(streamed=streamed), _text_pieces(source, streamed, 0)
    lines: list[bytes] = []
    with table.open_text() if streamed else table.raw() as file:
        while not lines or not lines[-1].strip(b" \t\r\n\xef\xbb\xbf"):
            lines.append(file.readline())
            if not lines[-1]:
                break
    text = table.layout(lambda: _checked(b"".join(lines), at), at)
    source = Source(
        table,
        number,
        tuple(text.header),
        table.columns(text.header),
        len(lines) if text.header_rows else 0,
        size,
        text.separator,
        text.quoted,
        streamed,
    )
    return source, _text_pieces(source, streamed, sum(map(len, lines)) if text.header_rows else 0)


def _text_pieces(source: Source, streamed: bool, start: int) -> list[Piece]:
    number, size = source.number, source.size
    if streamed:
        return [Piece(number, start, -1)]
    starts = range(start, max(size, start + 1), _PIECE_BYTES)
    return [Piece(number, at, min(at + _PIECE_BYTES, max(size, at))) for at in starts]


def _numbered(file: io.BufferedIOBase, at_start: bool) -> Iterator[tuple[int, bytes]]:
    """Numbers lines that are not blank; a file may start with a mark that is no part of one."""
    for number, line in enumerate(file, 1):
        if at_start and number == 1:
            line = line.removeprefix(codecs.BOM_UTF8)
        if line.strip():
            yield number, line


def _checked(text: bytes, at: Callable[[int], str]) -> io.BufferedIOBase:
    return io.BufferedReader(TextStream(io.BytesIO(text), at))


def read_piece(piece: Piece, source: Source, domains: Sequence[str]) -> Iterator[Block]:
    """Reads a piece on a worker; what is wrong with the input is said in the facts.

    Args:
      piece: what to read.
      source: its file.
      domains: names that rows may have; none if those in the column count.
    """
    location = source.table.entry.location
    base = source.number * _FILE_STEP
    start = piece.start
    try:
        if source.table.kind == "parquet":
            rows = _row_group(source, piece.stop)

            def locate(row: int) -> str:
                return f"{location}, row {piece.start + row + 1}"

            yield _block(rows, locate, source, domains, base + start, 0, _FirstBadLine())
            return
        for start, text in _texts(source, piece):
            yield _text_block(text, source, domains, base + start)
    except DataError as error:
        yield _no_rows(base + start, fatal=str(error))
    except pa.ArrowException as error:
        yield _no_rows(base + start, fatal=str(not_parquet(location, error)))
    except OSError as error:
        yield _no_rows(base + start, fatal=str(unreadable(location, error)))


def _row_group(source: Source, group: int) -> pd.DataFrame:
    table = source.table
    with table.raw() as file, pa.parquet.ParquetFile(file) as parquet:
        cells = parquet.read_row_group(group, columns=source.wanted)
    return table_cells(cells, table.entry.location, table.options.category_separator)


def _texts(source: Source, piece: Piece) -> Iterator[tuple[int, bytes]]:
    """Yields (place of its first byte, lines) of a piece of text."""
    if source.streamed:
        json = source.table.kind == "json"
        with source.table.open_lines() if json else source.table.open_text() as file:
            yield from _streamed(file, piece.start)
        return
    with source.table.raw() as file:
        # A line belongs to the piece in which it begins: just after a line end.
        start = 0
        if piece.start:
            file.seek(piece.start - 1)
            skipped = file.readline()
            start = piece.start - 1 + len(skipped)
        if start >= piece.stop:
            return
        # The last line begins before the stop, that is its predecessor ends before it.
        text = file.read(piece.stop - start)
        if not text.endswith(b"\n"):
            text += file.readline()
        yield start, text


def _streamed(file: io.BufferedIOBase, start: int) -> Iterator[tuple[int, bytes]]:
    """Yields blocks of whole lines of a file that can only be read from its beginning."""
    left = start
    while left:
        left -= len(file.read(left))
    rest = b""
    while chunk := file.read(_PIECE_BYTES):
        text = rest + chunk
        end = text.rfind(b"\n") + 1
        if end:
            yield start, text[:end]
            start += end
        rest = text[end:]
    if rest:
        yield start, rest


def _text_block(text: bytes, source: Source, domains: Sequence[str], place: int) -> Block:
    location = source.table.entry.location
    lines = text.count(b"\n") + (not text.endswith(b"\n"))
    if not text.strip():
        return _no_rows(place, lines)
    table = source.table
    bad_lines = _FirstBadLine()
    if table.kind == "json":
        # A line that is no UTF-8 is a bad line, which `json_columns` finds.
        numbered = _numbered(io.BytesIO(text), at_start=place % _FILE_STEP == 0)
        separator = table.options.category_separator
        rows, numbers = json_columns(numbered, source.wanted, _marked, bad_lines, separator)
        return _block(
            rows,
            lambda row: _marked(int(numbers[row])),
            source,
            domains,
            place,
            lines,
            bad_lines,
        )
    if source.quoted and b'"' in text:
        for number, line in enumerate(text.split(b"\n"), start=1):
            if line.count(b'"') % 2:
                raise DataError(
                    f"{_marked(number)}: a quoted field with a line break, or a single quote; "
                    "--engine=beam cuts text at line ends: use --engine=local, or parquet."
                )
    piece = CsvText(
        lambda: _checked(text, _marked),
        _marked,
        location,
        source.separator,
        list(source.header),
        0,
        source.quoted,
    )
    found = csv_columns(piece, source.wanted, bad_lines)
    return _block(found.rows, found.locate, source, domains, place, lines, bad_lines)


def _marked(line: int) -> str:
    return f"{LINE_MARK}{line}{LINE_MARK}"


def _block(
    rows: pd.DataFrame,
    locate: Callable[[int], str],
    source: Source,
    domains: Sequence[str],
    place: int,
    lines: int,
    bad_lines: _FirstBadLine,
) -> Block:
    rows = source.table.named(rows, source.chosen)
    rows.index = pd.RangeIndex(place, place + len(rows))
    assembly = LogAssembly(domains, bad_lines, source.table.options.time_units())
    total = len(rows)
    rows, locate = source.table.canonical(rows, locate, place, assembly)
    names = [str(name) for name in rows["domain"].unique() if name]
    assembly.domains = tuple(domains) or tuple(names)
    assembly.add(rows, locate)
    good = assembly.rows()
    unrated = int(good["rating"].isna().sum()) if "rating" in good else len(good)
    counts = {"rows": total, "good": len(good), "bad": bad_lines.count, "lines": lines}
    facts = {
        "problem": bad_lines.first,
        "left_out": dict(assembly.left_out),
        "remarks": dict(assembly.remarks),
        "domains": names,
        "spans": {name: list(span) for name, span in assembly.spans.items()},
        "digits": assembly.digits[0],
        "unrated": unrated,
    }
    return Block(good, _NO_FACTS | {"place": place, **counts, **facts})


_NO_FACTS = {
    **dict.fromkeys(("rows", "good", "bad", "lines", "digits", "unrated"), 0),
    **dict.fromkeys(("problem", "fatal"), ""),
    "left_out": {},
    "remarks": {},
    "spans": {},
    "domains": [],
}


def _no_rows(place: int, lines: int = 0, fatal: str = "") -> Block:
    return Block(pd.DataFrame(), _NO_FACTS | {"place": place, "lines": lines, "fatal": fatal})


def source_number(place: int) -> int:
    """The number of the file that a row with this place comes from."""
    return place // _FILE_STEP
