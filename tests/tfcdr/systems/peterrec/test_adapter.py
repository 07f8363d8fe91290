"""The model patch by hand, and how its branches start."""

import numpy as np
import pytest
import tensorflow as tf

from tests.compilation import compiled_or_plain
from tfcdr.systems.peterrec.adapter import Adapter
from tfcdr.systems.peterrec.trunk import weight_initializer

GELU_1 = 0.5 * (1 + np.tanh(np.sqrt(2 / np.pi) * 1.044715))  # 0.841192


def make(channels, cardinality, initialization="independent", up=None):
    initializer = weight_initializer(initialization)
    adapter = Adapter(cardinality, initializer, up or initializer)
    adapter.build((None, None, channels))
    return adapter


def test_one_branch_by_hand(jit_compile):
    adapter = make(4, 1)  # H = 4 / 4 = 1
    adapter.down_kernel.assign([[2.0], [0.0], [0.0], [0.0]])
    adapter.down_bias.assign([-1.0])
    adapter.up_kernel.assign([[1.0, 2.0, 0.0, 0.0]])
    adapter.up_bias.assign([[0.0, 0.0, 0.0, 5.0]])
    # x = e1: 2 - 1 = 1 inside, gelu(1) = 0.841192 to channel 1, twice that to channel 2.
    patched = compiled_or_plain(adapter, jit_compile)(tf.constant([[[1.0, 0.0, 0.0, 0.0]]]))
    assert patched.numpy()[0, 0] == pytest.approx([1 + GELU_1, 2 * GELU_1, 0.0, 5.0], rel=1e-5)


def test_branches_add_up_with_a_bias_each(jit_compile):
    adapter = make(8, 2)  # two branches of width 1
    down, up = np.zeros((8, 2)), np.zeros((2, 8))
    down[0, 0], down[1, 1] = 1.0, 1.0
    up[0, 2], up[1, 2], up[1, 3] = 1.0, 10.0, 100.0
    adapter.down_kernel.assign(down)
    adapter.up_kernel.assign(up)
    adapter.up_bias.assign([[0.5] * 8, [0.25] * 8])
    # x = e1 + e2: both branches hold gelu(1); biases add 0.75 everywhere.
    inputs = np.zeros((1, 1, 8), np.float32)
    inputs[..., :2] = 1.0
    patched = compiled_or_plain(adapter, jit_compile)(tf.constant(inputs)).numpy()[0, 0]
    expected = [1.75, 1.75, 0.75 + 11 * GELU_1, 0.75 + 100 * GELU_1, *[0.75] * 4]
    assert patched == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("cardinality", [1, 2, 4])
def test_number_of_parameters(cardinality):
    # C^2 / 2 + C / 4 + c C
    assert make(32, cardinality).count_params() == 512 + 8 + 32 * cardinality


@pytest.mark.parametrize("initialization", ["independent", "released"])
def test_branches_start_different_or_identical(initialization):
    adapter = make(32, 4, initialization)  # four branches of width 2
    down = np.split(adapter.down_kernel.numpy(), 4, axis=1)
    up = np.split(adapter.up_kernel.numpy(), 4, axis=0)
    for branch in range(1, 4):
        for kernels in (down, up):
            same = np.array_equal(kernels[branch], kernels[0])
            assert same == (initialization == "released")
    assert np.std(adapter.down_kernel) == pytest.approx(0.02 * 0.88, rel=0.2)  # truncated at 2 sd


def test_zero_up_projection_is_the_identity():
    adapter = make(8, 2, up=tf.keras.initializers.Zeros)
    inputs = tf.random.normal((2, 3, 8))
    np.testing.assert_array_equal(adapter(inputs), inputs)
