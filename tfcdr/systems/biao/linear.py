"""Affine maps that start as PyTorch's do."""

import tensorflow as tf


def linear(inputs: int, outputs: int, name: str, use_bias: bool = True) -> tf.keras.layers.Dense:
    """Returns a built layer [batch, inputs] -> [batch, outputs].

    Weights and biases start from U(-b, b), b = 1 / sqrt(inputs) (SPEC section 2).
    """
    bound = inputs**-0.5
    # An initializer that is used twice gives the same numbers twice.
    kernel, bias = (tf.keras.initializers.RandomUniform(-bound, bound) for _ in range(2))
    layer = tf.keras.layers.Dense(
        outputs,
        use_bias=use_bias,
        kernel_initializer=kernel,
        bias_initializer=bias,
        name=name,
    )
    layer.build((None, inputs))
    return layer
