"""The dilated network: arithmetic by hand, what a position sees, how it starts."""

import numpy as np
import pytest
import tensorflow as tf

from tfcdr.systems.peterrec.trunk import Trunk, weight_initializer


def make(dilations=(1, 2), *, insertion="", causal=True, kernel_size=3, max_time=None, **fields):
    trunk = Trunk(
        rows=20,
        channels=8,
        dilations=dilations,
        kernel_size=kernel_size,
        causal=causal,
        max_time=max_time,
        insertion=insertion,
        **{"initialization": "independent", **fields},
    )
    trunk(tf.zeros((1, 4), tf.int32))
    return trunk


def randomize(trunk, seed=0):
    """Larger weights than at the start, so that every path shows."""
    random = np.random.default_rng(seed)
    for variable in trunk.variables:
        variable.assign(random.normal(size=variable.shape))
    return trunk


@pytest.mark.parametrize("causal", [True, False])
def test_only_a_causal_trunk_does_not_see_the_future(causal):
    trunk = randomize(make(causal=causal))
    ids = np.array([[1, 2, 3, 4, 5, 6]])
    changed = ids.copy()
    changed[0, 4] = 9
    before, after = trunk(tf.constant(ids)), trunk(tf.constant(changed))
    assert np.allclose(before[:, :4], after[:, :4]) == causal
    assert not np.allclose(before[:, 4:], after[:, 4:])


@pytest.mark.parametrize(
    ("dilations", "kernel_size", "field"),
    # 1 + 3 (k - 1) sum(d): each block's second convolution is twice as dilated as its first.
    [((1,), 3, 7), ((1, 2), 2, 10)],
)
def test_receptive_field(dilations, kernel_size, field):
    trunk = randomize(make(dilations, kernel_size=kernel_size))
    ids = np.ones((1, field + 2), np.int32)

    def last(position):
        changed = ids.copy()
        changed[0, -position] = 9
        return trunk(tf.constant(changed))[:, -1].numpy()

    unchanged = trunk(tf.constant(ids))[:, -1].numpy()
    assert not np.array_equal(last(field), unchanged)
    assert np.array_equal(last(field + 1), unchanged)


def test_position_embedding_tells_positions_apart():
    ids = tf.constant([[5, 5, 5]])
    # Taps of one position see nothing but the item and its position.
    without = randomize(make((1,), kernel_size=1))(ids).numpy()[0]
    with_positions = randomize(make((1,), kernel_size=1, max_time=6))(ids).numpy()[0]
    assert np.allclose(without[0], without[2])
    assert not np.allclose(with_positions[0], with_positions[2])


def test_positions_are_counted_from_the_newest_item():
    trunk = randomize(make((1,), kernel_size=1, max_time=6))
    short, padded = trunk(tf.constant([[1, 2]])), trunk(tf.constant([[0, 0, 1, 2]]))
    np.testing.assert_allclose(short[0], padded[0, 2:], rtol=1e-5)


@pytest.mark.parametrize("initialization", ["independent", "released"])
def test_kernels_of_equal_shape_start_different_or_identical(initialization):
    blocks = make(initialization=initialization).blocks
    kernels = [c.kernel.numpy() for b in blocks for c in (b.convolution1, b.convolution2)]
    for kernel in kernels[1:]:
        assert np.array_equal(kernel, kernels[0]) == (initialization == "released")


def test_the_seed_decides_the_start():
    def start(seed):
        tf.keras.utils.set_random_seed(seed)
        return [variable.numpy() for variable in make(insertion="serial").variables]

    first, again, other = start(1), start(1), start(2)
    assert all(map(np.array_equal, first, again))
    assert not all(map(np.array_equal, first, other))


@pytest.mark.parametrize(
    ("insertion", "adapters"), [("", 0), ("serial", 2), ("parallel", 2), ("serial_single", 1)]
)
@pytest.mark.parametrize("cardinality", [1, 2])
def test_insertion_and_cardinality_decide_the_parameters(insertion, adapters, cardinality):
    plain, patched = make(), make(insertion=insertion, cardinality=cardinality)
    assert all(len(block.adapters) == adapters for block in patched.blocks)
    # C = 8: C^2 / 2 + C / 4 + c C parameters for each adapter of two blocks.
    added = 2 * adapters * (32 + 2 + 8 * cardinality)
    assert patched.count_params() - plain.count_params() == added


def copy_pretrained(source, target):
    for old, new in zip(source.pretrained_layers, target.pretrained_layers, strict=True):
        new.set_weights(old.get_weights())


IDS = tf.constant([[0, 0, 3, 7, 1], [4, 4, 2, 9, 19]])


@pytest.mark.parametrize("cardinality", [1, 2])
@pytest.mark.parametrize(
    ("insertion", "zero_start", "unchanged"),
    [
        ("serial", True, True),
        ("serial_single", True, True),
        ("serial", False, False),
        # A parallel adapter adds its input even when its up-projection is zero.
        ("parallel", True, False),
    ],
)
def test_only_a_serial_adapter_from_zero_leaves_the_network_exactly_as_it_was(
    insertion, zero_start, unchanged, cardinality
):
    plain = randomize(make())
    patched = make(insertion=insertion, adapter_zero_start=zero_start, cardinality=cardinality)
    copy_pretrained(plain, patched)
    assert np.array_equal(plain(IDS), patched(IDS)) == unchanged


def test_parallel_from_zero_adds_the_convolutions_input():
    # Before the first norm stands conv(x) + x: with a zero convolution the norm sees x itself.
    block = make((1,), insertion="parallel", adapter_zero_start=True).blocks[0]
    for convolution in (block.convolution1, block.convolution2):
        convolution.kernel.assign(tf.zeros_like(convolution.kernel))
    inputs = tf.random.normal((1, 3, 8))

    def norm(values):
        centred = values - values.mean(-1, keepdims=True)
        return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-8)

    first = np.maximum(norm(inputs.numpy()), 0)
    expected = inputs.numpy() + np.maximum(norm(first), 0)
    np.testing.assert_allclose(block(inputs), expected, rtol=1e-4, atol=1e-5)


def test_insertions_differ():
    outputs = []
    for insertion in ("serial", "parallel", "serial_single"):
        trunk = randomize(make(insertion=insertion))
        outputs.append(trunk(IDS).numpy())
    assert not np.allclose(outputs[0], outputs[1])
    assert not np.allclose(outputs[0], outputs[2])


def test_initializer_factory_gives_a_fresh_initializer_each_time():
    make_initializer = weight_initializer("independent")
    assert not np.array_equal(make_initializer()((4, 4)), make_initializer()((4, 4)))
