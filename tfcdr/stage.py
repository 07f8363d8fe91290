"""One training run of a system: what it reads, how long it trains, what it does in between."""

import dataclasses
from collections.abc import Mapping
from typing import NamedTuple

from tfcdr.data_source import DomainPairs, ViewRequest


class Feed(NamedTuple):
    """Training batches that a periodic step reads besides the stage's own.

    Attributes:
      request: the view.
      batch_size: examples in a batch.
      batches: batches that one step takes.
      shuffled: whether each pass over the examples is in another order; if not, all are in the
        order of the records.
      restarts: whether every step begins a pass of its own; if not, it goes on where the step
        before has ended, a pass following the other.
    """

    request: ViewRequest
    batch_size: int
    batches: int = 1
    shuffled: bool = True
    restarts: bool = False


@dataclasses.dataclass(frozen=True)
class PeriodicStep:
    """A step besides the train step that comes every so many of these, with batches of its own.

    Attributes:
      name: what `StageModel.periodic_step` is told.
      every: train steps of the stage between two of them; the first comes behind that many.
      feeds: what it reads, by name.
      first_epoch: the epoch, from 0, in which the first may come.
    """

    name: str
    every: int
    feeds: Mapping[str, Feed]
    first_epoch: int = 0

    def times_before(self, steps: int, steps_in_epoch: int) -> int:
        """Returns how often it has come within so many train steps of the stage."""
        passed_over = self.first_epoch * steps_in_epoch // self.every
        return max(steps // self.every - passed_over, 0)

    def is_due(self, steps: int, steps_in_epoch: int) -> bool:
        """Whether it comes behind a train step, the stage's `steps`-th from 1."""
        return steps % self.every == 0 and steps > self.first_epoch * steps_in_epoch


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stage:
    """One training run of a system; later stages start from the best of earlier ones.

    Attributes:
      name: such as "pretrain"; names the checkpoints and the lines of `metrics.jsonl`.
      training: the view of the training batches; None where the model is a `FittedModel`.
      evaluation: the view of validation and test batches.
      batch_size: examples in a training batch.
      epochs: most passes over the training examples.
      patience: epochs without a better validation score after which the stage stops.
      periodic_steps: what comes between train steps; needs a single device.
      shared: whether it reads nothing of the target, so that all targets of the same sources can
        start from it.
      takes: models of the stage before that it starts from; if several, those of as many seeds,
        which were trained before (`PretrainedRun`).
    """

    name: str
    training: ViewRequest | DomainPairs | None
    evaluation: ViewRequest
    batch_size: int
    epochs: int
    patience: int
    periodic_steps: tuple[PeriodicStep, ...] = ()
    shared: bool = False
    takes: int = 1

    @property
    def is_fitted(self) -> bool:
        """Whether its model is fitted as a whole, without steps; see `FittedModel`."""
        return self.training is None

    @property
    def steps_read(self) -> ViewRequest | DomainPairs:
        """The view of the training batches of a stage that trains in steps.

        Raises:
          ValueError: its model is fitted as a whole.
        """
        if self.training is None:  # is_fitted, in words that a type checker follows
            raise ValueError(f"Stage {self.name} has no training batches: its model is fitted.")
        return self.training

    @property
    def feeds(self) -> list[Feed]:
        """What all of its periodic steps read."""
        return [feed for step in self.periodic_steps for feed in step.feeds.values()]
