"""What a system is: a configuration, its stages, and the model of each stage."""

import abc
import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar

import tensorflow as tf

from tfcdr.data_source import DataSource, ViewRequest
from tfcdr.report_section import Names, Section
from tfcdr.stage_model import StageModel


@dataclasses.dataclass(frozen=True)
class Stage:
    """One training run of a system; later stages start from the best of earlier ones.

    Attributes:
      name: such as "pretrain"; names the checkpoints and the lines of `metrics.jsonl`.
      training: the view of the training batches.
      evaluation: the view of validation and test batches.
      batch_size: examples in a training batch.
      epochs: most passes over the training examples.
      patience: epochs without a better validation score after which the stage stops.
      has_candidates: whether the evaluation view can draw candidates for sampled ranking.
    """

    name: str
    training: ViewRequest
    evaluation: ViewRequest
    batch_size: int
    epochs: int
    patience: int
    has_candidates: bool


class System(abc.ABC):
    """A published recommender system. One subclass a system, listed in the registry.

    Attributes:
      name: the system's name on the command line.
      config_class: its frozen dataclass of hyperparameters.
    """

    name: ClassVar[str]
    config_class: ClassVar[type]

    @abc.abstractmethod
    def stages(self, config: Any) -> tuple[Stage, ...]:
        """Returns the stages in the order in which they run; the last one is the product."""

    @abc.abstractmethod
    def build(self, stage: str, config: Any, data: DataSource, seed: int) -> StageModel:
        """Builds the model of a stage, with every variable created.

        Raises:
          RunError: the configuration and the data do not fit.
        """

    @abc.abstractmethod
    def optimizer(self, stage: str, config: Any) -> tf.keras.optimizers.Optimizer:
        """Returns a fresh optimizer for a stage's model."""

    @abc.abstractmethod
    def catalogue(self, stage: str) -> str:
        """Names the item space that a stage's model ranks."""

    @abc.abstractmethod
    def history_space(self, config: Any) -> str:
        """Names the item space whose ids the last stage reads in users' histories."""

    @abc.abstractmethod
    def warm_start(self, model: StageModel, previous: StageModel) -> None:
        """Copies into a stage's new model what it takes over from the stage before."""

    @abc.abstractmethod
    def without_transfer(self, config: Any) -> Any:
        """Returns the configuration of the same model trained on the target alone.

        Training it next to a configuration tells whether the transfer helped.

        Raises:
          RunError: the configuration trains nothing on the target.
        """

    def report_sections(
        self, config: Any, model: StageModel, data: DataSource, names: Names
    ) -> Sequence[Section]:
        """Returns what the page of a finished run shows besides curves and tables.

        Args:
          config: the run's.
          model: the last stage's, at its best epoch.
          data: what it was trained on; examples come from the stage's own evaluation request.
          names: what items and users are called before a person.
        """
        return ()

    def views(self, config: Any) -> tuple[str, ...]:
        """Names the views that a data set must hold, each once."""
        requests = [(stage.training, stage.evaluation) for stage in self.stages(config)]
        return tuple(dict.fromkeys(request.view for pair in requests for request in pair))
