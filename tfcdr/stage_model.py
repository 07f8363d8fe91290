"""The train step of a stage that minimises one loss with one optimizer."""

import abc
from collections.abc import Mapping

import tensorflow as tf

Batch = Mapping[str, tf.Tensor]


class StageModel(tf.keras.Model, abc.ABC):
    """A Keras model trained on dict batches by one optimizer.

    Systems with several networks or a nested loop override `train_step`.
    """

    @property
    @abc.abstractmethod
    def batch_spec(self) -> dict[str, tf.TensorSpec]:
        """The entries that a training batch must hold; None stands for any size."""

    @abc.abstractmethod
    def compute_losses(self, batch: Batch) -> dict[str, tf.Tensor]:
        """Returns scalar losses by name; "loss" is the one to minimise."""

    def train_step(self, batch: Batch) -> dict[str, tf.Tensor]:
        """Updates the trainable variables once; runs under XLA."""
        with tf.GradientTape() as tape:
            losses = self.compute_losses(batch)
        self.optimizer.minimize(losses["loss"], self.trainable_variables, tape=tape)
        return losses
