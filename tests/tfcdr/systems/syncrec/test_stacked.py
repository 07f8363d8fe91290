"""Stacked layers against the same one by one."""

import numpy as np
import pytest
import tensorflow as tf

from tests.compilation import compiled_or_plain
from tfcdr.systems.syncrec.encoder import gelu
from tfcdr.systems.syncrec.stacked import StackedDense

SIZE, UNITS = 5, 6


def normal(*shape):
    return np.random.default_rng(len(shape)).normal(size=shape).astype(np.float32)


def layer_of(count):
    layer = StackedDense(count, UNITS)
    layer.build(tf.TensorShape((count, None, SIZE)))
    layer.bias.assign(normal(count, UNITS))
    return layer


def assert_same(layer, inputs, made, expected, jit_compile):
    """Outputs and their slopes in inputs, kernels and biases, of two functions of inputs."""

    def with_slopes(function):
        values = tf.constant(inputs)
        with tf.GradientTape() as tape:
            tape.watch(values)
            outputs = function(values)
            total = tf.reduce_sum(tf.sin(outputs))
        slopes = tape.gradient(total, [values, layer.kernel, layer.bias])
        return [outputs, *map(tf.convert_to_tensor, slopes)]

    compiled = compiled_or_plain(lambda: with_slopes(made), jit_compile)()
    for found, wanted in zip(compiled, with_slopes(expected), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("count", "stack"), [(1, 3), (3, 3), (3, 1)])
def test_maps_are_those_of_each_by_itself(count, stack, jit_compile):
    layer, inputs = layer_of(count), normal(stack, 2, 4, SIZE)

    def one_by_one(values):
        return tf.stack(
            [
                tf.tensordot(values[place % stack], layer.kernel[place % count], 1)
                + layer.bias[place % count]
                for place in range(3)
            ]
        )

    assert_same(layer, inputs, layer, one_by_one, jit_compile)


def test_some_columns_are_those_of_all(jit_compile):
    layer, inputs = layer_of(2), normal(2, 4, SIZE)

    def of_all(values):
        return layer(values)[..., 2:]

    def some(values):
        return layer(values, columns=slice(2, None))

    assert_same(layer, inputs, some, of_all, jit_compile)


def test_each_input_goes_through_the_map_that_it_names(jit_compile):
    layer, inputs, named = layer_of(3), normal(4, 7, SIZE), [2, 0, 0, 1]

    def one_by_one(values):
        return tf.stack(
            [
                tf.matmul(values[place], layer.kernel[number]) + layer.bias[number]
                for place, number in enumerate(named)
            ]
        )

    def by_name(values):
        return layer(values, which=tf.one_hot(named, 3))

    assert_same(layer, inputs, by_name, one_by_one, jit_compile)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-6), ("float16", 2e-3)])
def test_gelu_is_tensorflows(dtype, tolerance):
    inputs = tf.cast(tf.linspace(-8.0, 8.0, 101), dtype)
    expected = tf.nn.gelu(tf.cast(inputs, tf.float32))
    np.testing.assert_allclose(gelu(inputs), expected, rtol=tolerance, atol=1e-6)
