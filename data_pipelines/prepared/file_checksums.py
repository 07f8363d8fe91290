"""Checksums of a data set's files: written with it, compared when it is used.

Files of records hold a checksum of each record already, which is compared when they are read; of
them only the size is compared here, so that this takes no longer for a larger log.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data_pipelines.errors import DataError

_RECORDS = ".tfrecord"
_CHUNK_BYTES = 1 << 20


def checksums(folder: Path) -> dict[str, dict[str, Any]]:
    """Returns path below the folder -> size, and SHA-256 unless it is a file of records."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            name = path.relative_to(folder).as_posix()
            about: dict[str, Any] = {"bytes": path.stat().st_size}
            if _RECORDS not in path.name:
                about["sha256"] = _digest(path)
            found[name] = about
    return found


def check(folder: Path, expected: Mapping[str, Mapping[str, Any]]) -> None:
    """Compares the files of a data set with what `checksums` found when it was written.

    Raises:
      DataError: a file is missing, or is not what was written.
    """
    for name, told in expected.items():
        path = folder / name
        try:
            size = path.stat().st_size if path.is_file() else -1
            same = size == told["bytes"] and told.get("sha256") in (None, _digest(path))
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror}).") from error
        if size < 0:
            raise DataError(f"{path}: the file is missing; convert the data again.")
        if not same:
            raise DataError(
                f"{path}: damaged or changed since the conversion; convert the data again."
            )


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
