"""The child's end of a contender, which works in a process of its own.

The child reads one line of JSON with its settings and answers with the facts of its set-up, or
with {"error": ...}. Then each line {"part": ..., "repetitions": ...} is answered by
{"seconds": ...}. Between turns it waits and takes nothing from the others. Its last answer, at the
end of its input, is its peak memory.

Imports nothing but the standard library, so that peers run where TensorFlow is not installed.
"""

import json
import os
import resource
import sys
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple


class Refusal(Exception):
    """A contender cannot be set up; the message says why and what to do."""


class Workload(NamedTuple):
    """What a child process can do.

    Attributes:
      parts: by name, a function that does its work once; it may return while the work runs on.
      finish: waits until all work is done.
      facts: what the report says about it: sizes, versions, seconds of compilation.
      cycles: by part, the repetitions after which its work starts over, where they differ. A
        turn holds whole cycles.
    """

    parts: Mapping[str, Callable[[], None]]
    finish: Callable[[], None]
    facts: Mapping[str, Any]
    cycles: Mapping[str, int] = MappingProxyType({})


def serve(set_up: Callable[[dict[str, Any]], Workload]) -> None:
    """The child's end: answers the parent until its input ends.

    Args:
      set_up: builds and warms up the workload. A `Refusal` of it reaches the user.
    """
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print is no answer

    def answer(message: Mapping[str, Any]) -> None:
        print(json.dumps(message), file=answers, flush=True)

    try:
        workload = set_up(json.loads(sys.stdin.readline()))
    except Refusal as error:
        answer({"error": str(error)})
        return
    answer({**workload.facts})
    for line in sys.stdin:
        request = json.loads(line)
        do = workload.parts[request["part"]]
        asked = request["repetitions"]
        cycle = workload.cycles.get(request["part"], 1)
        done = -(-asked // cycle) * cycle
        workload.finish()
        started = time.perf_counter()
        for _ in range(done):
            do()
        workload.finish()
        answer({"seconds": (time.perf_counter() - started) * asked / done})
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    answer({"peak_bytes": peak if sys.platform == "darwin" else 1024 * peak})
