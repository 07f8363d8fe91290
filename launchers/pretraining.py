"""The run that another one starts from (`--pretrained`): its files, and what it has read."""

import dataclasses
import pathlib
from collections.abc import Iterator, Sequence

from data_pipelines.prepared import earlier_training
from data_pipelines.prepared.interaction_source import InteractionSource
from data_pipelines.prepared.reading import Source, reopen
from launchers import finished_run
from launchers.run_data import source_of
from tfcdr.errors import RunError
from tfcdr.runs.pretrained_run import PretrainedRun
from tfcdr.runs.run_folder import RunFolder
from tfcdr.stage import Stage


def of_target(
    path: pathlib.Path, stages: Sequence[Stage], target: str, source: Source
) -> PretrainedRun:
    """Returns the run that a target's starts from.

    Args:
      path: the folder of a run; of several targets, that of the same one is meant, or the first.
        Where the last stage takes the models of several seeds, the folder of their runs.
      stages: of the run that starts.
      target: its name.
      source: what it reads.

    Raises:
      RunError: there is no run, its data are gone, or it has too few or too many seeds.
      DataError: its data are damaged.
    """
    last = stages[-1]
    if last.takes == 1:
        return _of_run(path, stages, target, source)
    paths = finished_run.trainings(path)
    if len(paths) != last.takes:
        raise RunError(
            f"{path}: stage {last.name} takes the models of {last.takes} seeds, of which there "
            f"are {len(paths)}; take as many as there are, or train with --seeds={last.takes}."
        )
    runs = [_of_run(each, stages, target, source) for each in paths]
    for run in runs:
        run.folder.finished_metrics()
        if run.data is not None:
            raise RunError(
                f"{run.folder.path}: has read other data, or read them otherwise, where stage "
                f"{last.name} takes models of these."
            )
    return dataclasses.replace(runs[0], other_seeds=tuple(run.folder for run in runs[1:]))


def _of_run(
    path: pathlib.Path, stages: Sequence[Stage], target: str, source: Source
) -> PretrainedRun:
    found = finished_run.folders(path)
    first = next(iter(found.values()))
    own = found.get(target, first)
    # Where targets share a stage, the first alone has trained it.
    run = own if own.has_checkpoint(stages[0].name) else first
    settings = run.config()
    shared = len(stages) > 1 and stages[-2].shared
    name = "shared_fingerprint" if shared else "data_fingerprint"
    if settings.get(name) == (source.shared_fingerprint if shared else source.fingerprint):
        return PretrainedRun(run)
    return PretrainedRun(run, source_of(run))


def beside(pretrained: PretrainedRun, name: str) -> PretrainedRun | None:
    """Returns the run that what a run is compared with starts from; None if it starts afresh.

    A model that starts from another day's is compared fairly with one that does, too.

    Args:
      pretrained: what the run itself starts from.
      name: of the folder within a run's that holds what it is compared with.
    """
    if pretrained.data is None:
        return None
    folder = RunFolder(pretrained.folder.path / name, writable=False)
    if (folder.path / "config.json").exists():
        return PretrainedRun(folder, pretrained.data)
    print(f"{folder.path}: there is no such run, so that this one starts afresh")
    return None


def what_was_read(pretrained: PretrainedRun, source: Source) -> Iterator[str]:
    """Says what a run has trained on that would be too late, or an answer, for this one's.

    Args:
      pretrained: the run.
      source: what the run reads that starts from it.
    """
    if not isinstance(source, InteractionSource):
        return
    where = pretrained.folder.path
    if isinstance(pretrained.data, InteractionSource):
        answers = earlier_training.known_answers(source, pretrained.data)
        yield (
            f"{where}: has trained on {answers.known:,} of the {answers.held_out:,} interactions "
            "that are held out here" + ("; figures are too good by that." if answers.known else ".")
        )
        return
    reading = pretrained.folder.config()["reading"]
    if reading["targets"] == list(source.roles.targets):
        return
    theirs_read = reopen(source.prepared, reading)
    if not isinstance(theirs_read, InteractionSource):
        return
    interactions, users = source.trained_too_late(theirs_read)
    theirs = ", ".join(reading["targets"]) or "no target"
    yield (
        f"{where}: pre-trained for {theirs}. It has read {interactions:,} source interactions of "
        f"{users:,} users that come after their first held-out one in {source.roles.target}; to "
        "pre-train without them, name all targets in one run."
    )
