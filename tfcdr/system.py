"""What a system is: a configuration, its stages, and the model of each stage."""

import abc
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Generic, NamedTuple

import tensorflow as tf

from tfcdr.benchmark import Benchmark
from tfcdr.data_source import SourceT
from tfcdr.distribution.one_device import Distribution
from tfcdr.errors import RunError
from tfcdr.evaluator import Evaluator
from tfcdr.named_rows import NamedRows
from tfcdr.report_section import Names, Section
from tfcdr.stage import Stage
from tfcdr.stage_model import StageModel


class Serving(NamedTuple):
    """How an exported model answers.

    Attributes:
      top_k: items that a recommendation holds.
      retrieval: how they are found, one of `serving.retrieval.KINDS`.
    """

    top_k: int = 10
    retrieval: str = "brute_force"


class System(abc.ABC, Generic[SourceT]):
    """A published recommender system. One subclass a system, listed in the registry.

    It says as `System[InteractionSource]` what kind of data set it reads.

    Attributes:
      name: the system's name on the command line.
      config_class: its frozen dataclass of hyperparameters.
      evaluation_options: the frozen dataclass that says how held-out examples are scored.
      evaluation_group: the group of flags that it gets, such as "evaluation"; systems with the
        same class share it.
      log: the kind of log whose data sets it reads, "interactions" or "impressions".
      signatures: of the exported model.
      joint_targets: whether one model predicts for all targets of a run, rather than one for each.
      benchmark: what `launchers/benchmark.py` measures besides its stages.
    """

    name: ClassVar[str]
    config_class: ClassVar[type]
    evaluation_options: ClassVar[type]
    evaluation_group: ClassVar[str]
    log: ClassVar[str]
    signatures: ClassVar[tuple[str, ...]]
    joint_targets: ClassVar[bool] = False
    benchmark: ClassVar[Benchmark] = Benchmark()

    def weighs_events(self, config: Any) -> bool:
        """Whether it makes use of weights of kinds of event; none does unless it says so."""
        del config
        return False

    @abc.abstractmethod
    def stages(self, config: Any) -> tuple[Stage, ...]:
        """Returns the stages in the order in which they run; the last one is the product."""

    @abc.abstractmethod
    def build(self, stage: str, config: Any, data: SourceT, seed: int) -> StageModel:
        """Builds the model of a stage, with every variable created.

        Raises:
          RunError: the configuration and the data do not fit.
        """

    @abc.abstractmethod
    def optimizers(self, stage: str, config: Any) -> dict[str, tf.keras.optimizers.Optimizer]:
        """Returns fresh optimizers for a stage's model by name.

        "model" minimises the loss; what others move, says `StageModel.optimizer_variables`. The
        run saves and resumes all of them.
        """

    def export_targets(
        self,
        config: Any,
        models: Mapping[str, tuple[StageModel, SourceT]],
        export_dir: Path,
        serving: Serving,
    ) -> Path:
        """Writes the last stage's models of several targets as one version; see `export`.

        Args:
          config: the run's.
          models: by target, the model and what it was trained on.
          export_dir: the folder that the server watches.
          serving: how it answers.

        Raises:
          RunError: see `export`; or the system has one target only.
        """
        del config, models, export_dir, serving
        raise RunError(f"{self.name} has one target only.")

    @abc.abstractmethod
    def evaluator(self, data: SourceT, options: Any, distribution: Distribution) -> Evaluator[Any]:
        """Returns what scores held-out examples.

        Args:
          data: a prepared data set.
          options: an instance of `evaluation_options`.
          distribution: the devices and processes that share the work.
        """

    @abc.abstractmethod
    def export(
        self, config: Any, model: StageModel, data: SourceT, export_dir: Path, serving: Serving
    ) -> Path:
        """Writes the last stage's model as the next version for TensorFlow Serving.

        Args:
          config: the run's.
          model: the last stage's.
          data: what it was trained on.
          export_dir: the folder that the server watches; made if it is not there.
          serving: how it answers; a system that recommends nothing does not read it.

        Returns:
          The folder of the new version.

        Raises:
          RunError: `serving` asks for what cannot be had, or the folder cannot be written.
        """

    def warm_start(self, model: StageModel, previous: StageModel) -> None:
        """Copies into a stage's new model what it takes over from the stage before.

        Write it if the system has several stages.
        """
        raise NotImplementedError(f"{self.name} has several stages, but no warm_start.")

    def warm_start_of_seeds(self, model: StageModel, previous: Sequence[StageModel]) -> None:
        """Copies into a stage's new model the models of several seeds (`Stage.takes`)."""
        raise NotImplementedError(f"{self.name} takes several models, but no warm_start_of_seeds.")

    def named_rows(self, config: Any, model: StageModel, data: SourceT) -> Sequence[NamedRows]:
        """Returns a stage's variables with a row for each of something that has a name in the log.

        Items, users, values: by their names a model starts from that of a run on another log
        (`--pretrained`). All other variables must have the same shape in both.

        Raises:
          RunError: a model is fitted anew on each log.
        """
        del config, model, data
        raise RunError(f"{self.name} starts from no run on other data.")

    @abc.abstractmethod
    def without_transfer(self, config: Any) -> Any:
        """Returns the configuration of the same model that knows of the target alone.

        It reads nothing of the sources, neither in training nor for a prediction. Training it next
        to a configuration tells whether the transfer helped.

        Raises:
          RunError: the configuration trains nothing on the target.
        """

    def ablations(self, config: Any) -> Mapping[str, Any]:
        """Returns configurations each of which lacks one part of what the transfer is made of.

        By the part's name, such as "pre-training". Training them next to a configuration tells what
        each part adds by itself; `without_transfer` lacks all of them.
        """
        del config  # which has one part alone
        return {}

    def check_evaluation(self, options: Any) -> None:
        """Raises ValueError, naming the field, if the evaluation cannot do what `options` say."""
        del options  # What every system's evaluation needs, the options themselves check.

    def gains_from_xla(self) -> bool:
        """Returns whether XLA makes the train steps faster on the devices that are there."""
        return True

    def check(self, config: Any, data: SourceT, distribution: Distribution) -> None:
        """Raises RunError if the data or the devices cannot do what the configuration asks for."""
        del config, data, distribution  # What every system needs, others check.

    def report_sections(
        self, config: Any, model: StageModel, data: SourceT, names: Names
    ) -> Sequence[Section]:
        """Returns what the page of a finished run shows besides curves and tables.

        Args:
          config: the run's.
          model: the last stage's, at its best epoch.
          data: what it was trained on; examples come from the stage's own evaluation request.
          names: what items and users are called before a person.
        """
        return ()

    def measurements(self, config: Any, model: StageModel, data: SourceT) -> Mapping[str, float]:
        """Returns what else metrics.json says of a finished run, by name; see `report_sections`."""
        return {}
