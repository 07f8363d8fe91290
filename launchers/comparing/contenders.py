"""The runs of a comparison, by system and settings; runs that differ in the seed alone are one."""

import glob
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from data_pipelines.prepared.reading import Source
from launchers import finished_run, ranking_runs
from launchers.finished_run import FinishedRun
from tfcdr.errors import RunError
from tfcdr.ranking import held_out_ranks
from tfcdr.ranking.comparison import Contender
from tfcdr.ranking.held_out_ranks import EvaluationOptions
from tfcdr.row_groups import RowGroups
from tfcdr.runs.run_folder import RunFolder, differences

_COMPARED = "compared"  # what runs of systems that rank are here
# What tells the settings of runs apart, besides the system.
_SETTINGS = ("config", "reading", "pretrained", "mixed_precision")


class Candidate(NamedTuple):
    """A recommender that could be served.

    Attributes:
      contender: its ranks of the test.
      validation: the metric's mean over validation and seeds, by which one is chosen.
      seconds: of one training, the mean over seeds; 0 for what trains in no time.
    """

    contender: Contender
    validation: float
    seconds: float


class Runs(NamedTuple):
    """The runs of a comparison.

    Attributes:
      target: the domain that they predict.
      options: how the first of them is evaluated; all are ranked by its protocol.
      groups: of interactions.
      candidates: in the order of the command line, then those that every run is beside.
    """

    target: str
    options: EvaluationOptions
    groups: Sequence[RowGroups]
    candidates: list[Candidate]


def read(patterns: Sequence[str], data_dir: str | None, bars: bool) -> list[Runs]:
    """Opens finished runs and ranks the test by each.

    Args:
      patterns: folders, or patterns of folders as of a shell.
      data_dir: the data set, if it has moved since training.
      bars: whether what every run is beside is a candidate, too.

    Returns:
      The runs of each target.

    Raises:
      RunError: a folder holds no finished run, or runs are of different data or targets, or a
        system ranks nothing.
    """
    by_target: dict[str, dict[str, list[FinishedRun]]] = {}
    opened: list[Source] = []
    for folder in _folders(patterns):
        for target, run in finished_run.load(folder, data_dir, opened=opened).items():
            if run.source not in opened:
                opened.append(run.source)
            ranking_runs.system_of(run, _COMPARED)
            ranking_runs.check_finished(run)
            name = target or ",".join(ranking_runs.interactions_of(run).roles.targets)
            recommender = json.dumps(settings_of(run.folder), sort_keys=True)
            by_target.setdefault(name, {}).setdefault(recommender, []).append(run)
    return [_of_target(target, list(runs.values()), bars) for target, runs in by_target.items()]


def _folders(patterns: Sequence[str]) -> list[Path]:
    folders = []
    for pattern in patterns:
        found = sorted(glob.glob(pattern))
        if not found:
            raise RunError(f"{pattern}: no such folder.")
        folders += [Path(path) for path in found if Path(path) not in folders]
    return folders


def settings_of(folder: RunFolder, followed: Sequence[Path] = ()) -> dict[str, Any]:
    """Returns what makes a run the recommender that it is: all but its seed.

    Of the run that it started from these are the settings, too, and its data; only the path where
    it is not there any more, or has since been trained again from this one.

    Args:
      folder: of the run.
      followed: folders of the runs that started from it.
    """
    config = folder.config()
    settings = {name: config.get(name) for name in ("system", *_SETTINGS)}
    followed = [*followed, folder.path.absolute()]
    found: list[Any] = []
    for start in _starts(folder):
        if (start.path / "config.json").exists() and start.path not in followed:
            data = start.config().get("data_fingerprint")
            found.append({**settings_of(start, followed), "data_fingerprint": data})
        else:
            found.append(str(start.path))
    return {**settings, "pretrained": found}


def _starts(folder: RunFolder) -> list[RunFolder]:
    """Returns the runs that a run starts from: none, one, or those of several seeds."""
    named = folder.config().get("pretrained") or []
    paths = [named] if isinstance(named, str) else named
    return [RunFolder(Path(path), writable=False) for path in paths]


