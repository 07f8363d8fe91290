"""A contender in a process of its own: whole cycles, and what is said when it fails."""

import sys

import pytest

from launchers.benchmarking.contender_process import ContenderProcess
from tfcdr.errors import RunError


def test_a_turn_holds_whole_cycles(tmp_path):
    # Its clock goes on by 3 at every third repetition, and else stands still.
    script = tmp_path / "cycling.py"
    script.write_text(
        "import itertools, time\n"
        "from launchers.benchmarking.peers.child_process import Workload, serve\n"
        "passed, costs = [0], itertools.cycle([0, 0, 3])\n"
        "time.perf_counter = lambda: passed[0]\n"
        "def step():\n"
        "    passed[0] += next(costs)\n"
        "serve(lambda told: Workload({'step': step}, lambda: None, {}, cycles={'step': 3}))\n"
    )
    process = ContenderProcess([sys.executable, str(script)], {}, {})
    try:
        assert process.seconds("step", 1) == 1
        assert process.seconds("step", 4) == 4
    finally:
        process.kill()


def test_a_contender_that_fails_says_why(tmp_path):
    script = tmp_path / "contender.py"
    script.write_text("import sys\nsys.exit(3)\n")
    with pytest.raises(RunError, match="status 3"):
        ContenderProcess([sys.executable, str(script)], {}, {})
    with pytest.raises(RunError, match="no-such-python"):
        ContenderProcess([str(tmp_path / "no-such-python")], {}, {})
