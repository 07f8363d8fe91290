"""One process holds a folder; a dead one holds nothing."""

import os
import signal
import subprocess
import sys

import pytest

from launchers import folder_lock
from tests.end_to_end.launching import REPOSITORY

HOLD = """
import pathlib, sys, time
from launchers import folder_lock
with folder_lock.held(pathlib.Path(sys.argv[1]), "tests"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """A process that holds a folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "new" / "run")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def test_a_folder_is_held_by_one_process_and_freed_by_its_death(holder, tmp_path):
    folder = tmp_path / "new" / "run"
    held = pytest.raises(folder_lock.HeldError, match=f"process {holder.pid} on .* tests since")
    with held, folder_lock.held(folder, "waits"):
        pass
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert (folder.parent / ".run.lock").exists()
    with folder_lock.held(folder, "waits"), folder_lock.held(folder / "data", "converts"):
        pass
    assert list(folder.parent.iterdir()) == []


def test_nothing_is_left_where_nothing_was(tmp_path):
    with folder_lock.held(tmp_path / "a" / "b" / "run", "tests"):
        pass
    assert list(tmp_path.iterdir()) == []
    with folder_lock.held(tmp_path / "a" / "run", "tests"):
        (tmp_path / "a" / "run").mkdir()
    assert [path.name for path in tmp_path.rglob("*")] == ["a", "run"]


def test_a_folder_that_cannot_be_made_is_left_to_whoever_writes_there():
    with folder_lock.held(folder_lock.pathlib.Path("/dev/null/run"), "tests"):
        pass
