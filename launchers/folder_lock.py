"""One process at a time in a folder.

The lock is a file beside the folder, which the operating system unlocks when its process ends,
however it ends: what a dead process leaves holds nobody up. Where files cannot be locked, as on
some network file systems, there is no lock.
"""

import contextlib
import datetime
import errno
import fcntl
import os
import pathlib
import socket
from collections.abc import Iterator

_LONGEST_NOTE = 200


class HeldError(ValueError):
    """Another process holds the folder."""


@contextlib.contextmanager
def held(folder: pathlib.Path, does: str) -> Iterator[None]:
    """Holds a folder, which need not exist, for the body.

    Args:
      folder: to hold.
      does: what this process does there, for the message that others get, such as "trains".

    Raises:
      HeldError: another process holds it; the message says which.
    """
    folder = folder.absolute()
    made = [parent for parent in folder.parents if not parent.exists()]
    file = None
    try:
        file = _locked(folder, does)
        yield
    finally:
        if file is not None:
            path, descriptor = file
            # Removed while it is still locked: whoever waits for this file finds another there.
            with contextlib.suppress(OSError):
                path.unlink()
            os.close(descriptor)
        for parent in made:  # The innermost first; those that have got something in them stay.
            with contextlib.suppress(OSError):
                parent.rmdir()


def _locked(folder: pathlib.Path, does: str) -> tuple[pathlib.Path, int] | None:
    """The path and descriptor of the locked file; None where there can be none."""
    beside, within = folder.parent / f".{folder.name}.lock", folder / ".lock"
    for path in (beside, within):
        try:
            if path is beside:
                path.parent.mkdir(parents=True, exist_ok=True)
            return path, _lock(path, folder, does)
        except OSError:
            continue  # Whoever writes there will say what is wrong.
    return None


def _lock(path: pathlib.Path, folder: pathlib.Path, does: str) -> int:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            note = os.read(descriptor, _LONGEST_NOTE).decode(errors="replace").strip()
            os.close(descriptor)
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise
            raise HeldError(
                f"{folder}: another process is at work there ({note or 'it has just begun'}); wait "
                "for it, stop it, or use another folder."
            ) from error
        if _is_at(path, descriptor):
            break
        os.close(descriptor)  # Its holder has removed it in between.
    now = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    os.ftruncate(descriptor, 0)
    os.write(
        descriptor, f"process {os.getpid()} on {socket.gethostname()} {does} since {now}".encode()
    )
    return descriptor


def _is_at(path: pathlib.Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False
