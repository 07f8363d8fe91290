"""What the steps of an epoch report, read from the device every so many steps."""

import time
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from tfcdr.stage_model import StepReport

# Steps between two readings of the losses: a device of some milliseconds a step then waits for
# the program a few times in a second.
READ_LOSSES_EVERY = 20


class NonFiniteLossError(Exception):
    """A step's loss is not finite.

    Attributes:
      step: the train step's number within the epoch, from 0.
      periodic: the name of the periodic step behind it whose loss it is; empty for its own.
    """

    def __init__(self, step: int, periodic: str = "") -> None:
        super().__init__(f"A loss of step {step} is not finite.")
        self.step = step
        self.periodic = periodic


class _Means:
    """Means of numbers by name, each over the times that it came."""

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self._counts: dict[str, int] = {}

    def add(self, values: Mapping[str, np.ndarray]) -> None:
        for name, of_steps in values.items():
            # The sum of each epoch is taken in the order of its steps, however they are read.
            for value in of_steps.astype(np.float64):
                self._sums[name] = self._sums.get(name, 0.0) + float(value)
            self._counts[name] = self._counts.get(name, 0) + len(of_steps)

    def by_name(self) -> dict[str, float]:
        return {name: total / self._counts[name] for name, total in self._sums.items()}


class StepLog:
    """Averages an epoch's reports over its steps and takes the time.

    Reports stay on the device until so many have come: a program that reads a loss behind each
    step makes a GPU wait for the program. None is lost, so that the first step whose loss is not
    finite is known all the same.

    Attributes:
      examples_per_second: in the steady state; 0 after fewer than two steps.
    """

    def __init__(self, batch_size: int, read_every: int) -> None:
        """Starts an epoch.

        Args:
          batch_size: examples of a step.
          read_every: steps between two readings.
        """
        self.examples_per_second = 0.0
        self._batch_size = batch_size
        self._read_every = read_every
        self._pending: list[StepReport] = []
        self._steps = 0
        self._losses, self._figures = _Means(), _Means()
        self._latest: dict[str, float] = {}
        self._latest_periodic: dict[str, float] = {}

    @property
    def latest(self) -> dict[str, float]:
        """Means over the steps that were read last, and the last report of each periodic step."""
        return {**self._latest, **self._latest_periodic}

    @property
    def losses(self) -> dict[str, float]:
        """Means of each loss over the steps that were read."""
        return self._losses.by_name()

    @property
    def figures(self) -> dict[str, float]:
        """Means of each figure over the steps that were read."""
        return self._figures.by_name()

    def add(self, report: StepReport) -> bool:
        """Counts one more train step; returns whether the reports have been read.

        Raises:
          NonFiniteLossError: one of the steps since the last reading has a loss that is not finite.
        """
        self._pending.append(report)
        # The first step may compile: the steady state begins behind it.
        if len(self._pending) < self._read_every and self._steps:
            return False
        return self.read()

    def read(self) -> bool:
        """Reads what is left, if anything is, and returns whether; waits for the device.

        Raises:
          NonFiniteLossError: as `add`.
        """
        if not self._pending:
            return False
        reports, self._pending = self._pending, []
        losses, figures = _on_host(reports)
        (gone_astray,) = np.nonzero(~np.isfinite(losses["loss"]))
        if len(gone_astray):
            raise NonFiniteLossError(self._steps + int(gone_astray[0]))
        self._losses.add(losses)
        self._figures.add(figures)
        self._latest = {name: float(np.mean(of)) for name, of in {**losses, **figures}.items()}
        self._steps += len(reports)
        now = time.monotonic()
        if self._steps == 1:
            self._steady_since = now
        elif now > self._steady_since:
            examples = (self._steps - 1) * self._batch_size
            self.examples_per_second = examples / (now - self._steady_since)
        return True

    def add_periodic(self, name: str, report: StepReport) -> None:
        """Takes the report of a periodic step among the figures, as `name`/...; reads it at once.

        Raises:
          NonFiniteLossError: one of its losses is not finite; it came behind that step.
        """
        self.read()
        losses, figures = _on_host([report])
        if not all(np.isfinite(values).all() for values in losses.values()):
            raise NonFiniteLossError(self._steps - 1, name)
        named = {f"{name}/{key}": of for key, of in {**losses, **figures}.items()}
        self._figures.add(named)
        self._latest_periodic |= {key: float(of[0]) for key, of in named.items()}


def _on_host(reports: list[StepReport]) -> StepReport:
    """Returns the reports' numbers, [steps] each."""
    return tf.nest.map_structure(lambda *values: np.asarray(tf.stack(values)), *reports)
