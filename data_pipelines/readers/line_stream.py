"""The lines of a text file, plain or compressed, as a stream that takes little memory."""

import io
import pathlib
from collections.abc import Iterator

from data_pipelines.errors import DataError
from data_pipelines.readers.input_streams import DamagedInputError, unchecked_text
from data_pipelines.readers.text_files import require_file

# Whatever a file unpacks to, no more than a few lines of this length are in memory.
MAX_LINE_BYTES = 1 << 22
_CHUNK_BYTES = 1 << 22
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def numbered_lines(path: pathlib.Path, encoding: str = "") -> Iterator[tuple[int, bytes]]:
    r"""Yields (1-based number, line) for the lines that are not blank.

    A line comes without its `\n`. One that is longer than `MAX_LINE_BYTES` may come cut, but still
    longer than that.

    Args:
      path: a file of plain or packed text.
      encoding: of the text; empty for UTF-8, or what a byte order mark says.

    Raises:
      DataError: the file is missing, empty, blank, truncated or damaged.
    """
    require_file(path)
    number, filled = 0, False
    try:
        # A line that is no UTF-8 is a bad line, not the end: only other encodings are checked here.
        with unchecked_text(path, encoding) as file:
            for number, line in enumerate(_lines(file), 1):
                if number == 1:
                    line = line.removeprefix(_BYTE_ORDER_MARK)
                if line.strip():
                    filled = True
                    yield number, line
    except DamagedInputError as error:
        raise DataError(f"{path}: {error.what}, after line {number}; fetch it again.") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read after line {number} ({error}).") from error
    if not filled:
        raise DataError(f"{path}: the file has no lines but blank ones.")


def _lines(file: io.BufferedIOBase) -> Iterator[bytes]:
    rest = b""
    # `read1` gives what comes before a damaged place; `read` would not.
    while chunk := file.read1(_CHUNK_BYTES):
        lines = chunk.split(b"\n")
        # Nobody asks how a line that is too long goes on.
        lines[0] = rest if len(rest) > MAX_LINE_BYTES else rest + lines[0]
        rest = lines.pop()
        yield from lines
    if rest:
        yield rest
