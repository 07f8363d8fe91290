"""Input files as streams of UTF-8 text, however they are packed and encoded.

What packs a file is told by its first bytes, not by its name: gzip, bzip2, xz, Zstandard, LZ4, or a
zip archive with one file in it. A stream that ends before its packing does is an error, wherever
the cut falls, and so is a byte that is no text.
"""

import bz2
import codecs
import gzip
import io
import lzma
import pathlib
import zipfile
import zlib
from collections.abc import Callable
from typing import IO, TYPE_CHECKING, cast

import pyarrow as pa

from data_pipelines.errors import DataError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

PARQUET_MAGIC = b"PAR1"
_ZIP_MAGIC = b"PK\x03\x04"
_MAGIC = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "Zstandard",
    b"\x04\x22\x4d\x18": "LZ4",
    _ZIP_MAGIC: "zip",
}
_BYTE_ORDER_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",  # Before UTF-16, whose mark it begins with.
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
    codecs.BOM_UTF8: "utf-8",
}
_WIDE_MARKS = [mark for mark, name in _BYTE_ORDER_MARKS.items() if name != "utf-8"]
_LONGEST_MAGIC = 8
_CHUNK_BYTES = 1 << 17
_DAMAGE = (OSError, EOFError, zlib.error, lzma.LZMAError, pa.ArrowException, NotImplementedError)

# A text that compresses better than this is made to fill a disk: logs reach some thirty.
MAX_RATIO = 250
# Small files may, since nothing is filled by them.
_ALWAYS_ALLOWED_BYTES = 1 << 26


def packing(head: bytes) -> str:
    """Returns what packs a file that begins with these bytes; "" for nothing."""
    return next((name for magic, name in _MAGIC.items() if head.startswith(magic)), "")


def is_packed(raw: io.BufferedIOBase) -> bool:
    """Whether a file is packed; leaves the stream at its beginning."""
    head = raw.read(_LONGEST_MAGIC)
    raw.seek(0)
    return bool(packing(head))


def is_utf8(raw: io.BufferedIOBase, encoding: str) -> bool:
    """Whether text is in UTF-8, by its encoding or, without one, by its byte order mark."""
    head = raw.read(4)
    raw.seek(0)
    if encoding:
        return codecs.lookup(encoding).name == "utf-8"
    return not any(head.startswith(mark) for mark in _WIDE_MARKS)


def unpacked(raw: io.BufferedIOBase, name: str) -> io.BufferedIOBase:
    """Unpacks a file, if it is packed.

    Args:
      raw: the file at its beginning, which can be sought; closed with what is returned.
      name: for messages.

    Raises:
      DataError: it is an archive of several files. Reading raises it where the file is damaged,
        ends too early or unpacks to more than `MAX_RATIO` times its size.
    """
    head = raw.read(_LONGEST_MAGIC)
    size = raw.seek(0, io.SEEK_END)
    raw.seek(0)
    kind = packing(head)
    if not kind:
        return raw
    try:
        plain = _OPENERS[kind](raw, name)
    except (*_DAMAGE, zipfile.BadZipFile) as error:
        raw.close()
        raise _damaged(name, kind, error) from error
    return io.BufferedReader(_Unpacked(raw, plain, kind, name, size), _CHUNK_BYTES)


def text_stream(
    raw: io.BufferedIOBase, at: Callable[[int], str], name: str, encoding: str = ""
) -> "TextStream":
    """Reads text that may be packed as UTF-8; arguments as of `TextStream`."""
    return TextStream(unpacked(raw, name), at, encoding)


def open_text(path: pathlib.Path, encoding: str = "") -> io.BufferedReader:
    """Opens a text file as UTF-8.

    Args:
      path: the file, which may be packed.
      encoding: of the text; empty for UTF-8, or what a byte order mark says.

    Raises:
      DataError: as `unpacked` and `TextStream`.
    """
    at = line_namer(path)
    return io.BufferedReader(text_stream(path.open("rb"), at, str(path), encoding), _CHUNK_BYTES)


def unchecked_text(path: pathlib.Path, encoding: str = "") -> io.BufferedIOBase:
    """Opens a text file whose lines the reader itself decodes, unless its encoding is another.

    Raises:
      DataError: as `unpacked`.
    """
    return unchecked_stream(path.open("rb"), line_namer(path), str(path), encoding)


def unchecked_stream(
    raw: io.BufferedIOBase, at: Callable[[int], str], name: str, encoding: str = ""
) -> io.BufferedIOBase:
    """Does the same with a file that is open; see `text_stream` for the arguments."""
    raw = unpacked(raw, name)
    # A line that is no UTF-8 is a bad line then, not the end of the file.
    head = raw.peek(4) if hasattr(raw, "peek") else b""
    if not encoding and not any(head.startswith(mark) for mark in _WIDE_MARKS):
        return raw
    return io.BufferedReader(TextStream(raw, at, encoding), _CHUNK_BYTES)


def line_namer(path: object) -> Callable[[int], str]:
    """Says "FILE, line N" for a line number from 1."""
    return lambda number: f"{path}, line {number}"


class DamagedInputError(DataError):
    """A file that its packing shows to be damaged or cut.

    Attributes:
      what: "the gzip file is truncated".
    """

    def __init__(self, name: str, what: str) -> None:
        super().__init__(f"{name}: {what}; fetch it again.")
        self.what = what