def _of_target(target: str, contenders: list[list[FinishedRun]], bars: bool) -> Runs:
    """Ranks the test by every run of one target."""
    first = contenders[0][0]
    data = first.source.prepared.fingerprint
    for run in (run for runs in contenders for run in runs):
        if run.source.prepared.fingerprint != data:
            raise RunError(
                f"{run.folder.path}: trained on the data set {run.source.prepared.fingerprint}, "
                f"but {first.folder.path} on {data}; only runs on the same data can be compared."
            )
    options = ranking_runs.options_of(first)
    for run in (run for runs in contenders for run in runs):
        theirs = ranking_runs.options_of(run)
        if (theirs.monitor, theirs.protocol) != (options.monitor, options.protocol):
            raise RunError(
                f"{run.folder.path}: evaluated by {theirs.monitor} ({theirs.protocol}), but "
                f"{first.folder.path} by {options.monitor} ({options.protocol}); give both the "
                "same --evaluation.monitor and --evaluation.protocol."
            )
    names = _names([runs[0] for runs in contenders])
    candidates: list[Candidate] = []
    beside: dict[str, Candidate] = {}
    for name, runs in zip(names, contenders, strict=True):
        scores = [run.experiment.scores(run.model, "test") for run in runs]
        chosen = [
            {
                scorer: ranks
                for (protocol, scorer), ranks in of.items()
                if protocol == options.protocol
            }
            for of in scores
        ]
        metrics = [run.folder.finished_metrics() for run in runs]
        candidates.append(
            Candidate(
                Contender(name, tuple(of.pop(held_out_ranks.MODEL) for of in chosen)),
                float(np.mean([of["validation"][options.monitor] for of in metrics])),
                float(np.mean([_seconds(*each) for each in zip(runs, metrics, strict=True)])),
            )
        )
        for scorer, ranks in chosen[0].items():
            if scorer not in beside or len(ranks.row) > len(beside[scorer].contender.ranks[0].row):
                validation = _validation(metrics[0], scorer, options)
                beside[scorer] = Candidate(Contender(scorer, (ranks,)), validation, 0.0)
    groups = ranking_runs.system_of(first, _COMPARED).row_groups(
        ranking_runs.interactions_of(first)
    )
    return Runs(target, options, groups, [*candidates, *(beside.values() if bars else ())])


def _names(runs: Sequence[FinishedRun]) -> list[str]:
    """Returns each contender's system, and where several are of one, what sets them apart."""
    names = []
    for run in runs:
        others = [other for other in runs if other.system is run.system and other is not run]
        differing = {line.partition(":")[0] for other in others for line in _differing(other, run)}
        ours = {name: _entry(run.folder.config(), name) for name in sorted(differing)}
        shown = ", ".join(f"{name.rpartition('.')[2]}={value}" for name, value in ours.items())
        names.append(f"{run.system.name} ({shown})" if shown else run.system.name)
    return names


def _differing(one: FinishedRun, other: FinishedRun) -> list[str]:
    configs = [{name: run.folder.config()[name] for name in _SETTINGS} for run in (one, other)]
    return differences("", *configs)


def _entry(config: Any, name: str) -> Any:
    for key in name.split("."):
        config = config.get(key) if isinstance(config, dict) else None
    return config


def _seconds(run: FinishedRun, metrics: Mapping[str, Any]) -> float:
    """Returns how long a run has trained, with the stages that it takes over from those there."""
    seconds = {name: of["seconds"] for name, of in metrics["stages"].items()}
    taken = {stage.name for stage in run.system.stages(run.config)} - set(seconds)
    theirs = [(start.metrics() or {}).get("stages", {}) for start in _starts(run.folder)]
    of_taken = [of[name]["seconds"] for of in theirs for name in taken if name in of]
    return sum(seconds.values()) + sum(of_taken)


def _validation(metrics: dict[str, Any], scorer: str, options: EvaluationOptions) -> float:
    """Returns what a run's table says of a scorer that stands beside its model."""
    row = next(
        row
        for row in metrics["tables"]["validation"]
        if (row["protocol"], row["group"], row["scorer"]) == (options.protocol, "all", scorer)
    )
    return float("nan") if row[options.monitor] is None else row[options.monitor]
