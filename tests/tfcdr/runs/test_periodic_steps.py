"""Steps with batches of their own: when they come, what they read, and that a resume repeats it."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tests.tfcdr.runs.test_stage_run import STAGE, USERS, VIEW, Mean, Numbers, lines, nearness
from tfcdr import optimizers
from tfcdr.distribution.one_device import Distribution
from tfcdr.errors import RunError
from tfcdr.runs import periodic_steps
from tfcdr.runs.run_folder import RunFolder
from tfcdr.runs.stage_run import StageRun
from tfcdr.stage import Feed, PeriodicStep
from tfcdr.stage_model import MODEL_OPTIMIZER, StepReport

OUTER = "outer"
# USERS are 7: passes of the stage have 3 steps of 3, those of the feeds 4 batches of 2.
FEEDS = {
    "development": Feed(VIEW, batch_size=2, batches=3, shuffled=False),
    "from_the_start": Feed(VIEW, batch_size=2, batches=2, shuffled=False, restarts=True),
    "fresh": Feed(VIEW, batch_size=2, shuffled=True, restarts=True),
}
STEP = PeriodicStep(OUTER, every=2, feeds=FEEDS, first_epoch=1)
BILEVEL = dataclasses.replace(STAGE, epochs=4, periodic_steps=(STEP,))


class Bilevel(Mean):
    """Moves its vector in an outer step, by an optimizer of its own."""

    def __init__(self):
        super().__init__()
        self.seen = []

    @property
    def loss_variables(self):
        return [self.center]

    def optimizer_variables(self):
        return {MODEL_OPTIMIZER: [self.center], OUTER: [self.vector]}

    def apply_gradients(self, gradients):
        self.optimizer.apply_gradients(zip(gradients, self.loss_variables, strict=True))

    def periodic_step(self, name, feeds):
        assert name == OUTER
        with tf.GradientTape() as tape:
            errors = tf.square(feeds["development"]["number"] - self.vector[0])
            loss = tf.reduce_mean(errors)
        gradient = tape.gradient(loss, self.vector)
        self.optimizers[OUTER].apply_gradients([(gradient, self.vector)])
        return StepReport({"loss": loss}, {"first": feeds["from_the_start"]["number"][0, 0]})


def bilevel(folder, stage=BILEVEL, jit_compile=False, data=None, read_losses_every=2):
    model = Bilevel()
    named = {MODEL_OPTIMIZER: optimizers.adam(0.1), OUTER: optimizers.pytorch_adam(0.05, l2=0.1)}
    model.compile(named, jit_compile=jit_compile)
    return StageRun(
        stage,
        model,
        data or Numbers(),
        folder,
        5,
        "score",
        read_losses_every=read_losses_every,
    )


def claimed(path):
    folder = RunFolder(path)
    folder.claim({})
    return folder


class Recording(Numbers):
    """Notes the numbers of every batch that is read without the stage's size."""

    def __init__(self):
        super().__init__()
        self.read = []

    def batches(self, view, split, *, batch_size, **options):
        if batch_size == 2:
            self.read.append((options["epoch"], options["shuffled"]))
        return super().batches(view, split, batch_size=batch_size, **options)


def test_it_comes_every_so_many_steps_of_the_stage_from_its_epoch_on():
    due = [step for step in range(1, 13) if STEP.is_due(step, steps_in_epoch=3)]
    assert due == [4, 6, 8, 10, 12]
    assert [STEP.times_before(step - 1, steps_in_epoch=3) for step in due] == [0, 1, 2, 3, 4]


def test_what_each_feed_gives_by_hand(tmp_path):
    run = bilevel(claimed(tmp_path))
    (outer,) = run._periodic_steps.runs
    ordered = np.append(np.arange(1.0, USERS + 1), 0)  # rows of zeros fill the last batch up
    for times in range(4):
        # The numbers come in order, pass behind pass of four batches.
        places = np.arange(3 * times, 3 * times + 3) % 4
        expected = ordered.reshape(4, 2)[places]
        taken = {name: feed["number"] for name, feed in outer.read(times).items()}
        np.testing.assert_array_equal(taken["development"], expected)
        np.testing.assert_array_equal(taken["from_the_start"], [[1, 2], [3, 4]])
        order = np.random.default_rng([5, times]).permutation(USERS)
        np.testing.assert_array_equal(taken["fresh"], [ordered[order[:2]]])


