"""The lines of a stage: what they name, and how long the stage still lasts at most."""

import sys

import pytest

from tfcdr.runs import stage_screen
from tfcdr.runs.stage_screen import StageScreen, clock

LINE = {
    "stage": "fit",
    "epoch": 3,
    "loss": 1.23456,
    "figures": {"norm": 12.0},
    "validation": {"NDCG@5": 0.1, "NDCG@10": 0.2, "HR@10": 0.3, "AUC": 0.9},
    "seconds": 2.04,
    "examples_per_second": 7.0,
}


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0:00"), (7, "0:07"), (723, "12:03"), (3723, "1:02:03")]
)
def test_times_are_as_people_read_them(seconds, text):
    assert clock(seconds) == text


def test_a_line_has_the_figures_at_the_monitors_cutoff_and_what_is_left(monkeypatch, capsys):
    times = iter([100.0, 100.0, 110.0, 120.0])
    monkeypatch.setattr(stage_screen.time, "monotonic", lambda: next(times))
    with StageScreen("fit", "stage 2 of 2", epochs=5, done=2, steps=4) as screen:
        screen.step(1, {"loss": 2.0})
        screen.epoch_done(LINE, "NDCG@10", better=True)
        screen.epoch_done(LINE, "AUC", better=False)
    # Two epochs are left after the first, which took ten seconds; then one.
    assert capsys.readouterr().out.splitlines() == [
        "fit epoch 3/5: NDCG@10 0.2000 (best), HR@10 0.3000, loss 1.235, norm 12, 2.0 s, "
        "at most 0:20 left",
        "fit epoch 4/5: AUC 0.9000, loss 1.235, norm 12, 2.0 s, at most 0:10 left",
    ]


def test_a_line_names_the_stages_that_nobody_has_timed_yet(monkeypatch, capsys):
    times = iter([0.0, 0.0, 10.0])
    monkeypatch.setattr(stage_screen.time, "monotonic", lambda: next(times))
    with StageScreen("fit", "stage 1 of 3", 2, 0, steps=4, then=["tune", "adapt"]) as screen:
        screen.epoch_done(LINE, "AUC", better=False)
        screen.epoch_done(LINE, "AUC", better=False)
    first, last = capsys.readouterr().out.splitlines()
    assert first.endswith("2.0 s, at most 0:10 left, then tune and adapt")
    assert last.endswith("2.0 s, then tune and adapt")


def test_a_terminal_has_a_bar(monkeypatch, capsys):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "160")
    with StageScreen("fit", "stage 2 of 2", epochs=5, done=2, steps=4) as screen:
        screen.step(1, {"loss": 2.0})
        screen._progress.refresh()
        screen.epoch_done(LINE, "AUC", better=True)
    said = capsys.readouterr().out
    assert "stage 2 of 2, fit epoch 3/5" in said
    assert "loss 2.0000" in said
    assert "fit epoch 3/5: AUC 0.9000 (best)" in said
