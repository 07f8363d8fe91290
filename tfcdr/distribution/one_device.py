"""A run in one process on one device, which is what the other strategies must agree with."""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from tfcdr.errors import RunError
from tfcdr.stage import Stage
from tfcdr.stage_model import StageModel, StepReport

# Makes one step on one element of `Distribution.distribute`; gives the global batch's report.
Step = Callable[[Any], StepReport]


class Distribution:
    """How a run is spread over devices and processes; this class: not at all.

    Every process of a run reads the records in the same order and sees the same global batches.
    Of each it parses and draws for its own rows only, which is the costly part; reading bytes is
    cheap. So the number of files limits nothing, and a run may go on with another number of
    processes.

    Attributes:
      name: the strategy's.
      num_workers: processes that read batches.
      worker: which of them this one is.
      num_replicas: devices that share a batch, in all processes.
      checkpoint_options: how the chief reads and writes checkpoints.
    """

    name = "default"
    num_workers = 1
    worker = 0
    num_replicas = 1
    checkpoint_options: tf.train.CheckpointOptions | None = None

    @property
    def is_chief(self) -> bool:
        """Whether this process writes the run's files and talks to the person."""
        return self.worker == 0

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        """Returns the context in which models and optimizers create variables."""
        return contextlib.nullcontext()

    def shared_batch_size(self, batch_size: int) -> int:
        """Returns a size of evaluation batches, rounded up so that processes can share a batch."""
        return -(-batch_size // self.num_workers) * self.num_workers

    def check_stage(self, stage: Stage) -> None:
        """Checks that these devices can train a stage.

        Raises:
          RunError: its batch size is no multiple of their number, or it is fitted or has periodic
            steps, which a single device makes.
        """
        if stage.is_fitted and self.name != "default":
            raise RunError(
                f"stage {stage.name} is fitted by one process: use --strategy=default in place of "
                f"--strategy={self.name}."
            )
        if stage.batch_size % self.num_replicas:
            raise RunError(
                f"stage {stage.name}: a batch of {stage.batch_size} examples cannot be shared by "
                f"{self.num_replicas} replicas; make the batch size a multiple of "
                f"{self.num_replicas}."
            )
        if stage.periodic_steps and self.num_replicas > 1:
            names = ", ".join(step.name for step in stage.periodic_steps)
            raise RunError(
                f"stage {stage.name}: --strategy={self.name} cannot share its steps ({names}), "
                "which a single device makes; use --strategy=default."
            )

    def rows(self, batch_size: int) -> tuple[int, int]:
        """Returns the rows [first, last) of each global batch that this process reads."""
        share = batch_size // self.num_workers
        return self.worker * share, (self.worker + 1) * share

    def distribute(self, batches: tf.data.Dataset) -> Iterable[Any]:
        """Hands batches of this process' rows out to its devices."""
        return batches

    def make_step(self, model: StageModel) -> Step:
        """Returns the function that trains on one batch."""
        return tf.function(model.train_step, autograph=False)

    def add_up(self, values: np.ndarray) -> np.ndarray:
        """Adds a float64 array of one shape up over the processes."""
        return values

    def barrier(self) -> None:
        """Waits for all processes."""

    @contextlib.contextmanager
    def chief_first(self) -> Iterator[None]:
        """A body that other processes begin when the chief has finished it."""
        if not self.is_chief:
            self.barrier()
        yield
        if self.is_chief:
            self.barrier()

    @contextlib.contextmanager
    def naming_lost_tasks(self) -> Iterator[None]:
        """A body in which the loss of another process becomes a RunError that names it."""
        yield


ONE_DEVICE = Distribution()
