"""Every strategy makes the steps of a single process, and goes on after the loss of a worker."""

import json

import pytest

from tests.end_to_end import clusters, launching
from tests.end_to_end.clusters import Processes

STEPS = 20
# A run of at least STEPS steps in each stage, with even batch sizes. What other systems' models
# make of a share of a batch, their own tests say; processes know nothing of a system.
RUN = (
    "--system=peterrec",
    *launching.SMALL_READING,
    "--peterrec.channels=8",
    "--peterrec.dilations=1",
    "--peterrec.pretrain_batch_size=24",
    "--peterrec.pretrain_epochs=2",
    "--peterrec.finetune_batch_size=28",
    "--peterrec.finetune_epochs=2",
    "--evaluation.negatives=20",
    "--evaluation.batch_size=31",  # odd: workers share an evaluation batch of 32
)
# Processes and flags of a strategy that has two replicas.
STRATEGIES = {
    "mirrored": ({}, ("--cpu_devices=2",)),
    "multi_worker": ({"worker": 2}, ("--cluster_timeout=60",)),
    "parameter_server": ({"chief": 1, "worker": 2, "ps": 1}, ("--cluster_timeout=60",)),
}


def command(data, workdir):
    return (*RUN, f"--data_dir={data}", f"--workdir={workdir}")


@pytest.fixture(scope="module")
def single(small_data, tmp_path_factory):
    """The folder of a run by one process on one device."""
    workdir = tmp_path_factory.mktemp("single") / "run"
    with Processes({}, *command(small_data, workdir)) as processes:
        outcome = processes.outcome("process 0")
    assert outcome.status == 0, outcome.err
    return workdir


def figures(workdir):
    metrics = json.loads((workdir / "metrics.json").read_text())
    return {split: metrics[split] for split in ("validation", "test")}


def assert_same_run(workdir, reference):
    """Losses of all steps, and the final metrics over the same users."""
    made, expected = clusters.steps(workdir), clusters.steps(reference)
    assert made.keys() == expected.keys()
    for stage, losses in expected.items():
        assert len(losses) >= STEPS
        for name in losses[0]:
            assert [step[name] for step in made[stage]] == pytest.approx(
                [step[name] for step in losses], rel=1e-4, abs=1e-4
            ), (stage, name)
    for split, metrics in figures(reference).items():
        # Rounding may swap two items of nearly the same score in a few of 130 rankings.
        assert figures(workdir)[split] == pytest.approx(metrics, abs=0.02)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_strategy_makes_the_steps_of_one_process(single, small_data, tmp_path, strategy):
    jobs, flags = STRATEGIES[strategy]
    workdir = tmp_path / "run"
    arguments = (*command(small_data, workdir), f"--strategy={strategy}", *flags)
    with Processes(jobs, *arguments) as processes:
        outcomes = processes.outcomes()
    chief = next(iter(outcomes))
    for name, outcome in outcomes.items():
        assert outcome.status == 0, (name, outcome.err)
        # Only the chief reports.
        assert ("most popular" in outcome.out) == (name == chief)
    assert_same_run(workdir, single)
    epochs = (workdir / "metrics.jsonl").read_text().splitlines()
    assert len(epochs) == len((single / "metrics.jsonl").read_text().splitlines())
    if strategy == "multi_worker":
        assert "1 files of records for 2 workers" in outcomes[chief].out


def assert_resumed(workdir, reference):
    """The resumed run made the steps that were left of pre-training, and only these."""
    made, expected = (clusters.steps(folder)["pretrain"] for folder in (workdir, reference))
    assert 0 < len(made) < len(expected)
    assert [step["loss"] for step in made] == pytest.approx(
        [step["loss"] for step in expected[-len(made) :]], rel=1e-4, abs=1e-4
    )


# What is lost shows in one stage as well as in two, and without XLA; that saves time.
SHORT = ("--peterrec.stages=pretrain", "--nojit_compile")


def test_after_the_loss_of_a_worker_the_run_resumes(single, small_data, tmp_path):
    """First the other one is lost, in the second of two epochs, then the chief."""
    workdir = tmp_path / "run"
    arguments = (*command(small_data, workdir), *SHORT, "--strategy=multi_worker")
    jobs, workers = {"worker": 2}, {"worker 0", "worker 1"}
    # The first epoch has eleven steps; what resumes behind it counts its own.
    for lost, step in (("worker 1", 13), ("worker 0", 3)):
        with Processes(jobs, *arguments, die_at={lost: f"pretrain {step}"}) as processes:
            outcomes = processes.outcomes()
            address = processes.address(lost)
        (other,) = workers - {lost}
        assert outcomes[lost].status == -9
        assert outcomes[other].status == 1
        assert f"error: lost {lost} at {address}; run the same command" in outcomes[other].error
        assert not (workdir / "metrics.json").exists()

    (workdir / "steps.jsonl").unlink()
    with Processes(jobs, *arguments) as processes:
        resumed = processes.outcomes()
    for name, outcome in resumed.items():
        assert outcome.status == 0, (name, outcome.err)
    assert_resumed(workdir, single)


