"""Domain critics: a perceptron that scores features, its Wasserstein loss, its gradient penalty."""

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from tfcdr import losses
from tfcdr.systems.daa.config import DaaConfig


class Critic(tf.keras.layers.Layer):
    """Scores features high that look like the source domain's (SPEC section 4).

    Input float32 [batch, features]; output float32 [batch]. Weights start from N(0, 0.02^2),
    biases from 0.
    """

    def __init__(self, features: int, config: DaaConfig, **kwargs: object) -> None:
        """Creates the critic with every weight.

        Args:
          features: width of its input.
          config: the configuration.
          **kwargs: of the Keras layer.
        """
        # Its second derivatives would suffer from half precision, and it is small.
        super().__init__(dtype=tf.float32, **kwargs)
        self._ends_in_log_softmax = config.critic == "released"
        self.layers = [
            tf.keras.layers.Dense(
                width,
                kernel_initializer=tf.keras.initializers.RandomNormal(stddev=0.02),
                dtype=tf.float32,
            )
            for width in (config.critic_hidden, config.critic_hidden, 1)
        ]
        self(tf.zeros((1, features)))

    def call(self, features: tf.Tensor) -> tf.Tensor:
        *hidden_layers, output = self.layers
        for layer in hidden_layers:
            features = tf.nn.leaky_relu(layer(features), 0.2)
        scores = output(features)
        if self._ends_in_log_softmax:
            scores = tf.nn.log_softmax(scores, 1)
        return tf.squeeze(scores, 1)


def input_gradient(critic: Critic, features: tf.Tensor) -> tf.Tensor:
    """Returns a critic's gradient by each row of its input, float [batch, features]."""
    with tf.GradientTape() as tape:
        tape.watch(features)
        scores = critic(features)
    return tape.gradient(scores, features)


def row_norms(rows: tf.Tensor) -> tf.Tensor:
    """Returns Euclidean norms float [batch] of rows, whose gradient at 0 is 0, not NaN."""
    squares = tf.reduce_sum(tf.square(rows), 1)
    # Both: a gradient of 0 times an infinite one would be NaN.
    root = tf.sqrt(tf.where(squares > 0, squares, 1.0))
    return tf.where(squares > 0, root, 0.0)


def gradient_penalty(
    critic: Critic, real: tf.Tensor, fake: tf.Tensor, alpha: tf.Tensor, weights: tf.Tensor
) -> tf.Tensor:
    """Returns the mean of (norm - 1)^2 of the critic's gradient between real and fake rows.

    Args:
      critic: whose gradient's norm should be 1.
      real: float [batch, features]; constant, no gradient goes there.
      fake: like `real`.
      alpha: float [batch, 1] in [0, 1], the share of the real row in a point.
      weights: float [batch] of the pairs.
    """
    points = tf.stop_gradient(alpha * real + (1 - alpha) * fake)
    norms = row_norms(input_gradient(critic, points))
    return losses.weighted_mean(tf.square(norms - 1), weights)


class CriticLosses(NamedTuple):
    """The terms of a critic's loss, float scalars.

    Attributes:
      own: mean score of the critic's own real features.
      cross: mean score of the other critic's real features.
      fake: mean score of the target domain's features.
      penalty: weighted gradient penalty.
      loss: fake - rho_1 own - rho_2 cross + penalty.
    """

    own: tf.Tensor
    cross: tf.Tensor
    fake: tf.Tensor
    penalty: tf.Tensor
    loss: tf.Tensor


def critic_losses(
    critics: Sequence[Critic],
    real: Sequence[tf.Tensor],
    fake: tf.Tensor,
    alpha: tf.Tensor,
    source_weight: tf.Tensor,
    target_weight: tf.Tensor,
    config: DaaConfig,
) -> list[CriticLosses]:
    """Computes both critics' losses (SPEC section 5).

    Args:
      critics: the two.
      real: two times float [batch, features]: source features by the source and by the target
        model. The first critic's own ones are the first.
      fake: float [batch, features], target features by the target model.
      alpha: float [2, batch, 1] in [0, 1], for the gradient penalty of each critic.
      source_weight: float [batch] of the source rows.
      target_weight: float [batch] of the target rows.
      config: gives the weights of the terms.
    """
    terms = []
    own_weight, cross_weight = config.real_weights
    for number, critic in enumerate(critics):
        own = losses.weighted_mean(critic(real[number]), source_weight)
        cross = losses.weighted_mean(critic(real[1 - number]), source_weight)
        of_fake = losses.weighted_mean(critic(fake), target_weight)
        penalty = config.gradient_penalty * gradient_penalty(
            critic, real[number], fake, alpha[number], source_weight * target_weight
        )
        loss = of_fake - own_weight * own - cross_weight * cross + penalty
        terms.append(CriticLosses(own, cross, of_fake, penalty, loss))
    return terms
