"""A run whose model has two optimizers, killed and resumed, ends like one that never stopped."""

import json

import pytest

from tests.end_to_end import launching
from tests.end_to_end.launching import SMALL_DAA_RUN
from tests.end_to_end.test_reruns import lines, without_times

# Dies in the second epoch of the adaptation, behind its line and before its latest checkpoint.
DIES = """
import os, signal
from launchers import train
from tfcdr.runs.run_folder import RunFolder

whole = RunFolder.add_epoch

def add_epoch(folder, line):
    whole(folder, line)
    if (line["stage"], line["epoch"]) == ("adapt", 2):
        os.kill(os.getpid(), signal.SIGKILL)

RunFolder.add_epoch = add_epoch
train.run()
"""
ITERATIONS = "optimizers/{}/_iterations/.ATTRIBUTES/VARIABLE_VALUE"


@pytest.mark.slow
def test_critics_and_model_go_on_where_they_stopped(impression_data, tmp_path):
    epochs = ("--daa.source_epochs=1", "--daa.adapt_epochs=3", "--deterministic")
    flags = (*SMALL_DAA_RUN, *epochs, f"--data_dir={impression_data}")

    def command(name):
        return (*flags, f"--workdir={tmp_path / name}")

    whole = launching.start("train", *command("whole"), template=1)
    killed = launching.start("train", *command("killed"), code=DIES)
    assert launching.finish(killed).status == -9
    whole = launching.finish(whole)
    assert whole.status == 0, whole.err
    resumed = launching.forked("train", *command("killed"))
    assert resumed.status == 0, resumed.err
    assert "adapt epoch 1/" not in resumed.out
    folders = tmp_path / "whole", tmp_path / "killed"
    epochs = [lines(folder) for folder in folders]
    for whole_line, killed_line in zip(*epochs, strict=True):
        # A sum that nothing is computed from: TensorFlow's rewriting of the graph may add its terms
        # in another order in another process.
        sums = [line.pop("critic_loss", 0.0) for line in (whole_line, killed_line)]
        assert sums[0] == pytest.approx(sums[1], rel=1e-6)
    assert epochs[0] == epochs[1]
    metrics = [json.loads((folder / "metrics.json").read_text()) for folder in folders]
    assert without_times(metrics[0]) == without_times(metrics[1])
    for kind in ("best", "latest"):
        tensors = [launching.checkpoint(folder, "adapt", kind) for folder in folders]
        for of_folder in tensors:
            of_folder.pop("save_counter/.ATTRIBUTES/VARIABLE_VALUE")
        assert launching.differing(*tensors) == set()
        optimizers = {name.split("/")[1] for name in tensors[0] if name.startswith("optimizers/")}
        assert optimizers == ({"model", "critics"} if kind == "latest" else set())
    # A step of the critics on every batch, one of the model on every second.
    critics, model = (int(tensors[0][ITERATIONS.format(name)]) for name in ("critics", "model"))
    assert critics > model > 0
    assert model == critics // 2
