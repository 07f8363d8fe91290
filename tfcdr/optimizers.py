"""Optimizers with the constants that the papers' code uses."""

import tensorflow as tf


def adam(learning_rate: float) -> tf.keras.optimizers.Optimizer:
    """Returns Adam with TensorFlow 1's epsilon of 1e-8, outside the bias correction.

    w -= lr sqrt(1 - b2^t) / (1 - b1^t) * m / (sqrt(v) + epsilon). Rows of an embedding that a
    batch does not touch still decay their moments and still move.

    Args:
      learning_rate: step size.
    """
    # XLA is asked for once, by compiling the train step; the optimizer's own compilation would
    # only add a second trace.
    return tf.keras.optimizers.Adam(learning_rate, epsilon=1e-8, jit_compile=False)
