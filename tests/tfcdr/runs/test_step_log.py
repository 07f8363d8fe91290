"""Reports that are read every so many steps: means, order, the first step that went astray."""

import numpy as np
import pytest
import tensorflow as tf

from tfcdr.runs.step_log import NonFiniteLossError, StepLog
from tfcdr.stage_model import StepReport


def report(loss, **figures):
    constants = {name: tf.constant(float(value)) for name, value in figures.items()}
    return StepReport({"loss": tf.constant(float(loss))}, constants)


@pytest.mark.parametrize("read_every", [1, 3, 100])
def test_means_do_not_depend_on_when_reports_are_read(read_every):
    log = StepLog(batch_size=2, read_every=read_every)
    values = np.random.default_rng(0).normal(size=10).astype(np.float32)
    for value in values:
        log.add(report(value, norm=2 * value))
    log.read()
    assert log.losses == {"loss": np.sum(values.astype(np.float64)) / 10}
    assert log.figures["norm"] == pytest.approx(2 * log.losses["loss"])


def test_the_first_step_and_then_every_so_many_are_read():
    log = StepLog(batch_size=2, read_every=3)
    read = [log.add(report(step)) for step in range(8)]
    # The first may compile; the steady state is timed from there.
    assert read == [True, False, False, True, False, False, True, False]
    assert log.latest == {"loss": np.mean([4, 5, 6])}
    assert log.read()
    assert not log.read()
    assert log.latest == {"loss": 7.0}


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("read_every", [1, 4, 100])
def test_the_first_loss_that_is_not_finite_names_its_step(read_every, bad):
    log = StepLog(batch_size=2, read_every=read_every)
    with pytest.raises(NonFiniteLossError) as raised:
        for step in range(10):
            log.add(report(bad if step >= 5 else 1.0))
        log.read()
    assert raised.value.step == 5
    assert not raised.value.periodic


def test_periodic_reports_are_figures_over_their_own_times():
    log = StepLog(batch_size=2, read_every=100)
    for step in range(4):
        log.add(report(step, weight=step))
        if step % 2:
            log.add_periodic("outer", StepReport({"loss": tf.constant(8.0 * step)}, {}))
    log.read()
    assert log.losses == {"loss": 1.5}
    assert log.figures == {"weight": 1.5, "outer/loss": 16.0}
    assert log.latest["outer/loss"] == 24.0
    with pytest.raises(NonFiniteLossError) as raised:
        log.add_periodic("outer", StepReport({"loss": tf.constant(np.nan)}, {}))
    assert (raised.value.step, raised.value.periodic) == (3, "outer")
