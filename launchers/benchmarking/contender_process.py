"""The parent's end of a contender: starts it in a process of its own and asks for its times."""

import contextlib
import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, cast

from tfcdr.errors import RunError

_ROOT = Path(__file__).parents[2]


class ContenderProcess:
    """Starts a contender, measures its parts, ends it.

    What passes between the two, `peers/child_process.py` says.

    Attributes:
      facts: what the contender says about its set-up.
    """

    def __init__(
        self, command: Sequence[str], settings: Mapping[str, Any], environment: Mapping[str, str]
    ) -> None:
        """Starts the child and waits until it is warm.

        Args:
          command: the interpreter and a program that runs `child_process.serve`.
          settings: for the program's set-up, JSON.
          environment: variables besides this process' own.

        Raises:
          RunError: the child cannot be started or its set-up fails.
        """
        self._command = " ".join(command)
        # A contender that waits must not keep a core warm.
        quiet = {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0", "TF_CPP_MIN_LOG_LEVEL": "3"}
        try:
            self._child = subprocess.Popen(
                list(command),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env={**os.environ, **quiet, "PYTHONPATH": str(_ROOT), **environment},
            )
        except OSError as error:
            raise RunError(f"{command[0]}: cannot be started ({error.strerror}).") from error
        # Both are pipes.
        self._requests = cast(IO[str], self._child.stdin)
        self._answers = cast(IO[str], self._child.stdout)
        self.facts = self._ask(settings)

    def seconds(self, part: str, repetitions: int) -> float:
        """Does a part so many times and returns how long that took."""
        return self._ask({"part": part, "repetitions": repetitions})["seconds"]

    def close(self) -> int:
        """Ends the child; returns the most bytes of memory that it held."""
        self._requests.close()
        answer = json.loads(self._answers.readline() or "{}")
        self._child.wait()
        return answer.get("peak_bytes", 0)

    def kill(self) -> None:
        """Ends the child whatever it does."""
        self._child.kill()
        self._child.wait()

    def _ask(self, message: Mapping[str, Any]) -> dict[str, Any]:
        with contextlib.suppress(BrokenPipeError):  # It died: what it said last is read below.
            print(json.dumps(message), file=self._requests, flush=True)
        line = self._answers.readline()
        if not line:
            raise RunError(f"{self._command} ended with status {self._child.wait()}; see above.")
        answer = json.loads(line)
        if "error" in answer:
            raise RunError(answer["error"])
        return answer
