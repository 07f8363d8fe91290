"""One trial of a search: a run that trains and validates, and never sees the test."""

import contextlib
import dataclasses
import gc
import math
import shutil
import time
from typing import Any

import optuna
import tensorflow as tf
from optuna.storages import RetryHeartbeatStaleTrialCallback
from optuna.trial import FrozenTrial

from data_pipelines.errors import DataError
from data_pipelines.prepared.dataset import PreparedData
from launchers import reading_flags, target_runs
from launchers.target_runs import Wish
from launchers.tuning import search_space
from launchers.tuning.search_space import SearchSpace
from tfcdr.distribution.one_device import ONE_DEVICE
from tfcdr.errors import RunError
from tfcdr.runs.run_folder import RunFolder

# What came of a trial that has no score of its own.
REFUSED = "refused"


class _OutOfTime(Exception):
    """The search's time is over; what the trial has reached counts."""


@dataclasses.dataclass(frozen=True)
class Trials:
    """Runs trials in WORKDIR/trials, a folder each.

    Attributes:
      wish: the run that the search starts from; its folder is the search's.
      groups: what can be searched: a dataclass by group of flags.
      space: what the search varies.
      data: the data set.
      deadline: when to stop, as `time.monotonic` counts; infinity for never.
    """

    wish: Wish
    groups: dict[str, Any]
    space: SearchSpace
    data: PreparedData
    deadline: float = math.inf

    def __call__(self, trial: optuna.Trial) -> float:
        """Trains with the settings that a trial suggests; resumes a trial that was killed.

        Returns:
          The best validation score of the stages that validate on the last one's examples.

        Raises:
          TrialPruned: the trial is worse than others were at its epoch, or its settings do not fit
            the data or each other.
        """
        values = self.space.suggest(trial)
        folder = RunFolder(self.wish.workdir / "trials" / str(_first_number(trial)))
        print(f"\ntrial {trial.number}: {_shown(values)}")
        try:
            score = self._train(trial, values, folder)
        except KeyboardInterrupt:
            # As a killed one, it goes on with the next process.
            RetryHeartbeatStaleTrialCallback()(trial.study, _stored(trial))
            raise
        except optuna.TrialPruned:
            print(f"trial {trial.number}: stopped early, worse than others at this epoch")
            _forget_weights(folder)
            raise
        except (DataError, RunError, ValueError, tf.errors.ResourceExhaustedError) as error:
            print(f"trial {trial.number}: {REFUSED}: {error}")
            trial.set_user_attr(REFUSED, str(error))
            _forget_weights(folder)
            raise optuna.TrialPruned from error
        finally:
            _forget_models()
        _forget_weights(folder)
        print(f"trial {trial.number}: {self.wish.options.monitor} {score:.4f}")
        return score

    def _train(self, trial: optuna.Trial, values: dict[str, Any], folder: RunFolder) -> float:
        chosen = search_space.with_values(self.groups, values)
        config = chosen[self.wish.system.name]
        sources = reading_flags.sources(
            self.data, self.wish.system, config, chosen.get(reading_flags.EXAMPLES)
        )
        (source,) = sources.values()
        experiment = target_runs.claimed(self.wish, config, source, folder, ONE_DEVICE)

        def watch() -> None:
            reached = experiment.validation_scores()
            if reached:
                trial.report(max(reached), len(reached))
                if trial.should_prune():
                    raise optuna.TrialPruned
            if time.monotonic() > self.deadline:
                raise _OutOfTime

        with contextlib.suppress(_OutOfTime):
            experiment.train(watch)
        reached = experiment.validation_scores()
        if not reached:
            raise optuna.TrialPruned
        return max(reached)


def _first_number(trial: optuna.Trial) -> int:
    """Returns the number of the killed trial that this one resumes, or else its own."""
    first = RetryHeartbeatStaleTrialCallback.retried_trial_number(_stored(trial))
    return trial.number if first is None else first


def _stored(trial: optuna.Trial) -> FrozenTrial:
    return trial.study.get_trials(deepcopy=False)[trial.number]


def _shown(values: dict[str, Any]) -> str:
    return ", ".join(
        f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}"
        for name, value in values.items()
    )


def _forget_weights(folder: RunFolder) -> None:
    """Removes a trial's checkpoints: its score is kept, the weights of all would fill the disk."""
    shutil.rmtree(folder.path / "checkpoints", ignore_errors=True)


def _forget_models() -> None:
    """Frees a trial's models with their compiled programs, which lie in cycles of references."""
    tf.keras.backend.clear_session()
    gc.collect()
