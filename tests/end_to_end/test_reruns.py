"""A killed run ends like one that was never stopped; one seed gives the same bits."""

import json
import os
import signal
import time

from tests.end_to_end import launching
from tests.end_to_end.launching import SMALL_RUN

STAGES = ("pretrain", "finetune")
# Dies in the second epoch of fine-tuning, behind its line and before its latest checkpoint, and
# leaves half of another line.
DIES_BETWEEN_LINE_AND_CHECKPOINT = """
import os, signal
from launchers import train
from tfcdr.runs.run_folder import RunFolder

whole = RunFolder.add_epoch

def add_epoch(folder, line):
    whole(folder, line)
    if (line["stage"], line["epoch"]) == ("finetune", 2):
        with (folder.path / "metrics.jsonl").open("a") as file:
            file.write('{"stage": "fine')
        os.kill(os.getpid(), signal.SIGKILL)

RunFolder.add_epoch = add_epoch
train.run()
"""


def end_at_line(count, process, workdir, seconds=200):
    """Sends what a scheduler sends as soon as metrics.jsonl has so many lines."""
    path = workdir / "metrics.jsonl"
    deadline = time.monotonic() + seconds
    while not path.exists() or path.read_text().count("\n") < count:
        assert process.poll() is None, launching.finish(process).err
        assert time.monotonic() < deadline, "no epoch in time"
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGTERM)
    return launching.finish(process)


def without_times(value):
    """Drops seconds and rates at any depth."""
    if isinstance(value, list):
        return [without_times(entry) for entry in value]
    if not isinstance(value, dict):
        return value
    times = ("seconds", "examples_per_second")
    return {name: without_times(entry) for name, entry in value.items() if name not in times}


def lines(workdir):
    text = (workdir / "metrics.jsonl").read_text()
    return [without_times(json.loads(line)) for line in text.splitlines()]


def assert_same_run(first, second):
    """Metrics but for times, and every tensor's bits, the optimizer's slots included."""
    metrics = [json.loads((folder / "metrics.json").read_text()) for folder in (first, second)]
    assert without_times(metrics[0]) == without_times(metrics[1])
    assert lines(first) == lines(second)
    for stage in STAGES:
        for kind in ("best", "latest"):
            tensors = [launching.checkpoint(folder, stage, kind) for folder in (first, second)]
            # Checkpoints count how often this process has saved.
            for of_folder in tensors:
                of_folder.pop("save_counter/.ATTRIBUTES/VARIABLE_VALUE")
            assert len(tensors[0]) > 10
            assert launching.differing(*tensors) == set()


def test_a_killed_run_resumes_and_ends_with_the_same_bits(finished, reproducible, tmp_path):
    """So does one that a scheduler ended, and two whole runs: all of it is compared."""
    workdir = tmp_path / "run"
    command = (*reproducible, f"--workdir={workdir}")

    # The second line means that the first epoch is finished, checkpoint and all.
    ended = end_at_line(2, launching.start("train", *command), workdir)
    assert ended.status == 128 + signal.SIGTERM
    assert "ended by SIGTERM: run the same command again" in ended.err.splitlines()[-1]
    assert "Traceback" not in ended.err
    assert 2 <= len(lines(workdir)) < 6
    assert not (workdir / "metrics.json").exists()

    code = DIES_BETWEEN_LINE_AND_CHECKPOINT
    killed = launching.finish(launching.start("train", *command, code=code))
    assert killed.status == -9, killed.err
    assert "pretrain epoch 1" not in killed.out  # What was finished is not done again.
    assert not (workdir / "metrics.json").exists()

    resumed = launching.forked("train", *command)
    assert resumed.status == 0, resumed.err
    assert "pretrain epoch" not in resumed.out
    assert "finetune epoch 1" not in resumed.out
    assert_same_run(workdir, finished[0])


def test_another_seed_gives_another_run(small_data, tmp_path):
    flags = (*SMALL_RUN, f"--data_dir={small_data}", "--nojit_compile")
    tensors = []
    for seed in (0, 1):
        where = (f"--workdir={tmp_path / str(seed)}", f"--seed={seed}")
        run = launching.call("train", *flags, *where, "--peterrec.stages=pretrain")
        assert run.status == 0, run.err
        tensors.append(launching.checkpoint(tmp_path / str(seed), "pretrain"))
    differing = launching.differing(*tensors)
    for name in ("output_vectors", "trunk/blocks/0/convolution1/kernel"):
        assert f"model/{name}/.ATTRIBUTES/VARIABLE_VALUE" in differing