def test_a_run_goes_on_with_another_strategy(single, small_data, tmp_path):
    """One process begins, two devices go on: batches are nobody's own."""
    workdir = tmp_path / "run"
    arguments = (*command(small_data, workdir), *SHORT)
    with Processes({}, *arguments, die_at={"process 0": "pretrain 12"}) as processes:
        assert processes.outcome("process 0").status == -9
    (workdir / "steps.jsonl").unlink()
    with Processes({}, *arguments, "--strategy=mirrored", "--cpu_devices=2") as processes:
        resumed = processes.outcome("process 0")
    assert resumed.status == 0, resumed.err
    assert_resumed(workdir, single)


def test_a_lost_worker_of_a_parameter_server_changes_nothing(single, small_data, tmp_path):
    """It dies right behind a result; the other one does its share from then on."""
    workdir = tmp_path / "run"
    jobs, _ = STRATEGIES["parameter_server"]
    arguments = (*command(small_data, workdir), *SHORT, "--strategy=parameter_server")
    victim = tmp_path / "pid"
    with Processes(jobs, *arguments, victim=victim) as processes:
        victim.write_text(str(processes.pid("worker 1")))
        outcomes = processes.outcomes()
    assert outcomes.pop("worker 1").status == -9
    for name, outcome in outcomes.items():
        assert outcome.status == 0, (name, outcome.err)
    made, expected = (
        [step["loss"] for step in clusters.steps(folder)["pretrain"]]
        for folder in (workdir, single)
    )
    assert made == pytest.approx(expected, rel=1e-4, abs=1e-4)


@pytest.mark.slow
def test_a_lost_server_ends_the_run_in_one_line(small_data, tmp_path):
    workdir = tmp_path / "run"
    jobs, _ = STRATEGIES["parameter_server"]
    arguments = (*command(small_data, workdir), *SHORT, "--strategy=parameter_server")
    with Processes(jobs, *arguments) as processes:
        processes.wait_for_steps(workdir, 3)
        processes.kill("ps 0")
        outcomes = processes.outcomes()
        address = processes.address("ps 0")
    assert f"error: lost ps 0 at {address}; run the same" in outcomes["chief 0"].error
    # The workers end with the chief.
    assert [outcomes[name].status for name in ("chief 0", "worker 0", "worker 1")] == [1, 0, 0]


@pytest.mark.parametrize(
    ("strategy", "jobs", "absent"),
    [
        ("multi_worker", ["worker", "worker"], "worker 1"),
        ("parameter_server", ["chief", "worker", "ps"], "worker 0"),
    ],
)
def test_a_process_that_does_not_come_up_is_named(monkeypatch, tmp_path, strategy, jobs, absent):
    free = iter(clusters.addresses(len(jobs)))
    cluster = {job: [next(free) for _ in range(jobs.count(job))] for job in dict.fromkeys(jobs)}
    task = {"cluster": cluster, "task": {"type": jobs[0], "index": 0}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(task))
    flags = (f"--workdir={tmp_path / 'run'}", f"--strategy={strategy}", "--cluster_timeout=0.5")
    outcome = launching.call("train", *flags)
    job, index = absent.split()
    assert outcome.status == 1
    assert f"error: {absent} at {cluster[job][int(index)]} did not come up within 0.5 s" in (
        outcome.error
    )
    assert list(tmp_path.iterdir()) == []


def test_a_server_whose_chief_does_not_come_up_ends(tmp_path):
    jobs, _ = STRATEGIES["parameter_server"]
    flags = (f"--workdir={tmp_path / 'run'}", "--strategy=parameter_server", "--cluster_timeout=1")
    with Processes(jobs, *flags, only="ps 0") as processes:
        outcome = processes.outcome("ps 0")
        address = processes.address("chief 0")
    assert outcome.status == 1
    assert f"error: chief 0 at {address} did not come up within 1 s" in outcome.error
    assert list(tmp_path.iterdir()) == []


def test_a_cluster_that_does_not_fit_is_one_line(monkeypatch, tmp_path):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    flags = (f"--workdir={tmp_path / 'run'}", "--strategy=multi_worker")
    outcome = launching.call("train", *flags)
    assert outcome.status == 1
    assert "needs the environment variable TF_CONFIG" in outcome.error
    assert list(tmp_path.iterdir()) == []


def test_cpu_devices_are_for_mirrored(tmp_path):
    outcome = launching.call("train", f"--workdir={tmp_path / 'run'}", "--cpu_devices=2")
    assert outcome.status == 2
    assert "--cpu_devices is for --strategy=mirrored alone" in outcome.error


def test_a_batch_that_replicas_cannot_share_is_refused_before_anything_is_written(
    small_data, tmp_path
):
    arguments = (
        *launching.SMALL_RUN,
        f"--data_dir={small_data}",
        f"--workdir={tmp_path / 'run'}",
        "--strategy=mirrored",
        "--cpu_devices=3",
    )
    outcome = launching.forked("train", *arguments)
    assert outcome.status == 1
    assert "stage pretrain: a batch of 64 examples cannot be shared by 3" in outcome.error
    assert list(tmp_path.iterdir()) == []
