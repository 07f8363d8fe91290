"""Opens a run's folder again: its data, its configuration and its best model."""

import pathlib
from typing import Any, NamedTuple

from data_pipelines.dataset import PreparedData, open_prepared
from tfcdr.errors import RunError
from tfcdr.evaluation import EvaluationOptions
from tfcdr.experiment import Experiment
from tfcdr.ranking import RankingModel
from tfcdr.run_folder import RunFolder
from tfcdr.systems.registry import SYSTEMS


class FinishedRun(NamedTuple):
    """A run whose last stage has at least one finished epoch.

    Attributes:
      folder: its files.
      config: what config.json holds.
      data: the data set that it was trained on.
      experiment: evaluates.
      model: the last stage's model at its best epoch.
    """

    folder: RunFolder
    config: dict[str, Any]
    data: PreparedData
    experiment: Experiment
    model: RankingModel


def load(workdir: str | pathlib.Path, data_dir: str | None = None) -> FinishedRun:
    """Opens a run.

    Args:
      workdir: the run's folder.
      data_dir: the prepared data set, if it has moved since training.

    Raises:
      RunError: no run, no checkpoint, or other data than the run was trained on.
      DataError: the data set is missing or damaged.
    """
    folder = RunFolder(pathlib.Path(workdir))
    config = folder.config()
    data = open_prepared(data_dir or config["data_dir"])
    if data.fingerprint != config["data_fingerprint"]:
        raise RunError(
            f"{data.data_dir}: not the data that the run in {folder.path} was trained on; name "
            "that with --data_dir."
        )
    system = SYSTEMS[config["system"]]
    experiment = Experiment(
        system,
        system.config_class(**_tuples(config["config"])),
        data,
        folder,
        EvaluationOptions(**_tuples(config["evaluation"])),
        config["seed"],
        config["jit_compile"],
    )
    return FinishedRun(folder, config, data, experiment, experiment.best_model())


def _tuples(fields: dict[str, Any]) -> dict[str, Any]:
    """JSON knows no tuples; the dataclasses hold nothing else of several values."""
    return {name: tuple(v) if isinstance(v, list) else v for name, v in fields.items()}
