"""The process that `warm_process` forks: has imported what launchers need, and waits.

Each line of standard input describes a program as JSON, each line of standard output is the process
id of one that was started.
"""

import atexit
import contextlib
import gc
import importlib
import json
import os
import runpy
import sys
import threading
import traceback
import warnings

from tests import lighter_graphs

# No launcher that defines flags: two of them may define the same.
PRELOADED = (
    "launchers.finished_run",  # first: `launchers` fixes what TensorFlow is imported with
    "data_pipelines.prepared.build",
    "data_pipelines.prepared.item_titles",
    "data_pipelines.readers",
    "tensorflow_datasets",
    "tfcdr.distribution.strategies",
    "tfcdr.runs.report",
)


def fork():
    with warnings.catch_warnings():
        # Threads of numpy's and pyarrow's libraries, which know what a fork is.
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def next_program():
    """Returns in a new process what it has to run; ends when no more is wanted."""
    for line in sys.stdin:
        if fork() == 0:
            return keep(json.loads(line))
        bury_keepers(os.WNOHANG)
    bury_keepers(0)
    os._exit(0)


def bury_keepers(options):
    """Takes note of keepers that have ended, so that they do and their times are counted."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, options) != (0, 0):
            pass


def keep(program):
    """Returns in a child; stays behind to tell its end, as `subprocess` would: -9 if killed."""
    with open(program["status"], "w") as status:
        pid = fork()
        if pid == 0:
            return program
        print(pid, flush=True)
        _, ending = os.waitpid(pid, 0)
        status.write(str(os.waitstatus_to_exitcode(ending)))
    os._exit(0)


def become(program):
    """Takes over what a process is given at its start."""
    os.setsid()
    os.chdir(program["folder"])
    os.environ.clear()
    os.environ.update(program["environment"])
    for number, name, mode in ((0, os.devnull, "r"), (1, "out", "w"), (2, "err", "w")):
        with open(program.get(name, name), mode) as file:
            os.dup2(file.fileno(), number)
    sys.argv = program["argv"]


def run(program):
    """Returns the exit status."""
    try:
        if "code" in program:
            exec(compile(program["code"], "<string>", "exec"), {"__name__": "__main__"})
        else:
            runpy.run_path(program["argv"][0], run_name="__main__")
    except SystemExit as end:
        return end.code or 0
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


gc.disable()
for name in PRELOADED:
    importlib.import_module(name)
lighter_graphs.leave_out_passes_and_stacks()
gc.freeze()  # What is there by now, no process has to search for cycles of references.
gc.set_threshold(50_000, 20, 20)  # as in tests/conftest.py
gc.enable()
program = next_program()
become(program)
status = run(program)
# As an interpreter ends, but for the second that it would take to free every imported object.
threading._shutdown()
atexit._run_exitfuncs()
for stream in (sys.stdout, sys.stderr):
    stream.flush()
os._exit(status)
