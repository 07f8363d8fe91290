"""A bound on the mutual information of both tasks' representations: SPEC section 4."""

from typing import NamedTuple

import tensorflow as tf


class Scores(NamedTuple):
    """How well the cross-domain state at each position fits to others.

    Attributes:
      own: float [B, T], p: to the single-domain state at the same position.
      other: float [B, T], q: to another user's item there.
    """

    own: tf.Tensor
    other: tf.Tensor

    def losses(self) -> tf.Tensor:
        """Returns float [B, T], -log sigmoid(p - q)."""
        return tf.nn.softplus(self.other - self.own)


class MutualInformation(tf.keras.layers.Layer):
    """Scores pairs of representations by a bilinear form.

    Kernel and bias start from U(-b, b), b = 1 / sqrt(H), as PyTorch's linear layers do.
    """

    def __init__(self, size: int, **kwargs: object) -> None:
        """Creates the form for representations of width `size`."""
        super().__init__(**kwargs)
        bound = size**-0.5
        # One of its own each: an initializer without a seed gives the same values again.
        kernel, bias = (tf.keras.initializers.RandomUniform(-bound, bound) for _ in range(2))
        self.projection = tf.keras.layers.Dense(
            size, kernel_initializer=kernel, bias_initializer=bias, name="projection"
        )

    def call(self, cross: tf.Tensor, single: tf.Tensor, other: tf.Tensor) -> Scores:
        """Scores every position; all float [B, T, H].

        Args:
          cross: states of the cross-domain task.
          single: states of the single-domain tasks, each at the positions of its domain.
          other: item vectors of other users.
        """
        projected = tf.cast(self.projection(cross), tf.float32)
        return Scores(
            *(
                tf.sigmoid(tf.reduce_sum(projected * tf.cast(vectors, tf.float32), -1))
                for vectors in (single, other)
            )
        )
