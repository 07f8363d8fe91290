"""Critics: the released one is blind, the working one is not; the gradient penalty."""

import numpy as np
import pytest
import tensorflow as tf

from tests.tfcdr.systems.daa.small import config
from tfcdr.systems.daa.critic import Critic, gradient_penalty, row_norms

REAL = tf.constant(np.random.default_rng(0).normal(size=(6, 4)), tf.float32)
FAKE = REAL + 3.0
ALPHA = tf.fill((6, 1), 0.5)


def critic(**fields):
    built = Critic(4, config(**fields))
    random = np.random.default_rng(1)
    built.set_weights([random.normal(size=weight.shape) for weight in built.get_weights()])
    return built


def signal(critic):
    """Score of the fake rows and its gradient by them."""
    with tf.GradientTape() as tape:
        tape.watch(FAKE)
        score = tf.reduce_mean(critic(FAKE))
    return float(score), tape.gradient(score, FAKE).numpy()


def test_the_released_critic_gives_no_signal_and_the_working_one_does():
    score, gradient = signal(critic(critic="released"))
    assert score == 0.0
    assert not gradient.any()
    score, gradient = signal(critic())
    assert score != 0.0
    assert np.abs(gradient).max() > 1e-3


def test_penalty_of_a_linear_critic_by_hand():
    linear = critic()
    # Slope (3, 4, 0, 0) through units that stay positive.
    first, second, last = linear.layers
    first.set_weights([np.eye(4, 6), np.full(6, 100.0)])
    second.set_weights([np.eye(6), np.zeros(6)])
    last.set_weights([np.array([[3.0], [4.0], [0], [0], [0], [0]]), np.zeros(1)])
    penalty = gradient_penalty(linear, REAL, FAKE, ALPHA, tf.ones(6))
    assert float(penalty) == pytest.approx((5 - 1) ** 2, rel=1e-6)


def test_filling_rows_do_not_count():
    weights = tf.constant([1.0, 1.0, 1.0, 0.0, 0.0, 0.0])
    judge = critic()
    part = gradient_penalty(judge, REAL[:3], FAKE[:3], ALPHA[:3], tf.ones(3))
    whole = gradient_penalty(judge, REAL, FAKE, ALPHA, weights)
    assert float(whole) == pytest.approx(float(part), rel=1e-6)


def test_a_gradient_of_norm_zero_gives_no_nan(jit_compile):
    blind = critic(critic="released")

    @tf.function(jit_compile=jit_compile)
    def gradients():
        with tf.GradientTape() as tape:
            penalty = gradient_penalty(blind, REAL, FAKE, ALPHA, tf.ones(6))
        return penalty, tape.gradient(
            penalty, blind.trainable_variables, unconnected_gradients="zero"
        )

    penalty, of_weights = gradients()
    assert float(penalty) == 1.0  # (0 - 1)^2
    assert not any(gradient.numpy().any() for gradient in of_weights)


def test_norm_of_a_row_of_zeros():
    rows = tf.constant([[0.0, 0.0], [3.0, 4.0]])
    with tf.GradientTape() as tape:
        tape.watch(rows)
        norms = row_norms(rows)
    np.testing.assert_allclose(norms, [0.0, 5.0])
    np.testing.assert_allclose(tape.gradient(norms, rows), [[0.0, 0.0], [0.6, 0.8]], rtol=1e-6)
