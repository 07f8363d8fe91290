"""Where the time of a step goes, derived by hand."""

import pytest

from launchers.benchmarking import step_phases
from tfcdr.benchmark import Phase
from tfcdr.data_source import ViewRequest
from tfcdr.stage import PeriodicStep, Stage

PLAIN = (
    Phase("forward", "compute_losses", "forward"),
    Phase("gradients", "loss_and_gradients", "backward", includes="forward"),
)
ALTERNATING = (
    Phase("critics", "critic_gradients", "critics"),
    Phase("gradients", "loss_and_gradients", "model", every=4),
)


def test_a_phase_is_shown_beyond_what_it_includes():
    times = step_phases.times(PLAIN, {"step": 10.0, "forward": 3.0, "gradients": 8.0})
    assert times == {"forward": 3.0, "backward": 5.0, "update": 2.0}
    assert list(times) == ["forward", "backward", "update"]


def test_a_phase_of_some_batches_is_shown_whole_and_counts_in_part():
    times = step_phases.times(ALTERNATING, {"step": 10.0, "critics": 6.0, "gradients": 8.0})
    assert times == {"critics": 6.0, "model, 1/4 of": 8.0, "updates": 2.0}


def test_what_a_step_takes_in_the_mean():
    assert step_phases.per_step(PLAIN, {"gradients": 8.0}) == 8.0
    assert step_phases.per_step(ALTERNATING, {"critics": 6.0, "gradients": 8.0}) == 8.0


@pytest.mark.parametrize(("every", "batches"), [((1, 1), 1), ((1, 5), 5), ((4, 6), 12)])
def test_work_starts_over_when_all_phases_do(every, batches):
    phases = [Phase(str(number), "method", "label", times) for number, times in enumerate(every)]
    assert step_phases.cycle(phases) == batches


def test_a_periodic_step_counts_in_part_and_is_done_beside_the_train_step():
    view = ViewRequest("next_item", {})
    stage = Stage(
        name="train",
        training=view,
        evaluation=view,
        batch_size=8,
        epochs=1,
        patience=1,
        periodic_steps=(PeriodicStep("outer", every=10, feeds={}),),
    )
    phases = step_phases.with_periodic_steps(PLAIN, stage)
    assert step_phases.cycle(phases) == 10
    measured = {"step": 10.0, "forward": 3.0, "gradients": 5.0, "outer": 30.0}
    assert step_phases.times(phases, measured) == {
        "forward": 3.0,
        "backward": 2.0,
        "outer, 1/10 of": 30.0,
        "updates": 2.0,
    }
