"""Opens a run's folder again: its data, its configuration and its best model."""

import pathlib
from typing import Any, NamedTuple

from data_pipelines.prepared.dataset import PreparedData, open_prepared
from tfcdr.errors import RunError
from tfcdr.runs.experiment import Experiment
from tfcdr.runs.run_folder import RunFolder
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
      data: the data set that it was trained on.
      experiment: evaluates.
      model: the last stage's model at its best epoch.
    """

    folder: RunFolder
    system: System
    config: Any
    data: PreparedData
    experiment: Experiment
    model: StageModel

    def export(self, serving: Serving = _SERVING) -> pathlib.Path:
        """Writes the model's next version to WORKDIR/export; see `System.export`."""
        export_dir = self.folder.path / "export"
        return self.system.export(self.config, self.model, self.data, export_dir, serving)


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
    settings = folder.config()
    data = open_prepared(data_dir or settings["data_dir"])
    if data.fingerprint != settings["data_fingerprint"]:
        raise RunError(
            f"{data.data_dir}: not the data that the run in {folder.path} was trained on; name "
            "that with --data_dir."
        )
    try:
        system = SYSTEMS[settings["system"]]
        config = system.config_class(**_tuples(settings["config"]))
        options = system.evaluation_options(**_tuples(settings["evaluation"]))
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(
            f"{folder.path}/config.json: settings that this version does not know ({error}); train "
            "again, or use the version that wrote them."
        ) from error
    experiment = Experiment(
        system=system,
        config=config,
        data=data,
        folder=folder,
        options=options,
        seed=settings["seed"],
        jit_compile=settings["jit_compile"],
    )
    model = experiment.best_model()
    return FinishedRun(folder, system, config, data, experiment, model)


def _tuples(fields: dict[str, Any]) -> dict[str, Any]:
    """JSON knows no tuples; the dataclasses hold nothing else of several values."""
    return {name: tuple(v) if isinstance(v, list) else v for name, v in fields.items()}
