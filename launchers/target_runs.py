"""A run with several targets: a folder for each, and what they have in common."""

import math
import pathlib
from collections.abc import Mapping
from typing import Any

from data_pipelines.prepared.interaction_source import InteractionSource
from data_pipelines.prepared.reading import Source, reopen
from tfcdr.runs.run_folder import RunFolder

_PREFIX = "target-"


def folder(workdir: pathlib.Path, target: str) -> pathlib.Path:
    """Returns the folder of one target's run; the prefix keeps it within `workdir`."""
    return workdir / f"{_PREFIX}{target}"


def summary(metrics: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Returns what metrics.json of a run with several targets holds.

    Args:
      metrics: those of each target's run, by target.

    Returns:
      "validation" and "test": the means over targets; "targets": the metrics of each.
    """
    means = {split: _means([of[split] for of in metrics.values()]) for split in _SPLITS}
    return {**means, "targets": dict(metrics)}


_SPLITS = ("validation", "test")


def _means(figures: list[Mapping[str, float | None]]) -> dict[str, float]:
    means = {}
    for name in dict.fromkeys(name for of in figures for name in of):
        # A target may lack a figure, or have one that is not finite, which JSON keeps as null.
        values = [of[name] for of in figures if of.get(name) is not None]
        values = [value for value in values if math.isfinite(value)]
        means[name] = sum(values) / len(values) if values else math.nan
    return means


def pretrained(path: str) -> RunFolder | None:
    """Returns the run that `--pretrained` names; of several targets, that of the first.

    Raises:
      RunError: there is no run.
    """
    if not path:
        return None
    run = RunFolder(pathlib.Path(path), writable=False)
    targets = run.config().get("targets")
    return RunFolder(folder(run.path, targets[0]), writable=False) if targets else run


def say_what_was_read(pretrained_run: RunFolder, source: Source) -> None:
    """Prints what a pre-trained run of another target has read that this one's should not have."""
    if not isinstance(source, InteractionSource):
        return
    reading = pretrained_run.config()["reading"]
    if reading["targets"] == list(source.roles.targets):
        return
    interactions, users = source.trained_too_late(reopen(source.prepared, reading))
    theirs = ", ".join(reading["targets"]) or "no target"
    print(
        f"{pretrained_run.path}: pre-trained for {theirs}. It has read {interactions:,} source "
        f"interactions of {users:,} users that come after their first held-out one in "
        f"{source.roles.target}; to pre-train without them, name all targets in one run."
    )
