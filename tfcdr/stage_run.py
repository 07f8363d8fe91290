"""Trains one stage: epochs, validation, best and latest checkpoints, early stopping, resume."""

import pathlib
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from tfcdr.data_source import DataSource, check_batch
from tfcdr.errors import RunError
from tfcdr.run_folder import RunFolder
from tfcdr.stage_model import StageModel
from tfcdr.system import Stage

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
    ) -> None:
        """Creates the run of a stage.

        Args:
          stage: what to train on and how long.
          model: compiled, with every variable created.
          data: gives the batches.
          folder: where checkpoints and metrics go.
          seed: of the batches.
          monitor: the validation metric that selects the best epoch.
        """
        self.stage = stage
        self.model = model
        self._data = data
        self._folder = folder
        self._seed = seed
        self._monitor = monitor
        self._epoch = tf.Variable(0, dtype=tf.int64, trainable=False, name="epoch")
        model.optimizer.build(model.trainable_variables)
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
        _restore(self._latest)
        self._folder.forget_epochs(self.stage.name, int(self._epoch))
        writer = tf.summary.create_file_writer(self._folder.tensorboard(self.stage.name))
        with writer.as_default():
            while int(self._epoch) < self.stage.epochs and not self._is_stale():
                self._train_epoch(validate)
        writer.close()
        self.restore_best()

    def restore_best(self) -> None:
        """Loads the weights of the best epoch.

        Raises:
          RunError: there is none, or it has other shapes.
        """
        if not self._best.latest_checkpoint:
            raise RunError(
                f"{self._best.directory}: no checkpoint of stage {self.stage.name}; train first."
            )
        _restore(self._best)

    def summary(self) -> dict[str, Any]:
        """Returns epochs, best epoch, seconds and steady-state examples per second."""
        epochs = self._folder.epochs(self.stage.name)
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
        score = epoch["validation"][self._monitor]
        return score if np.isfinite(score) else -np.inf

    def _is_stale(self) -> bool:
        """Whether the last `patience` epochs brought nothing better (strictly)."""
        scores = [self._score(epoch) for epoch in self._folder.epochs(self.stage.name)]
        return bool(scores) and len(scores) - 1 - int(np.argmax(scores)) >= self.stage.patience

    def _train_epoch(self, validate: Validate) -> None:
        epoch = int(self._epoch)
        started = time.monotonic()
        batches = self.stage.training.batches(
            self._data, "train", self.stage.batch_size, self._seed, epoch
        )
        check_batch(batches.element_spec, self.model.batch_spec, self.model.name)
        log = _EpochLog(self.stage, epoch)
        steps = -(
            -self._data.num_examples(self.stage.training.view, "train") // self.stage.batch_size
        )
        self.model.fit(
            batches,
            initial_epoch=epoch,
            epochs=self.stage.epochs,
            steps_per_epoch=steps,
            callbacks=[log],
            # A moving bar with ETA for a person, one line an epoch for a log file.
            verbose=1 if sys.stdout.isatty() else 2,
        )
        if log.failed_step is not None:
            self._refuse_non_finite(batches, log)
        self._refuse_non_finite_weights(epoch)
        validation = validate(self.model)
        better = not self._folder.epochs(self.stage.name) or validation[self._monitor] > max(
            map(self._score, self._folder.epochs(self.stage.name))
        )
        if better:
            self._best.save(epoch + 1)
        for name, value in {**log.means, **validation}.items():
            tf.summary.scalar(name, value, step=epoch + 1)
        self._folder.add_epoch(
            {
                "stage": self.stage.name,
                "epoch": epoch + 1,
                **log.means,
                "validation": validation,
                "seconds": round(time.monotonic() - started, 3),
                "examples_per_second": round(log.examples_per_second, 1),
            }
        )
        self._epoch.assign_add(1)
        self._latest.save(epoch + 1)
        score = f"{self._monitor} {validation[self._monitor]:.4f}"
        print(f"{self.stage.name} epoch {epoch + 1}: {score}{' (best)' if better else ''}")

    def _refuse_non_finite(self, batches: tf.data.Dataset, log: "_EpochLog") -> None:
        """Reads the failed batch again, which the seed repeats, and names its users."""
        batch = next(iter(batches.skip(log.failed_step).take(1)))
        users = [int(user) for user in batch["user"] if user > 0]
        shown = ", ".join(map(str, users[:20])) + (", ..." if len(users) > 20 else "")
        raise RunError(
            f"stage {self.stage.name}, epoch {log.epoch + 1}, step {log.failed_step + 1}: the loss "
            f"is not finite; lower the learning rate. User ids of the batch: {shown}. The last "
            "good checkpoint is kept."
        )

    def _refuse_non_finite_weights(self, epoch: int) -> None:
        """Refuses what no loss shows: a last step, or a row not read since, gone astray."""
        for variable in self.model.trainable_variables:
            if not tf.reduce_all(tf.math.is_finite(variable)):
                raise RunError(
                    f"stage {self.stage.name}, epoch {epoch + 1}: the loss is finite, but variable "
                    f"{variable.name} is not; lower the learning rate. The last good checkpoint "
                    "is kept."
                )


class _EpochLog(tf.keras.callbacks.Callback):
    """Ends `fit` after one epoch or at a loss that is not finite; averages losses, takes time."""

    def __init__(self, stage: Stage, epoch: int) -> None:
        super().__init__()
        self.epoch = epoch
        self.failed_step: int | None = None
        self.means: dict[str, float] = {}
        self.examples_per_second = 0.0
        self._batch_size = stage.batch_size
        self._steps = 0

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        # The next epoch reads other batches, so it is another call of `fit`.
        self.model.stop_training = True

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        if not np.isfinite(logs["loss"]):
            self.failed_step = batch
            self.model.stop_training = True
            return
        self._steps += 1
        for name, value in logs.items():
            mean = self.means.get(name, 0.0)
            self.means[name] = mean + (float(value) - mean) / self._steps
        now = time.monotonic()
        if self._steps == 1:
            # The first step may compile: the steady state begins behind it.
            self._steady_since = now
        elif now > self._steady_since:
            examples = (self._steps - 1) * self._batch_size
            self.examples_per_second = examples / (now - self._steady_since)


def _manager(checkpoint: tf.train.Checkpoint, directory: str) -> tf.train.CheckpointManager:
    return tf.train.CheckpointManager(checkpoint, directory, max_to_keep=1)


def _restore(manager: tf.train.CheckpointManager) -> None:
    """Restores the newest checkpoint, if there is one.

    Raises:
      RunError: it does not fit the model.
    """
    path = manager.latest_checkpoint
    if not path:
        state = pathlib.Path(manager.directory, "checkpoint")
        if state.exists():  # TensorFlow takes an unreadable one for none
            raise RunError(f"{state}: damaged, so that no checkpoint is found; delete the run.")
        return
    try:
        status = manager.checkpoint.restore(path)
        status.assert_existing_objects_matched()
    # A truncated file is an IndexError.
    except (ValueError, AssertionError, LookupError, tf.errors.OpError) as error:
        reason = str(error).splitlines()[0]
        raise RunError(
            f"{path}: the checkpoint does not fit the model ({reason}); it is damaged, or of "
            "another configuration."
        ) from error
