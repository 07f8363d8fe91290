"""What --against takes, and what is started for it."""

import dataclasses
import importlib.util
import sys

import pytest

from data_pipelines.prepared.dataset import open_prepared
from data_pipelines.prepared.reading import reopen
from launchers.benchmarking import line_up
from launchers.benchmarking.contender_process import ContenderProcess
from launchers.benchmarking.generated.generator import DataSizes
from launchers.benchmarking.line_up import Plan
from tfcdr.errors import RunError
from tfcdr.systems.daa.config import DaaConfig
from tfcdr.systems.peterrec.config import PeterRecConfig
from tfcdr.systems.registry import SYSTEMS
from tfcdr.systems.timirec.config import TiMiRecConfig

SIZES = DataSizes(items=100, length=6, users=120)
CONFIG = PeterRecConfig(channels=8, dilations=(1, 4), pretrain_batch_size=16)
PLAN = Plan("peterrec", "pretrain", CONFIG, SIZES, jit_compile=True)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "release"),
        ("tensorflow", "release"),
        ("release fast", "fast"),
        ("release onednn=maybe", "maybe"),
        ("release xla=true", "xla"),
        ("recbole model=BERT", "NextItNet"),
        ("tfcdr peterrec.width=8", "width"),
        ("tfcdr peterrec.channels=-8", "channels"),
        ("tfcdr data.items=3", "items"),
    ],
)
def test_refuses_naming_what_is_wrong(text, named):
    with pytest.raises(ValueError, match=named):
        line_up.parse(PLAN, text)


@pytest.mark.parametrize("name", ["release", "recbole"])
def test_peers_refuse_another_stage_than_theirs(name):
    with pytest.raises(ValueError, match="does not do the work"):
        line_up.parse(dataclasses.replace(PLAN, stage="finetune"), name)


def test_settings_of_another_tfcdr(tmp_path):
    text = "tfcdr data.items=150 peterrec.dilations=1,2 peterrec.causal=false jit_compile=false"
    _, settings, _ = line_up.parse(PLAN, text).start(tmp_path, sys.executable)
    assert settings["config"] == dataclasses.asdict(
        dataclasses.replace(CONFIG, dilations=(1, 2), causal=False)
    )
    assert not settings["jit_compile"]
    data = reopen(open_prepared(settings["data_dir"]), settings["reading"])
    assert data.vocabulary("source").size == 150


def test_a_stage_that_other_settings_do_not_have():
    plan = Plan("daa", "source", DaaConfig(), SIZES, True)
    with pytest.raises(ValueError, match="its stages are adapt; there is no source"):
        line_up.parse(plan, "tfcdr daa.adaptation=target_only")


def test_a_peer_that_is_refused_says_whose_work_it_does():
    plan = Plan("timirec", "finetune", TiMiRecConfig(), SIZES, True)
    with pytest.raises(ValueError, match=r"--system=peterrec --stage=pretrain") as refused:
        line_up.parse(plan, "recbole")
    assert str(refused.value).endswith(
        "it does that of --system=peterrec --stage=pretrain --peterrec.causal=true, and of "
        "--system=timirec --stage=pretrain."
    )


def test_settings_of_a_peer_in_upper_or_lower_case(tmp_path):
    _, _, environment = line_up.parse(PLAN, "release").start(tmp_path, "python")
    assert not environment
    _, _, environment = line_up.parse(PLAN, "release onednn=FALSE").start(tmp_path, "python")
    assert environment == {"TF_ENABLE_ONEDNN_OPTS": "0"}
    _, settings, _ = line_up.parse(PLAN, "recbole model=sasrec").start(tmp_path, "python")
    assert settings["model"] == "SASRec"


def test_peers_without_tensorflow_are_scripts_of_the_other_interpreter(tmp_path):
    command, _, _ = line_up.parse(PLAN, "recbole").start(tmp_path, "other/python")
    assert command[0] == "other/python"
    assert command[1].endswith("peers/recbole_sequential.py")
    command, _, _ = line_up.parse(PLAN, "release").start(tmp_path, "other/python")
    assert command == [sys.executable, "-m", "launchers.benchmarking.peers.nextitnet_release"]


def test_the_program_of_every_peer_is_there():
    programs = [peer.program for system in SYSTEMS.values() for peer in system.benchmark.peers]
    assert len(programs) == 7
    for program in programs:
        assert importlib.util.find_spec(program), program


@pytest.mark.parametrize("settings", [{"stage": "adapt"}, {"backbone": "ple"}])
def test_pytorch_refuses_another_stage_and_other_backbones_of_daa(settings):
    plan = Plan("daa", settings.pop("stage", "source"), DaaConfig(**settings), SIZES, True)
    with pytest.raises(ValueError, match=r"--daa\.backbone=sharedbottom or mmoe"):
        line_up.parse(plan, "pytorch")


def test_a_missing_peer_names_the_extra(tmp_path):
    # A module of that name that cannot be imported, whatever is installed.
    (tmp_path / "recbole.py").write_text("raise ImportError('no module')\n")
    command, settings, _ = line_up.parse(PLAN, "recbole").start(tmp_path, sys.executable)
    # `-c` puts the stand-in before the installed packages.
    run = (
        f"import runpy, sys; sys.path[:0] = [{str(tmp_path)!r}, {command[1].rpartition('/')[0]!r}]"
        f"; runpy.run_path({command[1]!r}, run_name='__main__')"
    )
    with pytest.raises(RunError, match=r"tfcdr\[benchmark\]"):
        ContenderProcess([sys.executable, "-c", run], settings, {})
