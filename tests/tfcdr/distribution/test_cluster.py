"""TF_CONFIG: what is read from it, what is refused; waiting for processes."""

import json
import socket

import pytest

from tfcdr.distribution import cluster
from tfcdr.distribution.cluster import Task
from tfcdr.errors import RunError

A, B, C, D = (f"127.0.0.1:{port}" for port in (1001, 1002, 1003, 1004))
WORKERS = {"worker": [A, B]}
SERVED = {"chief": [A], "worker": [B, C], "ps": [D]}


def config(jobs, job="worker", index=0):
    return {"TF_CONFIG": json.dumps({"cluster": jobs, "task": {"type": job, "index": index}})}


def test_worker_0_is_the_chief_where_there_is_none():
    read = cluster.read("multi_worker", config(WORKERS, "worker", 1))
    assert read.own == Task("worker", 1, B)
    assert read.chief == Task("worker", 0, A)
    assert read.others == (read.chief,)


def test_the_chief_comes_first_and_the_servers_last():
    read = cluster.read("parameter_server", config(dict(reversed(SERVED.items())), "ps", 0))
    assert [task.address for task in read.tasks] == [A, B, C, D]
    assert read.chief.job == "chief"
    assert read.own.address == D
    assert [task.address for task in read.of("worker")] == [B, C]


@pytest.mark.parametrize("strategy", ["default", "mirrored"])
@pytest.mark.parametrize("environment", [{}, {"TF_CONFIG": ""}, config({"worker": [A]})], ids=str)
def test_one_process_needs_no_cluster(strategy, environment):
    assert cluster.read(strategy, environment) is None


@pytest.mark.parametrize(
    ("strategy", "environment", "message"),
    [
        ("default", config(WORKERS), "names a cluster, but --strategy=default is one process"),
        ("mirrored", config(WORKERS), "names a cluster, but --strategy=mirrored is one process"),
        ("multi_worker", {}, "--strategy=multi_worker needs the environment variable TF_CONFIG"),
        ("multi_worker", {"TF_CONFIG": "{"}, "TF_CONFIG is not JSON"),
        ("multi_worker", {"TF_CONFIG": "[1]"}, "TF_CONFIG must be such as"),
        ("multi_worker", {"TF_CONFIG": '{"cluster": [1]}'}, "TF_CONFIG must be such as"),
        ("multi_worker", config({"worker": A}), "job 'worker' must be a list"),
        ("multi_worker", config({"worker": []}), "job 'worker' must be a list"),
        ("multi_worker", config({"worker": [A, "here"]}), "'here' is not host:port"),
        ("multi_worker", config({"worker": [A, "b:99999"]}), "'b:99999' is not host:port"),
        ("multi_worker", config({"worker": [A, 7]}), "7 is not host:port"),
        ("multi_worker", config({"worker": [A, A]}), f"{A} stands for two tasks"),
        ("multi_worker", config(SERVED), "--strategy=multi_worker has no job 'ps'"),
        ("multi_worker", config({"boss": [A]}), "has no job 'boss', only chief, worker"),
        ("multi_worker", config({"chief": [A, B]}, "chief"), "there must be one chief"),
        ("multi_worker", config(WORKERS, "chief"), 'is task {"type": "chief", "index": 0}'),
        ("multi_worker", config(WORKERS, "worker", 2), "the cluster has only worker 0..1"),
        (
            "multi_worker",
            config(WORKERS, "worker", "0"),
            'is task {"type": "worker", "index": "0"}',
        ),
        ("parameter_server", config(WORKERS), "needs a job 'chief'"),
        ("parameter_server", config({"chief": [A], "ps": [D]}, "ps"), "needs a job 'worker'"),
        ("parameter_server", config({"chief": [A], "worker": [B]}), "needs a job 'ps'"),
    ],
)
def test_a_cluster_that_does_not_fit_is_one_line(strategy, environment, message):
    with pytest.raises(RunError) as raised:
        cluster.read(strategy, environment)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.fixture
def taken():
    """A task at whose address somebody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield cluster.Task("worker", 0, f"127.0.0.1:{server.getsockname()[1]}")


@pytest.fixture
def absent():
    """A task at whose address nobody listens: the port is bound and thus not given away."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        yield cluster.Task("worker", 1, f"127.0.0.1:{reserved.getsockname()[1]}")


def test_a_process_that_is_up_is_not_waited_for(taken):
    cluster.wait_for([taken], 0)


def test_a_process_that_does_not_come_up_is_named_with_its_address(taken, absent):
    with pytest.raises(
        RunError, match=f"worker 1 at {absent.address} did not come up within 0.1 s"
    ):
        cluster.wait_for([taken, absent], 0.1)


def test_what_is_gone_is_told_from_what_is_there(taken, absent):
    assert cluster.gone([taken, absent], 60) == [absent]
    assert cluster.gone([taken], 0) == []


def test_a_listening_process_answers_until_it_stops(absent):
    port = int(absent.address.rpartition(":")[2])
    with socket.socket() as finder:  # a port that is free to be listened at
        finder.bind(("127.0.0.1", 0))
        port = finder.getsockname()[1]
    task = cluster.Task("worker", 0, f"127.0.0.1:{port}")
    with cluster.listening(task):
        assert task.answers()
    assert not task.answers()


def test_a_port_that_is_taken_is_one_line(taken):
    with (
        pytest.raises(RunError, match=f"worker 0 at {taken.address}, which is this process"),
        cluster.listening(taken),
    ):
        pass