def test_a_feed_that_is_asked_for_a_later_time_first_gives_the_same(tmp_path):
    first, second = (bilevel(claimed(tmp_path / name)) for name in ("a", "b"))
    runs = [run._periodic_steps.runs[0] for run in (first, second)]
    for times in range(6):
        whole = runs[0].read(times)["development"]
    np.testing.assert_array_equal(runs[1].read(5)["development"]["number"], whole["number"])


def outcome(folder, run):
    state = [variable.numpy() for o in run.model.optimizers.values() for variable in o.variables]
    return lines(folder), run.model.get_weights(), state


@pytest.fixture(autouse=True)
def _few_passes_at_once(monkeypatch):
    # Each is a data set of its own here, and one that begins where the three end is read, too.
    monkeypatch.setattr(periodic_steps, "_PASSES_AT_ONCE", 3)


@pytest.mark.parametrize("epochs", [1, 2, 3])
def test_a_resumed_run_reads_on_in_its_place_with_both_optimizers(tmp_path, jit_compile, epochs):
    whole_folder, folder = claimed(tmp_path / "whole"), claimed(tmp_path / "resumed")
    whole = bilevel(whole_folder, jit_compile=jit_compile)
    whole.train(nearness)
    first = dataclasses.replace(BILEVEL, epochs=epochs)
    bilevel(folder, first, jit_compile).train(nearness)
    resumed = bilevel(folder, jit_compile=jit_compile)
    resumed.train(nearness)
    expected, found = outcome(whole_folder, whole), outcome(folder, resumed)
    assert found[0] == expected[0]
    for part in (1, 2):
        for one, other in zip(found[part], expected[part], strict=True):
            np.testing.assert_array_equal(one, other)
    assert int(resumed.model.optimizers[MODEL_OPTIMIZER].iterations) == 12
    assert int(resumed.model.optimizers[OUTER].iterations) == 5


def test_its_report_is_kept_as_figures(tmp_path):
    folder = claimed(tmp_path)
    bilevel(folder).train(nearness)
    figures = [line["figures"] for line in folder.epochs("fit")]
    assert figures[0] == {}  # it begins in the second epoch
    for of_epoch in figures[1:]:
        assert set(of_epoch) == {"outer/loss", "outer/first"}
        assert of_epoch["outer/first"] == 1.0


@pytest.mark.parametrize("read_losses_every", [1, 2, 100])
def test_every_epoch_has_one_line_whoever_reads_the_last_loss(tmp_path, capsys, read_losses_every):
    # In epochs 2 and 4 the outer step comes behind the last step, and reads what is left.
    bilevel(claimed(tmp_path), read_losses_every=read_losses_every).train(nearness)
    ends = [line for line in capsys.readouterr().out.splitlines() if line.startswith("fit epoch ")]
    assert len(ends) == 4
    assert all(", loss " in line for line in ends)


def test_feeds_are_read_in_the_order_that_they_ask_for(tmp_path):
    data = Recording()
    bilevel(claimed(tmp_path), data=data).train(nearness)
    # Fixed order: passes 0 to 3 of the feed that goes on, three asked for at once, and one pass
    # kept of the other; a pass of its own for each of the five times that shuffles.
    assert sorted(pass_ for pass_, shuffled in data.read if shuffled) == [0, 1, 2, 3, 4]
    assert sorted(pass_ for pass_, shuffled in data.read if not shuffled) == [0, *range(6)]


class Exploding(Bilevel):
    def periodic_step(self, name, feeds):
        return StepReport({"loss": tf.constant(np.inf)}, {})


def test_a_periodic_loss_that_is_not_finite_is_named(tmp_path):
    model = Exploding()
    named = {name: optimizers.adam(0.1) for name in (MODEL_OPTIMIZER, OUTER)}
    model.compile(named)
    run = StageRun(BILEVEL, model, Numbers(), claimed(tmp_path), 5, "score")
    with pytest.raises(RunError, match="epoch 2, step 1, outer behind it: the loss is not finite"):
        run.train(nearness)


def test_several_devices_refuse_it_before_any_work():
    several = Distribution()
    several.num_replicas, several.name = 3, "mirrored"
    several.check_stage(STAGE)
    with pytest.raises(RunError, match=r"mirrored cannot share its steps \(outer\)"):
        several.check_stage(BILEVEL)
