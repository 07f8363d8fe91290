"""The processes of a run as TF_CONFIG names them, and waiting for one another."""

import contextlib
import dataclasses
import json
import re
import socket
import time
from collections.abc import Iterable, Iterator, Mapping

from tfcdr.errors import RunError

# The jobs that a strategy's cluster may hold.
_JOBS = {"multi_worker": ("chief", "worker"), "parameter_server": ("chief", "worker", "ps")}
_ADDRESS = re.compile(r"\[?[\w.:-]+\]?:(\d{1,5})")
_CONNECT_SECONDS = 1.0
_RETRY_SECONDS = 0.2


@dataclasses.dataclass(frozen=True)
class Task:
    """One process of a cluster.

    Attributes:
      job: "chief", "worker" or "ps".
      index: its place in the job's list.
      address: host:port.
    """

    job: str
    index: int
    address: str

    def __str__(self) -> str:
        return f"{self.job} {self.index} at {self.address}"

    def answers(self) -> bool:
        """Whether a connection to the address is accepted."""
        host, port = _host_and_port(self.address)
        try:
            socket.create_connection((host, port), _CONNECT_SECONDS).close()
        except OSError:
            return False
        return True


@dataclasses.dataclass(frozen=True)
class Cluster:
    """All processes of a run, and which of them this one is.

    Attributes:
      tasks: the chief first, then the workers, then the parameter servers.
      own: this process.
    """

    tasks: tuple[Task, ...]
    own: Task

    @property
    def chief(self) -> Task:
        """The process that writes the run's files: the chief, or worker 0 where there is none."""
        return self.tasks[0]

    @property
    def others(self) -> tuple[Task, ...]:
        """All processes but this one."""
        return tuple(task for task in self.tasks if task != self.own)

    def of(self, *jobs: str) -> tuple[Task, ...]:
        """The processes of some jobs."""
        return tuple(task for task in self.tasks if task.job in jobs)


def read(strategy: str, environment: Mapping[str, str]) -> Cluster | None:
    """Reads TF_CONFIG.

    Args:
      strategy: the name of a strategy.
      environment: such as `os.environ`.

    Returns:
      The cluster; None for a strategy of one process.

    Raises:
      RunError: TF_CONFIG does not fit the strategy or is no cluster at all.
    """
    jobs, task = _parsed(environment.get("TF_CONFIG", ""))
    if strategy not in _JOBS:
        if sum(map(len, jobs.values())) > 1:
            raise RunError(
                f"TF_CONFIG names a cluster, but --strategy={strategy} is one process; use "
                "--strategy=multi_worker or parameter_server, or unset TF_CONFIG."
            )
        return None
    _check_jobs(strategy, jobs)
    tasks = [
        Task(job, index, address)
        for job in _JOBS[strategy]
        for index, address in enumerate(jobs.get(job, ()))
    ]
    own = [
        each for each in tasks if [each.job, each.index] == [task.get("type"), task.get("index")]
    ]
    if not own:
        known = ", ".join(f"{job} 0..{len(addresses) - 1}" for job, addresses in jobs.items())
        raise RunError(
            f"TF_CONFIG: this process is task {json.dumps(task)}, but the cluster has "
            f"only {known}; "
            'write such as "task": {"type": "worker", "index": 0}.'
        )
    return Cluster(tuple(tasks), own[0])


def wait_for(tasks: Iterable[Task], seconds: float) -> None:
    """Waits until each process accepts connections.

    Raises:
      RunError: one does not within so many seconds in all.
    """
    deadline = time.monotonic() + seconds
    for task in tasks:
        while not task.answers():
            if time.monotonic() > deadline:
                raise RunError(
                    f"{task} did not come up within {seconds:g} s: start it with the same command, "
                    "or wait longer with --cluster_timeout."
                )
            time.sleep(_RETRY_SECONDS)


def gone(tasks: Iterable[Task], seconds: float) -> list[Task]:
    """Returns the processes that accept no connection; waits so long for the first to end."""
    deadline = time.monotonic() + seconds
    while not (lost := [task for task in tasks if not task.answers()]):
        if time.monotonic() > deadline:
            break
        time.sleep(_RETRY_SECONDS)
    return lost


@contextlib.contextmanager
def listening(task: Task) -> Iterator[None]:
    """Accepts connections at this process' address, until TensorFlow takes it over.

    Raises:
      RunError: the port is taken.
    """
    port = _host_and_port(task.address)[1]
    try:
        server = socket.create_server(("", port), backlog=128)
    except OSError as error:
        raise RunError(
            f"TF_CONFIG: {task}, which is this process, cannot be listened at ({error.strerror})."
        ) from error
    with server:
        yield


def _parsed(text: str) -> tuple[dict[str, list[str]], dict[str, object]]:
    """Splits TF_CONFIG into jobs with addresses and this process' task; empty if it is not set."""
    if not text:
        return {}, {}
    try:
        config = json.loads(text)
    except ValueError as error:
        raise RunError(f"TF_CONFIG is not JSON ({error}).") from error
    config = config if isinstance(config, dict) else {"cluster": None}
    cluster, task = config.get("cluster", {}), config.get("task", {})
    if not isinstance(cluster, dict) or not isinstance(task, dict):
        raise RunError(
            'TF_CONFIG must be such as {"cluster": {"worker": ["host:port", ...]}, "task": '
            '{"type": "worker", "index": 0}}.'
        )
    for job, addresses in cluster.items():
        if not isinstance(addresses, list) or not addresses:
            raise RunError(f'TF_CONFIG: job {job!r} must be a list of "host:port".')
        for address in addresses:
            match = _ADDRESS.fullmatch(address) if isinstance(address, str) else None
            if not match or not 0 < int(match[1]) < 2**16:
                raise RunError(f"TF_CONFIG: job {job!r}: {address!r} is not host:port.")
    return cluster, task


def _check_jobs(strategy: str, jobs: Mapping[str, list[str]]) -> None:
    if not jobs:
        raise RunError(
            f"--strategy={strategy} needs the environment variable TF_CONFIG with the addresses of "
            "all processes and the task of this one; the README shows it."
        )
    for job in jobs:
        if job not in _JOBS[strategy]:
            raise RunError(
                f"TF_CONFIG: --strategy={strategy} has no job {job!r}, only "
                f"{', '.join(_JOBS[strategy])}."
            )
    required: tuple[str, ...] = ("worker",) if "chief" not in jobs else ()
    if strategy == "parameter_server":
        required = _JOBS[strategy]
    for job in required:
        if job not in jobs:
            raise RunError(f"TF_CONFIG: --strategy={strategy} needs a job {job!r} in the cluster.")
    if len(jobs.get("chief", ())) > 1:
        raise RunError("TF_CONFIG: there must be one chief. Received: " + ", ".join(jobs["chief"]))
    addresses = [address for listed in jobs.values() for address in listed]
    for address in addresses:
        if addresses.count(address) > 1:
            raise RunError(f"TF_CONFIG: {address} stands for two tasks; each needs its own port.")


def _host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)
