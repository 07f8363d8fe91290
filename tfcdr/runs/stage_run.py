"""Trains one stage: epochs, validation, best and latest checkpoints, early stopping, resume."""

import itertools
import pathlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfcdr.data_source import DataSource, check_batch
from tfcdr.distribution.one_device import ONE_DEVICE, Distribution
from tfcdr.errors import RunError
from tfcdr.fitted_model import FittedModel
from tfcdr.runs import checkpoints
from tfcdr.runs.periodic_steps import PeriodicSteps
from tfcdr.runs.run_folder import RunFolder
from tfcdr.runs.stage_screen import StageScreen
from tfcdr.runs.state_files import naming_unwritable
from tfcdr.runs.step_log import READ_LOSSES_EVERY, NonFiniteLossError, StepLog
from tfcdr.stage import Stage
from tfcdr.stage_model import StageModel

_USERS_NAMED = 20

Validate = Callable[[StageModel], dict[str, float]]
# Called behind every epoch, once it is written.
Watch = Callable[[], None]


def unwatched() -> None:
    """A `Watch` that does nothing."""


def is_over(stage: Stage, epochs: Sequence[Mapping[str, Any]], monitor: str) -> bool:
    """Whether a stage has made all its epochs, or its last `patience` ones brought nothing better.

    Args:
      stage: how long it trains.
      epochs: its finished ones, as metrics.jsonl has them, oldest first.
      monitor: the validation metric that is to rise, strictly.
    """
    scores = [_score(epoch, monitor) for epoch in epochs]
    stale = bool(scores) and len(scores) - 1 - int(np.argmax(scores)) >= stage.patience
    return stale or len(scores) >= stage.epochs


def _score(epoch: Mapping[str, Any], monitor: str) -> float:
    score = epoch["validation"].get(monitor)
    # What is not finite is null in metrics.jsonl, and so in a resumed run.
    return -np.inf if score is None or not np.isfinite(score) else score


