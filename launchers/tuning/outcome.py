"""What a search found: a table, pictures, and a flagfile of the best settings."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.axes
import matplotlib.figure
import numpy as np
import optuna
import pandas as pd
from optuna.trial import FrozenTrial, TrialState

from launchers.tuning.trials import REFUSED

_LEAST_TRIALS = 4  # Below, nothing can be said about which field mattered.


def write(study: optuna.Study, monitor: str, flags: Iterable[str], folder: Path) -> list[Path]:
    """Writes trials.csv, search.png and, once a trial has ended well, best.cfg.

    Args:
      study: the search.
      monitor: what it maximises, such as "NDCG@10".
      flags: lines of a flagfile that all trials share.
      folder: the search's.

    Returns:
      The files.
    """
    written = [folder / "trials.csv"]
    table(study).to_csv(written[0], index=False)
    if finished(study):
        written.append(folder / "search.png")
        picture(study, monitor).savefig(written[-1], dpi=120)
        written.append(folder / "best.cfg")
        written[-1].write_text(flagfile(study, monitor, flags), encoding="utf-8")
    return written


def finished(study: optuna.Study) -> list[FrozenTrial]:
    """Returns the trials that ran to their end."""
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))


def table(study: optuna.Study) -> pd.DataFrame:
    """Returns a row for each trial, the best first: its number, score, state and settings."""
    rows = []
    for trial in study.get_trials(deepcopy=False):
        values = trial.intermediate_values
        score = trial.value if trial.value is not None else max(values.values(), default=np.nan)
        state = REFUSED if REFUSED in trial.user_attrs else _STATES[trial.state]
        seconds = trial.duration.total_seconds() if trial.duration else np.nan
        about = {"trial": trial.number, "score": score, "state": state, "seconds": seconds}
        rows.append({**about, "epochs": len(values), **trial.params})
    ordered = pd.DataFrame(rows)
    return ordered.sort_values("score", ascending=False, ignore_index=True) if rows else ordered


def importances(study: optuna.Study) -> dict[str, float]:
    """Returns the share of the scores' variance that each field explains (fANOVA), largest first.

    Hutter, Hoos and Leyton-Brown (ICML 2014). Empty for few trials.
    """
    if len(finished(study)) < _LEAST_TRIALS:
        return {}
    # A finished trial has a value.
    values = np.array([trial.value for trial in finished(study)], np.float64)
    if np.ptp(values) == 0:
        return {}
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    return optuna.importance.get_param_importances(study, evaluator=evaluator)


def picture(study: optuna.Study, monitor: str) -> matplotlib.figure.Figure:
    """Draws the scores as the search went on, what mattered, and the two fields that most did."""
    mattered = importances(study)
    panels = 2 + min(2, len(mattered)) if mattered else 1
    figure = matplotlib.figure.Figure((4.5 * min(panels, 2), 3.5 * -(-panels // 2)))
    figure.set_layout_engine("constrained")
    axes = figure.subplots(-(-panels // 2), min(panels, 2), squeeze=False).ravel()
    for unused in axes[panels:]:
        unused.set_axis_off()
    trials = finished(study)
    numbers, values = ([getattr(t, name) for t in trials] for name in ("number", "value"))
    axes[0].plot(numbers, values, ".", color="tab:blue", label="a trial")
    axes[0].plot(numbers, np.maximum.accumulate(values), color="tab:orange", label="the best yet")
    axes[0].set(xlabel="trial", ylabel=f"validation {monitor}", title="the search")
    axes[0].xaxis.get_major_locator().set_params(integer=True)  # There is no half of a trial.
    axes[0].legend(loc="lower right")
    if mattered:
        axes[1].barh(list(mattered), list(mattered.values()))
        axes[1].invert_yaxis()
        axes[1].set(xlabel="share of the variance", title="what mattered")
    for axis, name in zip(axes[2:], mattered, strict=False):
        _draw_field(axis, name, trials, monitor)
    return figure


def flagfile(study: optuna.Study, monitor: str, flags: Iterable[str]) -> str:
    """Returns the best trial's settings as a flagfile, behind those that all trials share."""
    best = study.best_trial
    trials = len(finished(study))
    lines = [
        f"# The best of {trials} trials: validation {monitor} {best.value:.4f} (trial "
        f"{best.number}).",
        *(line for line in flags if line.partition("=")[0].lstrip("-") not in best.params),
        *(f"--{name}={value}" for name, value in best.params.items()),
    ]
    return "\n".join(lines) + "\n"


def _draw_field(
    axes: matplotlib.axes.Axes, name: str, trials: Sequence[FrozenTrial], monitor: str
) -> None:
    distribution = next(trial.distributions[name] for trial in trials if name in trial.params)
    if isinstance(distribution, optuna.distributions.CategoricalDistribution):
        # matplotlib orders texts as they come.
        order = distribution.choices.index
        trials = sorted(trials, key=lambda trial: order(trial.params[name]))
        values = [str(trial.params[name]) for trial in trials]
    else:
        values = [trial.params[name] for trial in trials]
    axes.plot(values, np.array([trial.value for trial in trials], np.float64), ".")
    if getattr(distribution, "log", False):
        axes.set_xscale("log")
    axes.set(xlabel=name, ylabel=f"validation {monitor}")


_STATES: Mapping[Any, str] = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "stopped early",
    TrialState.FAIL: "killed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "waiting",
}
