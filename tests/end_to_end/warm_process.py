"""Starts programs without the seconds that every new interpreter takes to import TensorFlow.

They are processes of their own, forked from one that has imported TensorFlow and has never used it.
Those of one template share its imports and its hash seed. Where imports matter, use `subprocess`.
"""

import atexit
import contextlib
import functools
import json
import os
import pathlib
import select
import shutil
import signal
import subprocess
import sys
import tempfile


class WarmProcess:
    """The part of `subprocess.Popen` that tests need; leads a session of its own.

    Attributes:
      pid: its process id.
      returncode: None until its end is known; negative if a signal killed it.
    """

    def __init__(self, argv, *, code, folder, environment, template=0):
        """Starts it.

        Args:
          argv: the script's path and its arguments.
          code: runs instead of the script, if given.
          folder: where it runs.
          environment: all its variables.
          template: those of different numbers have different hash seeds.
        """
        self.returncode = None
        self._folder = pathlib.Path(tempfile.mkdtemp())
        self._texts = None
        paths = {name: str(self._folder / name) for name in ("out", "err", "status")}
        os.mkfifo(paths["status"])
        # Opened before there is a writer, and without waiting for one.
        self._status = os.open(paths["status"], os.O_RDONLY | os.O_NONBLOCK)
        program = {
            "argv": [str(argument) for argument in argv],
            "folder": str(folder),
            "environment": environment,
            **paths,
            **({"code": code} if code else {}),
        }
        origin = _template(template)
        origin.stdin.write(json.dumps(program) + "\n")
        origin.stdin.flush()
        self.pid = int(origin.stdout.readline())

    def poll(self):
        """Returns the status of a process that has ended."""
        self._wait(0)
        return self.returncode

    def kill(self):
        """Kills the process and all of its session, unless it has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)

    def communicate(self, timeout=None):
        """Waits for its end and returns what it wrote, as texts."""
        self._wait(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired("a warm process", timeout)
        if self._texts is None:
            self._texts = tuple((self._folder / name).read_text() for name in ("out", "err"))
            os.close(self._status)
            shutil.rmtree(self._folder)
        return self._texts

    def _wait(self, timeout):
        if self.returncode is None and select.select([self._status], [], [], timeout)[0]:
            self.returncode = int(os.read(self._status, 100))


@functools.cache
def _template(number):
    """The process that is forked; ends with this one, and behind all that it has started."""
    del number  # of a process of its own
    script = pathlib.Path(__file__).with_name("warm_template.py")
    repository = script.parents[2]
    template = subprocess.Popen(
        [sys.executable, str(script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=repository,
        env={**os.environ, "PYTHONPATH": str(repository)},
    )
    atexit.register(template.communicate)
    return template
