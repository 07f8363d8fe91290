"""Starts launchers/train.py as the processes of a cluster on the loopback interface."""

import contextlib
import json
import os
import random
import signal
import socket
import time

from tests.end_to_end import launching

# Writes the losses of every step that the process makes to WORKDIR/steps.jsonl, in full precision,
# and kills the process itself at one step of a stage, or the process whose id a file holds when
# workers have the results of the fourth step ready, if the environment says so.
WITH_STEPS = """
import contextlib, json, os, signal
from launchers import train
from tfcdr.distribution.parameter_server import ParameterServer
from tfcdr.runs.stage_run import StageRun

make = StageRun.__init__

def with_noted_steps(run, stage, model, data, folder, *arguments, **named):
    make(run, stage, model, data, folder, *arguments, **named)
    step, made = run._step, []

    def noted_step(batch):
        report = step(batch)
        losses = {name: float(loss) for name, loss in report.losses.items()}
        made.append(losses)
        if folder.writable:
            with (folder.path / "steps.jsonl").open("a") as file:
                file.write(json.dumps({"stage": stage.name, **losses}) + "\\n")
        if os.environ.get("DIE_AT") == f"{stage.name} {len(made)}":
            os.kill(os.getpid(), signal.SIGKILL)
        return report

    run._step = noted_step

wait = ParameterServer._wait
waits = []

def wait_and_kill(distribution):
    wait(distribution)
    waits.append(1)
    if len(waits) == 4 and os.environ.get("VICTIM"):
        victim = int(open(os.environ["VICTIM"]).read())
        os.kill(victim, signal.SIGKILL)
        # Its parent may take it out of the table of processes, even between open and read.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            while open(f"/proc/{victim}/stat").read().rpartition(")")[2].split()[0] != "Z":
                pass

ParameterServer._wait = wait_and_kill
StageRun.__init__ = with_noted_steps
train.run()
"""


def addresses(count):
    """Addresses on the loopback interface with ports that are free now.

    Not those that the kernel gives to whoever asks for any: other tests' connections would take
    them before the processes are up.
    """
    free = []
    while len(free) < count:
        port = random.SystemRandom().randrange(10_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            if f"127.0.0.1:{port}" not in free:
                free.append(f"127.0.0.1:{port}")
    return free


class Processes:
    """The processes of one run by name, such as "worker 0"; all are gone when it is closed."""

    def __init__(self, jobs, *arguments, die_at=None, only=None, victim=None):
        """Starts them.

        Args:
          jobs: how many tasks each job has; empty for a single process without TF_CONFIG.
          *arguments: of train.py.
          die_at: by name, the "stage step" at which a process kills itself.
          only: the name of the only one that is started.
          victim: the file that will hold the id of the process that the chief kills.
        """
        free = iter(addresses(sum(jobs.values())))
        self.cluster = {job: [next(free) for _ in range(count)] for job, count in jobs.items()}
        self._processes = {}
        tasks = [(job, index) for job, count in jobs.items() for index in range(count)]
        for job, index in tasks or [("process", 0)]:
            name = f"{job} {index}"
            if only not in (None, name):
                continue
            task = {"cluster": self.cluster, "task": {"type": job, "index": index}}
            environment = {
                **({"TF_CONFIG": json.dumps(task)} if jobs else {}),
                "VICTIM": str(victim or ""),
                "DIE_AT": (die_at or {}).get(name, ""),
            }
            self._processes[name] = launching.start(
                "train",
                *arguments,
                code=WITH_STEPS,
                # Workers must agree on the order of what they reduce, whatever their hash seeds.
                template=index % 2,
                **environment,
            )

    def __enter__(self):
        return self

    def __exit__(self, *error):
        for process in self._processes.values():
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()

    def address(self, name):
        job, index = name.split()
        return self.cluster[job][int(index)]

    def pid(self, name):
        return self._processes[name].pid

    def kill(self, name):
        self._processes[name].kill()

    def wait_for_steps(self, workdir, count, seconds=300):
        """Waits until the chief has made so many steps."""
        path = workdir / "steps.jsonl"
        deadline = time.monotonic() + seconds
        while not path.exists() or path.read_text().count("\n") < count:
            running = [process.poll() is None for process in self._processes.values()]
            assert all(running), self.outcomes(10)
            assert time.monotonic() < deadline, "no step in time"
            time.sleep(0.01)

    def outcome(self, name, seconds=300):
        """Waits for the end of one process."""
        process = self._processes[name]
        out, err = process.communicate(timeout=seconds)
        return launching.Outcome(process.returncode, out, err)

    def outcomes(self, seconds=300):
        return {name: self.outcome(name, seconds) for name in self._processes}


def steps(workdir):
    """The losses of every step by stage, in the order in which they were made."""
    by_stage = {}
    for text in (workdir / "steps.jsonl").read_text().splitlines():
        losses = json.loads(text)
        by_stage.setdefault(losses.pop("stage"), []).append(losses)
    return by_stage
