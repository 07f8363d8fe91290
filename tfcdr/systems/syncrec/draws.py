"""What a training step draws: dropout, the gates' noise, whose items are negatives.

All of it follows from the seed, the step and a row's user, so that a resumed run and replicas that
share a batch draw the same.
"""

import abc
import math

import tensorflow as tf

from tfcdr.layers.row_dropout import RowDropout
from tfcdr.layers.stateless_uniform import uniform

# Numbers that `RowDropout` sets apart for a use: 64 times 65,536 units of a row.
_LAYERS_OF_A_USE = 64


class Draws(abc.ABC):
    """What the network asks for; every request comes at the same place of every trace."""

    @abc.abstractmethod
    def dropout(self, values: tf.Tensor, rate: float, row_axis: int | None) -> tf.Tensor:
        """Drops units of float values.

        Args:
          values: the batch's rows are at `row_axis`; None for values that all rows share.
          rate: share to drop.
          row_axis: where the rows are.
        """

    @abc.abstractmethod
    def gate_noise(self, name: str, like: tf.Tensor) -> tf.Tensor | None:
        """Returns standard normal noise for gates, or None for none.

        Args:
          name: "single" or "cross", the group of experts.
          like: float [tasks, batch, experts], whose shape it has.
        """

    @abc.abstractmethod
    def other_rows(self, values: tf.Tensor) -> tf.Tensor:
        """Returns int [batch, ...] with the rows in another order."""


class NoDraws(Draws):
    """Inference: nothing is dropped, gates have no noise."""

    def dropout(self, values: tf.Tensor, rate: float, row_axis: int | None) -> tf.Tensor:
        return values

    def gate_noise(self, name: str, like: tf.Tensor) -> None:
        return None

    def other_rows(self, values: tf.Tensor) -> tf.Tensor:
        return tf.roll(values, 1, 0)


class StepDraws(Draws):
    """The draws of one training step."""

    def __init__(self, seed: int, step: tf.Tensor, user: tf.Tensor, permuted: bool) -> None:
        """Creates the draws.

        Args:
          seed: of the run.
          step: int scalar, the number of the step.
          user: int32 [batch], who each row is about.
          permuted: whether `other_rows` are in random order rather than shifted by one.
        """
        self._of_rows = RowDropout(seed, step, user)
        self._of_all = RowDropout(seed, step, tf.zeros([1], tf.int32))
        self._key = tf.random.experimental.stateless_fold_in(
            tf.constant([seed, 0], tf.int64), tf.cast(step, tf.int64)
        )
        self._permuted = permuted
        self._uses = 0

    def dropout(self, values: tf.Tensor, rate: float, row_axis: int | None) -> tf.Tensor:
        layer = self._next_layer()
        if not rate:
            return values
        if row_axis is None:
            return self._of_all(values[tf.newaxis], rate, layer)[0]
        return self._of_rows(values, rate, layer, row_axis)

    def gate_noise(self, name: str, like: tf.Tensor) -> tf.Tensor:
        shape = (like.shape[0], 1, like.shape[2])
        radius, angle = (
            self._of_rows.uniform(shape, self._next_layer(), row_axis=1) for _ in range(2)
        )
        # Box and Muller; 1 - u is in (0, 1].
        normal = tf.sqrt(-2.0 * tf.math.log(1.0 - radius)) * tf.cos(2.0 * math.pi * angle)
        return tf.cast(normal, like.dtype)

    def other_rows(self, values: tf.Tensor) -> tf.Tensor:
        if not self._permuted:
            return tf.roll(values, 1, 0)
        order = tf.argsort(uniform(tf.shape(values)[:1], self._key))
        return tf.gather(values, order)

    def _next_layer(self) -> int:
        self._uses += 1
        return self._uses * _LAYERS_OF_A_USE
