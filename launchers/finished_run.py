"""Opens a run's folder again: its data, its configuration and its best model."""

import pathlib
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from data_pipelines.prepared.reading import Source
from launchers import folder_lock
from launchers.run_data import source_of
from launchers.run_folders import seed_folder, target_folder
from launchers.stored_config import restored
from tfcdr.errors import RunError
from tfcdr.runs.experiment import Experiment
from tfcdr.runs.run_folder import RunFolder
from tfcdr.serving import saved_model
from tfcdr.stage_model import StageModel
from tfcdr.system import Serving, System
from tfcdr.systems.registry import SYSTEMS

_SERVING = Serving()


class FinishedRun(NamedTuple):
    """A run whose last stage has at least one finished epoch.

    Attributes:
      folder: its files.
      system: what was trained.
      config: its configuration.
      source: the data set as it was read for training.
      experiment: evaluates.
      model: the last stage's model at its best epoch.
    """

    folder: RunFolder
    system: System
    config: Any
    source: Source
    experiment: Experiment
    model: StageModel


def load(
    workdir: str | pathlib.Path,
    data_dir: str | None = None,
    evaluation: Mapping[str, Any] | None = None,
    opened: Collection[Source] = (),
) -> dict[str, FinishedRun]:
    """Opens a run.

    Args:
      workdir: the run's folder.
      data_dir: the prepared data set, if it has moved since training.
      evaluation: fields of the options of the evaluation that are to have other values.
      opened: what this process reads already.

    Returns:
      The run of each target by its name; that of a single one by "".

    Raises:
      RunError: no run, no checkpoint, or other data than the run was trained on.
      DataError: the data set is missing or damaged.
    """
    found = folders(pathlib.Path(workdir))
    return {
        target: _load(folder, source_of(folder, data_dir, opened), evaluation or {})
        for target, folder in found.items()
    }


def folders(workdir: pathlib.Path) -> dict[str, RunFolder]:
    """Returns the folder of each target's run by its name; that of a single one by "".

    Raises:
      RunError: there is no run, or there are those of several seeds.
    """
    whole = RunFolder(workdir)
    config = whole.config()
    if config.get("several_seeds"):
        first = seed_folder(workdir, config["seed"])
        raise RunError(f"{workdir}: runs of several seeds are here; name one of them, as {first}.")
    targets = config.get("targets")
    if targets is None:
        return {"": whole}
    return {target: RunFolder(target_folder(workdir, target)) for target in targets}


def trainings(workdir: pathlib.Path) -> list[pathlib.Path]:
    """Returns the folders of several seeds' runs, or the one folder of a run with one seed.

    Raises:
      RunError: there is no run, or not all of its seeds are finished.
    """
    whole = RunFolder(workdir)
    if not whole.config().get("several_seeds"):
        return [workdir]
    metrics = whole.finished_metrics()
    first = metrics if "seeds" in metrics else next(iter(metrics["targets"].values()))
    return [seed_folder(workdir, seed) for seed in first["seeds"]]


def export(
    workdir: str | pathlib.Path,
    runs: Mapping[str, FinishedRun],
    serving: Serving = _SERVING,
    export_dir: str | pathlib.Path | None = None,
) -> pathlib.Path:
    """Writes the models' next version; see `System.export`.

    Args:
      workdir: the run's folder.
      runs: as `load` gives them.
      serving: how the models answer.
      export_dir: the folder that the server watches, WORKDIR/export by default.

    Raises:
      HeldError: another process exports there.
      RunError: the folder cannot be written.
    """
    watched = pathlib.Path(export_dir or pathlib.Path(workdir) / "export")
    first = next(iter(runs.values()))
    with folder_lock.held(watched, "exports"):
        saved_model.clear_unfinished(watched)
        if len(runs) == 1:
            version = first.system.export(first.config, first.model, first.source, watched, serving)
        else:
            models = {target: (run.model, run.source) for target, run in runs.items()}
            version = first.system.export_targets(first.config, models, watched, serving)
    RunFolder(pathlib.Path(workdir)).remember_export(version)
    return version


def _load(folder: RunFolder, source: Source, evaluation: Mapping[str, Any]) -> FinishedRun:
    settings = folder.config()
    try:
        system = SYSTEMS[settings["system"]]
        config = restored(system.config_class, settings["config"])
        options = restored(system.evaluation_options, {**settings["evaluation"], **evaluation})
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(
            f"{folder.path}/config.json: settings that this version does not know ({error}); train "
            "again, or use the version that wrote them."
        ) from error
    experiment = Experiment(
        system=system,
        config=config,
        data=source,
        folder=folder,
        options=options,
        seed=settings["seed"],
        jit_compile=settings["jit_compile"],
    )
    with source.prepared.naming_corrupt_shards():
        model = experiment.best_model()
    return FinishedRun(folder, system, config, source, experiment, model)