class StageRun:
    """One stage of a run, resumable after every epoch.

    An epoch is written in this order: the best checkpoint if it is one, the line in
    metrics.jsonl, the latest checkpoint. What a killed run wrote beyond its latest checkpoint is
    done again, with the same outcome.
    """

    def __init__(
        self,
        stage: Stage,
        model: StageModel,
        data: DataSource,
        folder: RunFolder,
        seed: int,
        monitor: str,
        distribution: Distribution = ONE_DEVICE,
        read_losses_every: int = READ_LOSSES_EVERY,
        place: str = "",
        then: Sequence[str] = (),
    ) -> None:
        """Creates the run of a stage.

        Args:
          stage: what to train on and how long.
          model: compiled, with every variable created, in the scope of the distribution.
          data: gives the batches.
          folder: where checkpoints and metrics go.
          seed: of the batches.
          monitor: the validation metric that selects the best epoch.
          distribution: the devices and processes that share each batch.
          read_losses_every: steps between two readings of the losses; see `StepLog`.
          place: of the stage among others, as in "stage 1 of 2".
          then: names of the stages that follow.
        """
        self.stage = stage
        self._place, self._then = place, then
        self.model = model
        self._data = data
        self._folder = folder
        self._seed = seed
        self._monitor = monitor
        self._distribution = distribution
        self._read_losses_every = read_losses_every
        self._step = distribution.make_step(model)
        self._periodic_steps = PeriodicSteps(stage, model, data, seed)
        self._epoch = tf.Variable(0, dtype=tf.int64, trainable=False, name="epoch")
        self._epochs: list[dict[str, Any]] = []  # what metrics.jsonl holds of this stage
        with distribution.scope():
            model.build_optimizers()
        self._latest = checkpoints.make_manager(
            folder.checkpoints(stage.name, "latest"),
            model=model,
            optimizers=tf.train.Checkpoint(**model.optimizers),
            epoch=self._epoch,
        )
        self._best = checkpoints.make_manager(folder.checkpoints(stage.name, "best"), model=model)

    def train(self, validate: Validate, watch: Watch = unwatched) -> None:
        """Trains to the end of the stage and restores its best epoch.

        Args:
          validate: scores the model.
          watch: is called behind every epoch; what it raises ends the training, which can be
            resumed there.

        Raises:
          RunError: batches that do not fit the model, a loss that is not finite, or a checkpoint
            that does not fit.
        """
        checkpoints.restore(self._latest, self._distribution)
        done = int(self._epoch)
        self._folder.check_epochs(self.stage.name, done)
        self._epochs = [
            line for line in self._folder.epochs(self.stage.name) if line["epoch"] <= done
        ]
        self._folder.forget_epochs(self.stage.name, done)
        writer = tf.summary.create_noop_writer()
        if self._folder.writable:
            where = self._folder.tensorboard(self.stage.name)
            with naming_unwritable(where):
                writer = tf.summary.create_file_writer(where)
        batches: Iterator[Any] = iter(())  # What is fitted as a whole reads none.
        reads = not isinstance(self.model, FittedModel)
        screen = StageScreen(
            self.stage.name,
            self._place,
            self.stage.epochs,
            int(self._epoch),
            self._steps(),
            self._then,
        )
        with writer.as_default(), screen:
            while not is_over(self.stage, self._epochs, self._monitor):
                if reads:
                    batches, reads = self._read_from(int(self._epoch)), False
                self._train_epoch(batches, validate, screen)
                watch()
        with naming_unwritable(self._folder.tensorboard(self.stage.name)):
            writer.close()
        self._distribution.barrier()  # The chief has written its best epoch.
        self.restore_best()

    def restore_best(self) -> None:
        """Loads the weights of the best epoch.

        Raises:
          RunError: there is none, or it has other shapes.
        """
        if not checkpoints.restore(self._best, self._distribution):
            of_stage = pathlib.Path(self._best.directory).parent
            remedy = f"remove {of_stage} and train the stage again"
            raise RunError(
                f"{self._best.directory}: no checkpoint of stage {self.stage.name}; "
                f"{remedy if of_stage.exists() else 'train first'}."
            )

    def summary(self) -> dict[str, Any]:
        """Returns epochs, best epoch, seconds and steady-state examples per second; trained."""
        epochs = self._epochs
        best = max(epochs, key=self._score)
        rates = [epoch["examples_per_second"] for epoch in epochs]
        return {
            "epochs": len(epochs),
            "best_epoch": best["epoch"],
            "validation": best["validation"],
            "seconds": round(sum(epoch["seconds"] for epoch in epochs), 2),
            "examples_per_second": round(float(np.median(rates)), 1),
        }

    def _score(self, epoch: dict[str, Any]) -> float:
        return _score(epoch, self._monitor)

    def _steps(self) -> int:
        """Returns the train steps of an epoch; 1 for a model that is fitted as a whole."""
        if isinstance(self.model, FittedModel):
            return 1
        examples = self.stage.steps_read.num_examples(self._data, "train")
        return -(-examples // self.stage.batch_size)

    def _train_epoch(self, batches: Iterator[Any], validate: Validate, screen: StageScreen) -> None:
        epoch = int(self._epoch)
        started = time.monotonic()
        if isinstance(self.model, FittedModel):
            log = StepLog(self.stage.batch_size, self._read_losses_every)
            scores = list(map(self._score, self._epochs))
            figures = self.model.fit_epoch(self._data, epoch, scores)
        else:
            log = self._train_steps(epoch, batches, screen)
            figures = {**log.figures, **self.model.epoch_figures()}
        self._refuse_non_finite_weights(epoch)
        validation = validate(self.model)
        line = {
            "stage": self.stage.name,
            "epoch": epoch + 1,
            **log.losses,
            "figures": figures,
            "validation": validation,
            "seconds": round(time.monotonic() - started, 3),
            "examples_per_second": round(log.examples_per_second, 1),
        }
        better = not self._epochs or self._score(line) > max(map(self._score, self._epochs))
        if better:
            self._save(self._best, epoch + 1)
        with naming_unwritable(self._folder.tensorboard(self.stage.name)):
            for name, value in {**log.losses, **figures, **validation}.items():
                tf.summary.scalar(name, value, step=epoch + 1)
        self._epochs.append(line)
        self._folder.add_epoch(line)
        self._epoch.assign_add(1)
        self._save(self._latest, epoch + 1)
        screen.epoch_done(line, self._monitor, better)

    def _train_steps(self, epoch: int, batches: Iterator[Any], screen: StageScreen) -> StepLog:
        """Makes every step of an epoch.

        Raises:
          RunError: see `train`.
        """
        steps = self._steps()
        log = StepLog(self.stage.batch_size, self._read_losses_every)
        try:
            for step, batch in enumerate(itertools.islice(batches, steps), start=1):
                if log.add(self._step(batch)):
                    screen.step(step, log.latest)
                self._periodic_steps.behind(epoch * steps + step, steps, log)
            log.read()
        except NonFiniteLossError as error:
            raise self._non_finite_loss(epoch, error) from error
        return log

    def _read_from(self, epoch: int) -> Iterator[Any]:
        """Returns the batches of this epoch and of all that follow, one behind the other."""
        size = self.stage.batch_size
        batches = self.stage.steps_read.epochs(
            self._data,
            "train",
            size,
            self._seed,
            range(epoch, self.stage.epochs),
            self._distribution.rows(size),
        )
        check_batch(batches.element_spec, self.model.batch_spec, self.model.name)
        return iter(self._distribution.distribute(batches))

    def _save(self, manager: tf.train.CheckpointManager, number: int) -> None:
        # Every variable is whole in the chief, so that the others have no part in saving.
        if self._folder.writable:
            with naming_unwritable(manager.directory):
                manager.save(number, options=self._distribution.checkpoint_options)

    def _non_finite_loss(self, epoch: int, error: NonFiniteLossError) -> RunError:
        """Reads the failed batch again, which the seed repeats, and names its users if it has any.

        Impressions have none, and batches of a periodic step are others.
        """
        where = f"stage {self.stage.name}, epoch {epoch + 1}, step {error.step + 1}"
        users = []
        if error.periodic:
            where += f", {error.periodic} behind it"
        else:
            batches = self.stage.steps_read.batches(
                self._data, "train", self.stage.batch_size, self._seed, epoch
            )
            batch = next(iter(batches.skip(error.step).take(1)))
            users = [int(user) for user in batch.get("user", ()) if user > 0]
        names = self._data.user_names(users[:_USERS_NAMED])
        shown = ", ".join(names) + (", ..." if len(users) > _USERS_NAMED else "")
        return RunError(
            f"{where}: the loss is not finite; lower the learning rate. "
            + (f"Users of the batch: {shown}. " if users else "")
            + "The last good checkpoint is kept."
        )

    def _refuse_non_finite_weights(self, epoch: int) -> None:
        """Refuses what no loss shows: a last step, or a row not read since, gone astray."""
        for variable in self.model.variables:
            if variable.dtype.is_floating and not tf.reduce_all(tf.math.is_finite(variable)):
                raise RunError(
                    f"stage {self.stage.name}, epoch {epoch + 1}: the loss is finite, but variable "
                    f"{variable.name} is not; lower the learning rate. The last good checkpoint "
                    "is kept."
                )
