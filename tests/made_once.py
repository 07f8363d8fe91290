"""Folders that a whole test run makes once, however many workers want them."""

import fcntl
import os
import pathlib
import shutil
from collections.abc import Callable

import pytest


def folder(
    factory: pytest.TempPathFactory, name: str, fill: Callable[[pathlib.Path], None]
) -> pathlib.Path:
    """Returns a folder for reading alone; the first worker that asks for it fills it.

    Args:
      factory: pytest's `tmp_path_factory`.
      name: of the folder, the same for all that want it.
      fill: writes into a new folder; called again by the next worker if it fails.
    """
    root = factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        root = root.parent  # workers have folders of their own in that of the run
    whole, path = root / f"{name}.whole", root / name
    with (root / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not whole.exists():
            shutil.rmtree(path, ignore_errors=True)
            path.mkdir()
            fill(path)
            whole.touch()
    return path
