"""The operations that carry a system's arithmetic, each beside a plain matrix product."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import tensorflow as tf

from tfcdr.data_source import DataSource, ImpressionSource
from tfcdr.stage import Stage
from tfcdr.systems.daa.config import DaaConfig
from tfcdr.systems.peterrec.config import PeterRecConfig
from tfcdr.systems.peterrec.dilated_convolution import DilatedConvolution, prefers_time_major

# The kernel that measures what the machine multiplies in a second.
MATRIX_PRODUCTS = "matrix products"


class Kernel(NamedTuple):
    """A compiled piece of arithmetic.

    Attributes:
      run: does it once.
      flops: float operations that this takes, a multiply-add counted twice.
    """

    run: Callable[[], None]
    flops: int


def no_kernels(config: object, data: DataSource, stage: Stage) -> dict[str, Kernel]:
    """For systems that are measured by their steps alone."""
    del config, data, stage
    return {}


def convolutions(config: PeterRecConfig, data: DataSource, stage: Stage) -> dict[str, Kernel]:
    """Every dilated convolution of a step, forward and backward, and products of that size.

    "convolutions" runs the network's convolutions one after the other, compiled as the step is.
    "matrix products" multiplies [batch * length, k C] by [k C, C] by `tf.matmul` as often, with
    both products of its gradient. The convolutions' operations leave out what meets padding.
    """
    batch, time, channels = stage.batch_size, data.max_length, config.channels
    time_major = prefers_time_major()
    start = tf.keras.initializers.TruncatedNormal(stddev=0.02, seed=1)
    dilations = [dilation for first in config.dilations for dilation in (first, 2 * first)]
    layers = [
        DilatedConvolution(channels, config.kernel_size, dilation, config.causal, time_major, start)
        for dilation in dilations
    ]
    inputs = tf.random.stateless_normal(
        (time, batch, channels) if time_major else (batch, time, channels), seed=(0, 0)
    )
    for layer in layers:
        layer.build(inputs.shape)

    @tf.function(jit_compile=True)
    def convolve() -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = inputs
            for layer in layers:
                outputs = layer(outputs)
        weights = [layer.kernel for layer in layers]
        return tape.gradient(outputs, [inputs, *weights], output_gradients=inputs)

    shape = (batch * time, config.kernel_size * channels)
    # Other factors for every product: equal ones would be computed once.
    factors = [
        (
            tf.random.stateless_normal(shape, seed=(index, 0)),
            tf.random.stateless_normal((shape[1], channels), seed=(index, 1)),
            tf.random.stateless_normal((shape[0], channels), seed=(index, 2)),
        )
        for index in range(len(layers))
    ]

    @tf.function
    def multiply() -> list[tuple[tf.Tensor, tf.Tensor, tf.Tensor]]:
        return [
            (
                tf.matmul(rows, kernel),
                tf.matmul(upstream, kernel, transpose_b=True),
                tf.matmul(rows, upstream, transpose_a=True),
            )
            for rows, kernel, upstream in factors
        ]

    product = 3 * 2 * batch * channels * channels
    met = sum(_steps_met(time, config, dilation) for dilation in dilations)
    nominal = time * config.kernel_size * len(layers)
    return {
        "convolutions": Kernel(convolve, product * met),
        MATRIX_PRODUCTS: Kernel(multiply, product * nominal),
    }


def _steps_met(time: int, config: PeterRecConfig, dilation: int) -> int:
    """Returns how many (step, tap) pairs of a convolution read an item rather than padding."""
    padding = (config.kernel_size - 1) * dilation
    left = padding if config.causal else padding // 2
    shifts = (left - tap * dilation for tap in range(config.kernel_size))
    return sum(max(0, time - abs(shift)) for shift in shifts)


def first_layer(config: DaaConfig, data: ImpressionSource, stage: Stage) -> dict[str, Kernel]:
    """The product of all experts' first layer, with both products of its gradient.

    It is what a machine multiplies at its best, and so the measure for backbones of any size.
    """
    inputs = (len(data.field_sizes) + 1) * config.embedding_size
    outputs = config.experts * config.bottom_widths[0]
    rows, upstream = (
        tf.random.stateless_normal((stage.batch_size, width), seed=(width, 0))
        for width in (inputs, outputs)
    )
    kernel = tf.random.stateless_normal((inputs, outputs), seed=(0, 1))

    @tf.function
    def multiply() -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        return (
            tf.matmul(rows, kernel),
            tf.matmul(upstream, kernel, transpose_b=True),
            tf.matmul(rows, upstream, transpose_a=True),
        )

    return {MATRIX_PRODUCTS: Kernel(multiply, 3 * 2 * stage.batch_size * inputs * outputs)}


KERNELS: Mapping[str, Callable[..., dict[str, Kernel]]] = {
    "daa": first_layer,
    "peterrec": convolutions,
}
# Systems with no other costly arithmetic: their steps are measured by the rate of products.
MATRIX_PRODUCTS_ALONE = frozenset({"daa"})
