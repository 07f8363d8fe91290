"""What a model must offer so that its predictions of labels can be evaluated."""

import abc
from collections.abc import Callable, Mapping

import tensorflow as tf

from tfcdr.stage_model import Batch, StageModel

# The scorer that is trained.
MODEL = "model"

# Gives the probabilities of an evaluation batch's rows, float32 [batch, tasks], in the order of the
# system's tasks.
Scorer = Callable[[Batch], tf.Tensor]


class LabelModel(StageModel):
    """A stage's model that predicts labels of rows, 0 or 1, one for each of its system's tasks."""

    @abc.abstractmethod
    def scorers(self) -> Mapping[str, Scorer]:
        """Returns what evaluation compares, by name: `MODEL`, and models that it stands beside."""