class TextStream(io.RawIOBase):
    """A stream that passes text on as UTF-8 and refuses what is none, with its line.

    Attributes:
      line_ends: number of line ends so far.
    """

    def __init__(
        self, raw: io.BufferedIOBase, at: Callable[[int], str], encoding: str = ""
    ) -> None:
        """Wraps a stream of bytes.

        Args:
          raw: closed with this one.
          at: says "FILE, line N" for a line number from 1.
          encoding: of the text; empty for UTF-8, or what a byte order mark says.
        """
        self.line_ends = 0
        self._raw = raw
        self._at = at
        self._encoding = encoding
        self._decoder: codecs.IncrementalDecoder | None = None
        self._rest = b""
        self._ended = False
        self._last = b"\n"

    @property
    def lines(self) -> int:
        """Number of lines so far; the last may have no end."""
        return self.line_ends + (self._last != b"\n")

    def readable(self) -> bool:
        """Returns that it can be read."""
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        """Reads as much as there is, up to the buffer's length; 0 at the end.

        Raises:
          DataError: a byte is no text.
        """
        wanted = memoryview(buffer)
        while not self._rest and not self._ended:
            self._rest = self._text(_some(self._raw, len(wanted)))
        taken = self._rest[: len(wanted)]
        self._rest = self._rest[len(taken) :]
        wanted[: len(taken)] = taken
        return len(taken)

    def close(self) -> None:
        """Closes the stream below, too."""
        self._raw.close()
        super().close()

    def _text(self, chunk: bytes) -> bytes:
        self._ended = not chunk
        decoder = self._decoder
        if decoder is None:
            chunk, decoder = self._begin(chunk)
        try:
            text = decoder.decode(chunk, final=self._ended)
        except UnicodeDecodeError as error:
            before = error.object[: error.start].decode(self._encoding, "replace").count("\n")
            raise DataError(
                f"{self._at(self.line_ends + before + 1)}: not {self._encoding} text; convert the "
                "file to UTF-8, or name its encoding."
            ) from error
        passed = chunk if self._encoding == "utf-8" else text.encode()
        self.line_ends += passed.count(b"\n")
        self._last = passed[-1:] or self._last
        return passed

    def _begin(self, chunk: bytes) -> tuple[bytes, codecs.IncrementalDecoder]:
        """Chooses the decoder by the first bytes; returns them without their mark, and it."""
        while chunk and len(chunk) < 4:
            more = _some(self._raw, _CHUNK_BYTES)
            if not more:
                break
            chunk += more
        marked = next((name for m, name in _BYTE_ORDER_MARKS.items() if chunk.startswith(m)), "")
        self._encoding = self._encoding or marked or "utf-8"
        self._decoder = codecs.getincrementaldecoder(self._encoding)()
        if self._encoding == "utf-8":
            if b"\0" in chunk[:4096]:
                raise DataError(
                    f"{self._at(1)}: holds zero bytes, as no UTF-8 text does: it is another kind "
                    "of file, or its encoding must be named."
                )
            chunk = chunk.removeprefix(codecs.BOM_UTF8)
        return chunk, self._decoder


class _Unpacked(io.RawIOBase):
    """Reads through a decompressor; its errors become one that names the file."""

    def __init__(
        self, raw: io.BufferedIOBase, plain: io.BufferedIOBase, kind: str, name: str, size: int
    ) -> None:
        self._raw = raw
        self._plain = plain
        self._kind = kind
        self._name = name
        self._left = max(_ALWAYS_ALLOWED_BYTES, size * MAX_RATIO)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        wanted = memoryview(buffer)
        try:
            # No more than there is: what comes before a damaged place is still given.
            chunk = _some(self._plain, len(wanted))
        except (*_DAMAGE, zipfile.BadZipFile) as error:
            raise _damaged(self._name, self._kind, error) from error
        self._left -= len(chunk)
        if self._left < 0:
            raise DataError(
                f"{self._name}: unpacks to more than {MAX_RATIO} times its size, as no log does; "
                "unpack it yourself if it can be trusted."
            )
        wanted[: len(chunk)] = chunk
        return len(chunk)

    def close(self) -> None:
        self._plain.close()
        self._raw.close()
        super().close()


def _some(stream: io.BufferedIOBase, size: int) -> bytes:
    return stream.read1(size) if hasattr(stream, "read1") else stream.read(size)


def _damaged(name: str, kind: str, error: Exception) -> DataError:
    reason = " ".join(str(error).split())
    cut = isinstance(error, EOFError) or "runcated" in reason
    what = "is truncated" if cut else f"is damaged ({reason})"
    return DamagedInputError(name, f"the {kind} file {what}")


def _single_member(raw: io.BufferedIOBase, name: str) -> io.BufferedIOBase:
    archive = zipfile.ZipFile(raw)
    # What macOS adds does not count.
    files = [
        member
        for member in archive.infolist()
        if not member.is_dir()
        and not member.filename.startswith("__MACOSX/")
        and not member.filename.rpartition("/")[2].startswith(".")
    ]
    if len(files) != 1:
        raise DataError(
            f"{name}: a zip archive of {len(files)} files; unpack it and name the ones to read."
        )
    if files[0].flag_bits & 1:
        raise DataError(f"{name}: the file in this archive is encrypted; unpack it first.")
    return cast(io.BufferedIOBase, archive.open(files[0]))


_OPENERS: dict[str, Callable[[io.BufferedIOBase, str], io.BufferedIOBase]] = {
    "gzip": lambda raw, _: gzip.GzipFile(fileobj=raw),
    "bzip2": lambda raw, _: bz2.BZ2File(raw),
    # Closed with what reads it.
    "xz": lambda raw, _: lzma.LZMAFile(cast(IO[bytes], raw)),  # noqa: SIM115
    "Zstandard": lambda raw, _: pa.CompressedInputStream(pa.PythonFile(raw), "zstd"),
    "LZ4": lambda raw, _: pa.CompressedInputStream(pa.PythonFile(raw), "lz4"),
    "zip": _single_member,
}
