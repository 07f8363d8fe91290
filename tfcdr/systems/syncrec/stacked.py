"""Layers of one shape side by side, each with weights of its own.

Tensors have the stack in front, [count, ..., width], or 1 there for what all layers read alike; so
have weights, or 1 there for layers that share them. A batched matrix product does the work of all.
"""

from collections.abc import Callable

import tensorflow as tf

# What linear kernels and embeddings start from: SPEC section 6.
STANDARD_DEVIATION = 0.02


def normal() -> tf.keras.initializers.Initializer:
    """Returns a fresh N(0, 0.02^2)."""
    return tf.keras.initializers.RandomNormal(stddev=STANDARD_DEVIATION)


class StackedDense(tf.keras.layers.Layer):
    """Affine maps: [count or 1, ..., in] -> [count, ..., units]."""

    def __init__(self, count: int, units: int, **kwargs: object) -> None:
        """Creates the maps.

        Args:
          count: how many have weights of their own; 1 for one that all inputs share.
          units: outputs of each.
          **kwargs: of the Keras layer.
        """
        super().__init__(**kwargs)
        self.count = count
        self.units = units

    def build(self, input_shape: tf.TensorShape) -> None:
        shape = (self.count, input_shape[-1], self.units)
        self.kernel = self.add_weight("kernel", shape, initializer=normal())
        self.bias = self.add_weight("bias", (self.count, self.units), initializer="zeros")
        super().build(input_shape)

    def call(
        self,
        inputs: tf.Tensor,
        columns: slice = slice(None),
        which: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Maps inputs to all outputs, or to some columns of them.

        Args:
          inputs: see the class; with `which`, [n, ..., in].
          columns: of the outputs.
          which: float [n, count], a one for the map that each of n inputs goes through.
        """
        kernel, bias = self.kernel[..., columns], self.bias[..., columns]
        if which is not None:
            # A product, since the gradient of a gather is slow under XLA on CPU.
            chosen = tf.matmul(which, tf.reshape(kernel, (self.count, -1)))
            kernel = tf.reshape(chosen, (-1, *kernel.shape[1:]))
            bias = tf.matmul(which, bias)
        # Rows in one dimension: XLA on CPU has a kernel for one batch dimension.
        rows = tf.reshape(inputs, (inputs.shape[0], -1, inputs.shape[-1]))
        product = _with_bias(tf.matmul(rows, kernel), bias)
        count, units = product.shape[0], product.shape[-1]
        shape = tf.concat([[count], tf.shape(inputs)[1:-1], [units]], 0)
        outputs = tf.reshape(product, shape)
        return tf.ensure_shape(outputs, [count, *inputs.shape[1:-1], units])


@tf.custom_gradient
def _with_bias(
    rows: tf.Tensor, bias: tf.Tensor
) -> tuple[tf.Tensor, Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]]:
    """Adds float [count or 1, units] to every row of float [count, n, units].

    The bias's gradient is a product with ones, which is faster than XLA's sums over rows on CPU.
    """

    def gradients(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        ones = tf.ones_like(upstream[:, tf.newaxis, :, 0])
        sums = tf.matmul(ones, upstream)[:, 0]
        if bias.shape[0] == 1:
            sums = tf.reduce_sum(sums, 0, keepdims=True)
        return upstream, sums

    return rows + bias[:, tf.newaxis], gradients


class StackedLayerNorm(tf.keras.layers.Layer):
    """Layer normalisations over the last axis, with the biased variance and epsilon 1e-12.

    Input and output: float [count, ..., width]; statistics are float32 whatever the precision.
    """

    EPSILON = 1e-12

    def __init__(self, count: int, **kwargs: object) -> None:
        """Creates the layers; `count` as in `StackedDense`."""
        super().__init__(**kwargs)
        self.count = count

    def build(self, input_shape: tf.TensorShape) -> None:
        shape = (self.count, input_shape[-1])
        self.gamma = self.add_weight("gamma", shape, initializer="ones")
        self.beta = self.add_weight("beta", shape, initializer="zeros")

    def call(self, inputs: tf.Tensor, which: tf.Tensor | None = None) -> tf.Tensor:
        """Normalises inputs.

        Args:
          inputs: see the class; with `which`, [..., width].
          which: float [..., count], a one for the layer that each input goes through.
        """
        values = tf.cast(inputs, tf.float32)
        centred = values - tf.reduce_mean(values, -1, keepdims=True)
        variance = tf.reduce_mean(centred * centred, -1, keepdims=True)
        normalised = centred * tf.math.rsqrt(variance + self.EPSILON)
        if which is not None:
            gamma, beta = (tf.matmul(which, weight) for weight in (self.gamma, self.beta))
            return tf.cast(normalised, inputs.dtype) * gamma + beta
        shape = (self.count, *[1] * (inputs.shape.rank - 2), inputs.shape[-1])
        gamma, beta = (tf.reshape(weight, shape) for weight in (self.gamma, self.beta))
        return tf.cast(normalised, inputs.dtype) * gamma + beta
