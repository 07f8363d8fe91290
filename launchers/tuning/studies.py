"""The study of a search: what has been tried, in WORKDIR/study.db, for any number of processes."""

import dataclasses
import json
import math
import time
import warnings
from collections.abc import Iterable
from typing import Any

import optuna
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.study import MaxTrialsCallback, Study
from optuna.trial import TrialState

from data_pipelines.prepared.dataset import PreparedData
from launchers.target_runs import Wish
from launchers.tuning.search_space import SearchSpace
from launchers.tuning.trials import Trials
from tfcdr.errors import RunError

_NAME = "tfcdr"
# Seconds between two signs of life of a trial, and after how many it counts as killed.
_HEARTBEAT, _GRACE = 5, 30
_ENDED = (TrialState.COMPLETE, TrialState.PRUNED)


def open_or_create(
    wish: Wish, space: SearchSpace, data: PreparedData, flags: Iterable[str]
) -> Study:
    """Opens the study of a search, or starts it.

    Args:
      wish: the run that all trials start from; its folder is the search's.
      space: what the search varies.
      data: the data set.
      flags: what all trials share, as lines of a flagfile.

    Raises:
      RunError: the study that is there is of other data, other flags or other fields; or the
        folder holds something else.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    # Of its heartbeats, which tell killed trials.
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    path = wish.workdir / "study.db"
    if (wish.workdir / "config.json").exists():
        raise RunError(f"{wish.workdir}: holds a run; give a search another --workdir.")
    wish.workdir.mkdir(parents=True, exist_ok=True)
    storage = RDBStorage(
        f"sqlite:///{path.absolute()}",
        heartbeat_interval=_HEARTBEAT,
        grace_period=_GRACE,
        heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(),
    )
    study = optuna.create_study(
        storage=storage,
        sampler=optuna.samplers.TPESampler(seed=wish.seed, multivariate=True, n_startup_trials=8),
        # The first trial is what is known: a second one is enough to tell what falls behind.
        pruner=optuna.pruners.MedianPruner(n_startup_trials=2, n_warmup_steps=2),
        study_name=_NAME,
        direction="maximize",
        load_if_exists=True,
    )
    wanted = {
        "data set": data.fingerprint,
        "evaluation": json.dumps(dataclasses.asdict(wish.options)),
        "flag": sorted(flags),
        "field to vary": [f"{name}={values}" for name, values in space.fields.items()],
    }
    for name, value in wanted.items():
        found = study.user_attrs.get(name, value)
        if found != value:
            raise RunError(
                f"{path}: a search with another {name} ({_only(found, value)} there, "
                f"{_only(value, found)} now); give another --workdir."
            )
        study.set_user_attr(name, value)
    return study


def _only(one: Any, other: Any) -> str:
    """Returns what one setting has and another has not."""
    if isinstance(one, list):
        return ", ".join(entry for entry in one if entry not in other) or "none"
    return one


def search(study: Study, trials: Trials, number: int) -> None:
    """Runs trials until there are enough of them or their deadline has come.

    Args:
      study: of `open_or_create`.
      trials: run one.
      number: of trials in all, those of other processes counted.
    """
    deadline = trials.deadline
    study.optimize(
        trials,
        n_trials=max(0, number - len(study.get_trials(deepcopy=False, states=_ENDED))),
        timeout=None if math.isinf(deadline) else max(0.0, deadline - time.monotonic()),
        callbacks=[MaxTrialsCallback(number, states=_ENDED)],
    )
