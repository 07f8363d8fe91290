"""A stage's model that is fitted to the training data as a whole, without steps or gradients."""

import abc
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from tfcdr.stage_model import Batch, StageModel, StepReport


class FittedModel(StageModel):
    """A model of a closed form. Write `fit_epoch`.

    An epoch of its stage tries one choice of settings; as with others, validation selects the best
    epoch, whose weights are kept, and a run that was killed goes on behind its last.
    """

    @abc.abstractmethod
    def fit_epoch(self, data: Any, epoch: int, scores: Sequence[float]) -> dict[str, float]:
        """Sets the weights to what fits with an epoch's choice of settings.

        Nothing but the arguments decides them: a resumed run begins at any epoch.

        Args:
          data: what the run reads, a data source of the model's own kind.
          epoch: from 0.
          scores: the validation scores of the epochs before; the greater, the better.

        Returns:
          The settings, and what else is worth watching, by name.

        Raises:
          RunError: the data do not allow it.
        """

    @tf.__internal__.tracking.no_automatic_dependency_tracking
    def compile(
        self, optimizers: Mapping[str, tf.keras.optimizers.Optimizer], jit_compile: bool = False
    ) -> None:
        """Takes no optimizer."""
        tf.keras.Model.compile(self, jit_compile=jit_compile)
        self.optimizers = dict(optimizers)

    def optimizer_variables(self) -> dict[str, list[tf.Variable]]:
        return {}

    @property
    def batch_spec(self) -> dict[str, tf.TensorSpec]:
        return {}

    def compute_losses(self, batch: Batch) -> StepReport:
        raise NotImplementedError(f"{type(self).__name__} is fitted without a loss.")
