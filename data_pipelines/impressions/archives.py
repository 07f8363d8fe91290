"""Zip archives that nobody has vouched for: checked before anything of them is unpacked.

Members are only ever read as streams, never extracted under their own names. `zipfile` reads no
more of a member than its declared size, so that the sum of these bounds what unpacking can give.
"""

import contextlib
import lzma
import stat
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from data_pipelines.errors import DataError
from data_pipelines.readers.text_files import require_file

_FLAG = "--impression_read.max_unpacked_gb"


class UnpackLimit:
    """How many bytes may still be unpacked."""

    def __init__(self, gigabytes: float) -> None:
        """Starts with all of them, 1e9 bytes a gigabyte."""
        self._gigabytes = gigabytes
        self._left = gigabytes * 1e9

    def take(self, size: int, where: str) -> None:
        """Takes `size` bytes off.

        Raises:
          DataError: that many are not left; `where` names the archive.
        """
        self._left -= size
        if self._left < 0:
            raise DataError(
                f"{where}: its members take more than {_FLAG}={self._gigabytes:g} once unpacked; "
                "raise it if the archive can be trusted."
            )


@contextlib.contextmanager
def checked_archive(path: Path, name: str, limit: UnpackLimit) -> Iterator[zipfile.ZipFile]:
    """Opens an archive all of whose members are harmless.

    Args:
      path: the file.
      name: what messages call it.
      limit: loses the unpacked size of all members.

    Raises:
      DataError: not a zip file, damaged (also found while the members are read in this context),
        or with a member that is encrypted, a link or named outside the archive's folder, or too
        great.
    """
    require_file(path)
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                _check(member, name)
                limit.take(member.file_size, name)
            yield archive
    except (
        zipfile.BadZipFile,
        zlib.error,
        lzma.LZMAError,
        EOFError,
        NotImplementedError,
    ) as error:
        raise DataError(f"{name}: not a whole zip file ({error}); fetch it again.") from error


def unpack(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> None:
    """Writes a member's content to a file of our own naming."""
    name = f"{archive.filename}/{member.filename}"
    with _opened(archive, member, name) as packed, path.open("wb") as plain:
        for chunk in _chunks(packed, name):
            plain.write(chunk)


def _opened(archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str) -> IO[bytes]:
    try:
        return archive.open(member)
    except OSError as error:  # Its place is outside the file.
        raise DataError(f"{name}: the member is damaged ({error}); fetch it again.") from error


def _chunks(packed: IO[bytes], name: str) -> Iterator[bytes]:
    """Yields what a member holds; what is wrong with it is no matter of where it is written."""
    while True:
        try:
            chunk = packed.read(1 << 20)
        except (OSError, lzma.LZMAError) as error:  # Of bzip2 the first.
            raise DataError(f"{name}: the member is damaged ({error}); fetch it again.") from error
        if not chunk:
            return
        yield chunk


def _check(member: zipfile.ZipInfo, name: str) -> None:
    path = PurePosixPath(member.filename.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in member.filename:
        raise DataError(
            f"{name}: member {member.filename!r} points out of the archive's folder; fetch the "
            "archive from its publisher."
        )
    if stat.S_ISLNK(member.external_attr >> 16):
        raise DataError(f"{name}: member {member.filename!r} is a link; pack the file itself.")
    if member.flag_bits & 1:
        raise DataError(f"{name}: member {member.filename!r} is encrypted; pack it without.")
