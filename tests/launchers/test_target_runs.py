"""How long the runs last that a run is compared with, at most."""

import pytest

from launchers.target_runs import _time_left
from tfcdr.systems.peterrec.config import PeterRecConfig
from tfcdr.systems.registry import SYSTEMS

CONFIG = PeterRecConfig(pretrain_epochs=2, finetune_epochs=30)
STAGES = {"pretrain": {"seconds": 8.0, "epochs": 2}, "finetune": {"seconds": 20.0, "epochs": 10}}


@pytest.mark.parametrize(
    ("configs", "said"),
    [
        (
            (CONFIG,),
            ["1 run to compare with: at most 1:08 at the pace of this one, evaluation not "],
        ),
        ((CONFIG, CONFIG), ["2 runs to compare with: at most 2:16 at the pace of this one, "]),
        ((), []),
    ],
)
def test_time_is_that_of_all_epochs_at_the_pace_of_the_run(configs, said):
    lines = list(_time_left(SYSTEMS["peterrec"], configs, {"stages": STAGES}))
    assert len(lines) == len(said)
    assert all(line.startswith(start) for line, start in zip(lines, said, strict=True))


def test_nothing_is_said_of_a_stage_that_nobody_has_timed():
    metrics = {"stages": {"finetune": STAGES["finetune"]}}
    assert list(_time_left(SYSTEMS["peterrec"], [CONFIG], metrics)) == []
