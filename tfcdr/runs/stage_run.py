"""Trains one stage: epochs, validation, best and latest checkpoints, early stopping, resume."""

import pathlib
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from tfcdr.data_source import DataSource, check_batch
from tfcdr.distribution.one_device import ONE_DEVICE, Distribution
from tfcdr.errors import RunError
from tfcdr.runs.run_folder import RunFolder
from tfcdr.stage import Stage
from tfcdr.stage_model import StageModel

Validate = Callable[[StageModel], dict[str, float]]


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
        """
        self.stage = stage
        self.model = model
        self._data = data
        self._folder = folder
        self._seed = seed
        self._monitor = monitor
        self._distribution = distribution
        self._step = distribution.make_step(model)
        self._epoch = tf.Variable(0, dtype=tf.int64, trainable=False, name="epoch")
        self._epochs: list[dict[str, Any]] = []  # what metrics.jsonl holds of this stage
        with distribution.scope():
            model.build_optimizers()
        state = tf.train.Checkpoint(model=model, optimizer=model.optimizer, epoch=self._epoch)
        self._latest = _manager(state, folder.checkpoints(stage.name, "latest"))
        self._best = _manager(
            tf.train.Checkpoint(model=model), folder.checkpoints(stage.name, "best")
        )

    def train(self, validate: Validate) -> None:
        """Trains to the end of the stage and restores its best epoch.

        Raises:
          RunError: batches that do not fit the model, a loss that is not finite, or a checkpoint
            that does not fit.
        """
        _restore(self._latest, self._distribution)
        done = int(self._epoch)
        self._epochs = [
            line for line in self._folder.epochs(self.stage.name) if line["epoch"] <= done
        ]
        self._folder.forget_epochs(self.stage.name, done)
        writer = tf.summary.create_noop_writer()
        if self._folder.writable:
            writer = tf.summary.create_file_writer(self._folder.tensorboard(self.stage.name))
        with writer.as_default():
            while int(self._epoch) < self.stage.epochs and not self._is_stale():
                self._train_epoch(validate)
        writer.close()
        self._distribution.barrier()  # The chief has written its best epoch.
        self.restore_best()

    def restore_best(self) -> None:
        """Loads the weights of the best epoch.

        Raises:
          RunError: there is none, or it has other shapes.
        """
        if not tf.train.latest_checkpoint(self._best.directory):
            raise RunError(
                f"{self._best.directory}: no checkpoint of stage {self.stage.name}; train first."
            )
        _restore(self._best, self._distribution)

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
        return self._score_of(epoch["validation"])

    def _score_of(self, validation: dict[str, float]) -> float:
        score = validation[self._monitor]
        return score if np.isfinite(score) else -np.inf

    def _is_stale(self) -> bool:
        """Whether the last `patience` epochs brought nothing better (strictly)."""
        scores = [self._score(epoch) for epoch in self._epochs]
        return bool(scores) and len(scores) - 1 - int(np.argmax(scores)) >= self.stage.patience

    def _train_epoch(self, validate: Validate) -> None:
        epoch = int(self._epoch)
        started = time.monotonic()
        figures = self._train_steps(epoch)
        self._refuse_non_finite_weights(epoch)
        validation = validate(self.model)
        score, scores = self._score_of(validation), map(self._score, self._epochs)
        better = not self._epochs or score > max(scores)
        if better:
            self._save(self._best, epoch + 1)
        for name, value in {**figures.means, **validation}.items():
            tf.summary.scalar(name, value, step=epoch + 1)
        line = {
            "stage": self.stage.name,
            "epoch": epoch + 1,
            **figures.means,
            "validation": validation,
            "seconds": round(time.monotonic() - started, 3),
            "examples_per_second": round(figures.examples_per_second, 1),
        }
        self._epochs.append(line)
        self._folder.add_epoch(line)
        self._epoch.assign_add(1)
        self._save(self._latest, epoch + 1)
        shown = f"{self._monitor} {validation[self._monitor]:.4f}"
        print(f"{self.stage.name} epoch {epoch + 1}: {shown}{' (best)' if better else ''}")

    def _train_steps(self, epoch: int) -> "_EpochFigures":
        """Makes every step of an epoch."""
        size = self.stage.batch_size
        steps = -(-self.stage.training.num_examples(self._data, "train") // size)
        batches = self._batches(epoch, self._distribution.rows(size))
        check_batch(batches.element_spec, self.model.batch_spec, self.model.name)
        print(f"Epoch {epoch + 1}/{self.stage.epochs}")
        # A moving bar with ETA for a person, one line an epoch for a log file.
        bar = tf.keras.utils.Progbar(
            steps, verbose=1 if sys.stdout.isatty() else 2, unit_name="step"
        )
        figures = _EpochFigures(size)
        for index, batch in enumerate(self._distribution.distribute(batches)):
            losses = {name: float(loss) for name, loss in self._step(batch).items()}
            if not np.isfinite(losses["loss"]):
                self._refuse_non_finite(epoch, index)
            figures.add(losses)
            bar.update(index + 1, losses.items())
        return figures

    def _batches(self, epoch: int, rows: tuple[int, int] | None = None) -> tf.data.Dataset:
        return self.stage.training.batches(
            self._data, "train", self.stage.batch_size, self._seed, epoch, rows
        )

    def _save(self, manager: tf.train.CheckpointManager, number: int) -> None:
        # Every variable is whole in the chief, so that the others have no part in saving.
        if self._folder.writable:
            manager.save(number, options=self._distribution.checkpoint_options)

    def _refuse_non_finite(self, epoch: int, step: int) -> None:
        """Reads the failed batch again, which the seed repeats, and names its users if it has any.

        Impressions have none.
        """
        batch = next(iter(self._batches(epoch).skip(step).take(1)))
        users = [int(user) for user in batch.get("user", ()) if user > 0]
        shown = ", ".join(map(str, users[:20])) + (", ..." if len(users) > 20 else "")
        raise RunError(
            f"stage {self.stage.name}, epoch {epoch + 1}, step {step + 1}: the loss "
            "is not finite; lower the learning rate. "
            + (f"User ids of the batch: {shown}. " if users else "")
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


class _EpochFigures:
    """Averages an epoch's losses over its steps and takes the time.

    Attributes:
      means: of each loss.
      examples_per_second: in the steady state; 0 after fewer than two steps.
    """

    def __init__(self, batch_size: int) -> None:
        self.means: dict[str, float] = {}
        self.examples_per_second = 0.0
        self._batch_size = batch_size
        self._steps = 0

    def add(self, losses: dict[str, float]) -> None:
        """Counts one more step, which ends now."""
        self._steps += 1
        for name, value in losses.items():
            mean = self.means.get(name, 0.0)
            self.means[name] = mean + (value - mean) / self._steps
        now = time.monotonic()
        if self._steps == 1:
            # The first step may compile: the steady state begins behind it.
            self._steady_since = now
        elif now > self._steady_since:
            examples = (self._steps - 1) * self._batch_size
            self.examples_per_second = examples / (now - self._steady_since)


def _manager(checkpoint: tf.train.Checkpoint, directory: str) -> tf.train.CheckpointManager:
    return tf.train.CheckpointManager(checkpoint, directory, max_to_keep=1)


def _restore(manager: tf.train.CheckpointManager, distribution: Distribution) -> None:
    """Restores the newest checkpoint, if there is one.

    Raises:
      RunError: it does not fit the model.
    """
    path = tf.train.latest_checkpoint(manager.directory)  # another process may have written it
    if not path:
        state = pathlib.Path(manager.directory, "checkpoint")
        if state.exists():  # TensorFlow takes an unreadable one for none
            raise RunError(f"{state}: damaged, so that no checkpoint is found; delete the run.")
        return
    try:
        status = manager.checkpoint.restore(path, options=distribution.checkpoint_options)
        # What the checkpoint holds besides, such as the optimizer, is not missed.
        status.expect_partial().assert_existing_objects_matched()
    # A truncated file is an IndexError.
    except (ValueError, AssertionError, LookupError, tf.errors.OpError) as error:
        # TensorFlow would also list, one by one, the values that it could not place.
        tf.get_logger().addFilter(lambda record: "checkpoint" not in record.getMessage().lower())
        reason = str(error).splitlines()[0]
        raise RunError(
            f"{path}: the checkpoint does not fit the model ({reason}); it is damaged, or of "
            "another configuration."
        ) from error
