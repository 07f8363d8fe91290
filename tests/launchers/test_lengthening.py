"""When a command with longer stages goes on with the run that is there."""

import dataclasses
import json
import pathlib

import pytest

from launchers import lengthening
from tfcdr.errors import RunError
from tfcdr.runs.run_folder import RunFolder
from tfcdr.systems.registry import SYSTEMS
from tfcdr.systems.timirec.config import TiMiRecConfig

SYSTEM = SYSTEMS["timirec"]
CONFIG = TiMiRecConfig(pretrain_epochs=3, finetune_epochs=4, patience=2)
MONITOR = "NDCG@10"


def settings_of(config, **others):
    return {"system": "timirec", "config": dataclasses.asdict(config), "seed": 0, **others}


def longer(folder, seed=0, **fields):
    config = dataclasses.replace(CONFIG, **fields)
    settings = settings_of(config, seed=seed)
    return lengthening.is_longer(SYSTEM, config, folder, settings, MONITOR)


@pytest.fixture
def folder(tmp_path):
    """A run whose stages have ended: pre-training by its patience, fine-tuning by its epochs."""
    folder = RunFolder(tmp_path)
    folder.claim(settings_of(CONFIG))
    for stage, scores in {"pretrain": (0.3, 0.2, 0.1), "finetune": (0.1, 0.2, 0.3, 0.4)}.items():
        for epoch, score in enumerate(scores, start=1):
            folder.add_epoch({"stage": stage, "epoch": epoch, "validation": {MONITOR: score}})
    return folder


@pytest.mark.parametrize(
    ("fields", "goes_on"),
    [
        ({"finetune_epochs": 5}, True),
        # Its patience has ended it.
        ({"pretrain_epochs": 9}, True),
        ({}, False),
        ({"finetune_epochs": 3}, False),
        ({"finetune_epochs": 5, "pretrain_epochs": 2}, False),
        ({"finetune_epochs": 5, "interests": 3}, False),
        ({"finetune_epochs": 5, "seed": 1}, False),
        # Another number of stages.
        ({"stages": "pretrain"}, False),
    ],
)
def test_more_epochs_of_the_last_stage_and_nothing_else(folder, fields, goes_on):
    assert longer(folder, **fields) is goes_on


def test_what_a_stage_has_started_from_must_stay(folder):
    with pytest.raises(RunError, match="stage pretrain would go on, from whose best epoch finetun"):
        longer(folder, pretrain_epochs=9, patience=3)
    # So must that of a target or a seed within.
    whole = RunFolder(folder.path.parent / "whole")
    whole.claim(settings_of(CONFIG))
    folder.path.rename(whole.path / "target-toys")
    with pytest.raises(RunError, match="target-toys: stage pretrain would go on"):
        longer(whole, pretrain_epochs=9, patience=3)


def test_what_is_fitted_to_a_stage_that_goes_on_is_fitted_again(folder):
    config = dataclasses.replace(CONFIG, stages="pretrain", blend_neighbours="cosine")
    more = dataclasses.replace(config, pretrain_epochs=9, patience=3)
    of_blend = RunFolder(folder.path / "blend")
    of_blend.claim(settings_of(config))
    for stage, epochs in {"pretrain": 3, "blend": 2}.items():
        for epoch in range(1, epochs + 1):
            score = 0.3 if epoch == 1 else 0.1
            of_blend.add_epoch({"stage": stage, "epoch": epoch, "validation": {MONITOR: score}})
        pathlib.Path(of_blend.checkpoints(stage, "best")).mkdir(parents=True)
    assert lengthening.is_longer(SYSTEM, more, of_blend, settings_of(more), MONITOR)
    again = lengthening.fitted_again(SYSTEM.stages(more), of_blend, MONITOR)
    assert again == ["blend"]
    of_blend.lengthen(settings_of(more), again)
    assert len(of_blend.epochs("pretrain")) == 3 and of_blend.has_checkpoint("pretrain")
    assert not of_blend.epochs("blend") and not of_blend.has_checkpoint("blend")
    # Where the stage before has ended, all stays.
    assert lengthening.fitted_again(SYSTEM.stages(config), of_blend, MONITOR) == []


def test_an_unfinished_stage_without_a_later_one_may_grow(folder):
    lines = [json.loads(line) for line in (folder.path / "metrics.jsonl").open()]
    kept = [json.dumps(line) for line in lines if line["stage"] == "pretrain"]
    (folder.path / "metrics.jsonl").write_text("\n".join(kept) + "\n")
    assert longer(folder, pretrain_epochs=9, patience=3)


def test_no_run_or_one_of_settings_that_are_gone_is_none(tmp_path):
    assert not longer(RunFolder(tmp_path / "none"))
    strange = RunFolder(tmp_path / "strange")
    settings = settings_of(CONFIG)
    settings["config"]["forgotten"] = 1
    strange.claim(settings)
    assert not longer(strange, finetune_epochs=9)
