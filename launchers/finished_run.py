"""Opens a run's folder again: its data, its configuration and its best model."""

import pathlib
from typing import Any, NamedTuple

from data_pipelines.dataset import PreparedData, open_prepared
from tfcdr.errors import RunError
from tfcdr.evaluation import EvaluationOptions
from tfcdr.experiment import Experiment
from tfcdr.ranking import RankingModel
from tfcdr.run_folder import RunFolder
from tfcdr.serving.export import export_model
from tfcdr.systems.registry import SYSTEMS

DEFAULT_TOP_K = 10
DEFAULT_RETRIEVAL = "brute_force"


class FinishedRun(NamedTuple):
    """A run whose last stage has at least one finished epoch.

    Attributes:
      folder: its files.
      config: what config.json holds.
      data: the data set that it was trained on.
      experiment: evaluates.
      model: the last stage's model at its best epoch.
      history_space: the items that it reads: "source", "target" or "joint".
      item_space: the items that it ranks: "source" or "target".
    """

    folder: RunFolder
    config: dict[str, Any]
    data: PreparedData
    experiment: Experiment
    model: RankingModel
    history_space: str
    item_space: str

    def export(
        self, top_k: int = DEFAULT_TOP_K, retrieval: str = DEFAULT_RETRIEVAL
    ) -> pathlib.Path:
        """Writes the model's next version to WORKDIR/export; see `export_model`.

        Args:
          top_k: items that a recommendation holds.
          retrieval: one of `retrieval.KINDS`.

        Returns:
          The version's folder.

        Raises:
          RunError: the retrieval cannot be had or the folder cannot be written.
        """
        return export_model(
            self.model,
            self.folder.path / "export",
            history_vocabulary=self.data.vocabulary_path(self.history_space),
            target_vocabulary=self.data.vocabulary_path(self.item_space),
            max_length=self.data.max_length,
            top_k=top_k,
            retrieval=retrieval,
        )


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
        options = EvaluationOptions(**_tuples(settings["evaluation"]))
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(
            f"{folder.path}/config.json: settings that this version does not know ({error}); train "
            "again, or use the version that wrote them."
        ) from error
    experiment = Experiment(
        system, config, data, folder, options, settings["seed"], settings["jit_compile"]
    )
    history_space = system.history_space(config)
    item_space = system.catalogue(system.stages(config)[-1].name)
    model = experiment.best_model()
    return FinishedRun(folder, settings, data, experiment, model, history_space, item_space)


def _tuples(fields: dict[str, Any]) -> dict[str, Any]:
    """JSON knows no tuples; the dataclasses hold nothing else of several values."""
    return {name: tuple(v) if isinstance(v, list) else v for name, v in fields.items()}
