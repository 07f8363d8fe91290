"""Which run another one starts from, and what it is compared with."""

import json
import types

import pytest

from launchers import pretraining
from tfcdr.errors import RunError
from tfcdr.runs.pretrained_run import PretrainedRun
from tfcdr.runs.run_folder import RunFolder
from tfcdr.systems.peterrec.config import PeterRecConfig
from tfcdr.systems.registry import SYSTEMS
from tfcdr.systems.timirec.config import TiMiRecConfig

STAGES = SYSTEMS["peterrec"].stages(PeterRecConfig())
SOURCE = types.SimpleNamespace(fingerprint="all", shared_fingerprint="shared")


def run_in(folder, *stages, **settings):
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"shared_fingerprint": "shared", **settings}))
    for stage in stages:
        (folder / "checkpoints" / stage / "best").mkdir(parents=True)


@pytest.fixture
def of_targets(tmp_path):
    """A run of two targets, of which the first has trained what both start from."""
    run_in(tmp_path / "run", targets=["toys", "films"])
    run_in(tmp_path / "run" / "target-toys", "pretrain", "finetune")
    run_in(tmp_path / "run" / "target-films", "finetune")
    return tmp_path / "run"


@pytest.mark.parametrize("target", ["toys", "films", "books"])
def test_where_targets_share_a_stage_it_is_that_of_the_first(of_targets, target):
    found = pretraining.of_target(of_targets, STAGES, target, SOURCE)
    assert found == PretrainedRun(RunFolder(of_targets / "target-toys"))


def test_where_each_has_trained_it_it_is_the_targets_own(of_targets):
    (of_targets / "target-films" / "checkpoints" / "pretrain" / "best").mkdir(parents=True)
    found = pretraining.of_target(of_targets, STAGES, "films", SOURCE)
    assert found.folder.path == of_targets / "target-films"


def test_of_several_seeds_one_must_be_named(tmp_path):
    run_in(tmp_path / "run", several_seeds=True, seed=3)
    with pytest.raises(RunError, match=r"several seeds are here; name one of them, as .*seed-3"):
        pretraining.of_target(tmp_path / "run", STAGES, "toys", SOURCE)


def test_a_stage_that_takes_several_models_takes_them_from_the_seeds(tmp_path):
    stages = SYSTEMS["timirec"].stages(
        TiMiRecConfig(stages="pretrain", blend_neighbours="cosine", ensemble_members=2)
    )
    run = tmp_path / "run"
    run_in(run, several_seeds=True, seed=9)
    RunFolder(run).finish({"seeds": [9, 10]})
    for seed in (9, 10):
        run_in(run / f"seed-{seed}", "pretrain", data_fingerprint="all")
        RunFolder(run / f"seed-{seed}").finish({})
    found = pretraining.of_target(run, stages, "toys", SOURCE)
    assert found == PretrainedRun(
        RunFolder(run / "seed-9"), other_seeds=(RunFolder(run / "seed-10"),)
    )
    with pytest.raises(
        RunError, match="seed-9: stage blend takes the models of 2 seeds, of which there are 1"
    ):
        pretraining.of_target(run / "seed-9", stages, "toys", SOURCE)
    (run / "seed-10" / "metrics.json").unlink()
    with pytest.raises(RunError, match="seed-10: the run is not finished"):
        pretraining.of_target(run, stages, "toys", SOURCE)
    (run / "metrics.json").unlink()
    with pytest.raises(RunError, match="run: the run is not finished"):
        pretraining.of_target(run, stages, "toys", SOURCE)


def test_a_baseline_starts_from_its_like(tmp_path, capsys):
    run_in(tmp_path / "run")
    other = PretrainedRun(RunFolder(tmp_path / "run"), SOURCE)
    assert pretraining.beside(other, "no_transfer") is None
    assert (
        "run/no_transfer: there is no such run, so that this one starts" in capsys.readouterr().out
    )
    run_in(tmp_path / "run" / "no_transfer")
    found = pretraining.beside(other, "no_transfer")
    assert found == PretrainedRun(RunFolder(tmp_path / "run" / "no_transfer", False), SOURCE)
    # Of the same data, the run stands for a stage that a baseline has not.
    assert pretraining.beside(PretrainedRun(RunFolder(tmp_path / "run")), "no_transfer") is None
