"""The dilated convolution: arithmetic by hand, and its two formulations against each other."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tfcdr.systems.peterrec.dilated_convolution import DilatedConvolution
from tfcdr.systems.peterrec.trunk import Trunk


def convolve(
    inputs, kernel, bias, dilation, causal, time_major, jit_compile=False, gradients=False
):
    """Returns outputs and, if asked for, gradients by inputs and weights, all batch-major."""
    layer = DilatedConvolution(
        kernel.shape[-1], len(kernel), dilation, causal, time_major, tf.keras.initializers.Zeros()
    )
    layout = (1, 0, 2) if time_major else (0, 1, 2)
    x = tf.transpose(tf.constant(inputs, tf.float32), layout)
    layer.build(x.shape)
    layer.kernel.assign(kernel)
    layer.bias.assign(bias)

    @tf.function(jit_compile=jit_compile)
    def run(x):
        if not gradients:
            return [tf.transpose(layer(x), layout)]
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x)
            loss = tf.reduce_sum(tf.sin(y))
        of_x, *of_weights = tape.gradient(loss, [x, *layer.trainable_variables])
        return [tf.transpose(y, layout), tf.transpose(of_x, layout), *of_weights]

    return [value.numpy() for value in run(x)]


@pytest.mark.parametrize("time_major", [True, False])
@pytest.mark.parametrize(
    ("causal", "kernel", "dilation", "expected"),
    [
        # y[t] = 100 x[t-4] + 10 x[t-2] + x[t], zeros before the start.
        (True, [100, 10, 1], 2, [1, 2, 13, 24, 135]),
        # Half of the padding on each side: y[t] = 100 x[t-1] + 10 x[t] + x[t+1].
        (False, [100, 10, 1], 1, [12, 123, 234, 345, 450]),
        # An odd padding of one goes to the right: y[t] = 10 x[t] + x[t+1].
        (False, [10, 1], 1, [12, 23, 34, 45, 50]),
        (True, [10, 1], 1, [1, 12, 23, 34, 45]),
        # Two taps that reach 9 steps back and more meet nothing but padding.
        (True, [100, 10, 1], 9, [1, 2, 3, 4, 5]),
    ],
)
def test_by_hand(causal, kernel, dilation, expected, time_major, jit_compile):
    inputs, kernel = np.arange(1.0, 6.0).reshape(1, 5, 1), np.reshape(kernel, (-1, 1, 1))
    (outputs,) = convolve(inputs, kernel, [0.5], dilation, causal, time_major, jit_compile)
    np.testing.assert_allclose(outputs[0, :, 0], np.array(expected) + 0.5, rtol=1e-6)


@settings(max_examples=25, deadline=None)
@given(
    time=st.integers(1, 7),
    kernel_size=st.integers(1, 4),
    dilation=st.integers(1, 5),
    causal=st.booleans(),
)
def test_both_formulations_agree_on_outputs_and_gradients(time, kernel_size, dilation, causal):
    # TensorFlow's own convolution cannot be differentiated on every CPU unless XLA compiles it.
    random = np.random.default_rng(0)
    inputs = random.normal(size=(3, time, 2))
    kernel, bias = random.normal(size=(kernel_size, 2, 4)), random.normal(size=4)
    ours, theirs = (
        convolve(inputs, kernel, bias, dilation, causal, time_major, not time_major, gradients=True)
        for time_major in (True, False)
    )
    for came, expected in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(came, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("insertion", ["", "serial", "parallel", "serial_single"])
@pytest.mark.parametrize("causal", [True, False])
def test_a_trunk_gives_the_same_in_both(insertion, causal):
    outputs = []
    for time_major in (True, False):
        trunk = Trunk(
            rows=20,
            channels=8,
            dilations=(1, 4),
            kernel_size=3,
            causal=causal,
            max_time=9,
            initialization="independent",
            insertion=insertion,
            time_major=time_major,
        )
        trunk(tf.zeros((1, 9), tf.int32))
        random = np.random.default_rng(1)
        for variable in trunk.variables:
            variable.assign(random.normal(size=variable.shape))
        outputs.append(trunk(tf.constant(random.integers(0, 20, (3, 9)))))
    np.testing.assert_allclose(*outputs, rtol=1e-4, atol=1e-5)
