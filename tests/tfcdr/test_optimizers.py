"""Adam as TensorFlow 1 computes it, embeddings included."""

import numpy as np
import pytest
import tensorflow as tf

from tfcdr import optimizers

LEARNING_RATE = 0.01


def train(jit_compile, batches, start, table_update="all_rows", optimizer=None):
    """Pulls the gathered rows of a table by given gradients; returns the table after each step."""
    table = tf.Variable(start)
    optimizer = optimizer or optimizers.adam(LEARNING_RATE, table_update)
    optimizer.build([table])

    @tf.function(jit_compile=jit_compile)
    def step(ids, slopes):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.gather(table, ids) * slopes)
        optimizer.minimize(loss, [table], tape=tape)

    tables = []
    for ids, slopes in batches:
        step(tf.constant(ids), tf.constant(slopes, tf.float32))
        tables.append(table.numpy())
    return tables


def test_epsilon_stands_outside_the_bias_correction(jit_compile):
    # Step 1: lr sqrt(1-b2)/(1-b1) * (1-b1) g / (sqrt((1-b2) g^2) + 1e-8); sqrt(0.001) = 0.0316228.
    # With g = 1e-6: lr * 3.16228e-8 / (3.16228e-8 + 1e-8) = 0.759746 lr.
    (after,) = train(jit_compile, [([0], [[1e-6]])], np.zeros((1, 1), np.float32))
    assert after[0, 0] == pytest.approx(-0.759746 * LEARNING_RATE, rel=1e-4)


def test_rows_that_a_batch_does_not_touch_still_move(jit_compile):
    # Row 1 has gradient 1 in step 1 and none in step 2. Step 2: m = 0.9 * 0.1 = 0.09,
    # v = 0.999 * 0.001 = 0.000999, lr_2 = lr sqrt(1 - 0.998001) / (1 - 0.81) = lr * 0.235316;
    # the row moves by lr * 0.235316 * 0.09 / sqrt(0.000999) = 0.67005 lr. Row 2 never moves.
    start = np.zeros((3, 1), np.float32)
    first, second = train(jit_compile, [([1], [[1.0]]), ([0], [[1.0]])], start)
    assert first[:, 0] == pytest.approx([0.0, -LEARNING_RATE, 0.0], rel=1e-4)
    assert second[1, 0] - first[1, 0] == pytest.approx(-0.67005 * LEARNING_RATE, rel=1e-4)
    assert second[2, 0] == 0.0


def test_rows_that_a_batch_does_not_touch_can_rest(jit_compile):
    # Row 1 moves by lr in step 1 and rests in step 2; in step 3 its moments go on from step 1:
    # m = 0.9 * 0.1 + 0.1 = 0.19, v = 0.999 * 0.001 + 0.001 = 0.001999, and the bias correction is
    # that of step 3, sqrt(1 - 0.999^3) / (1 - 0.9^3) = 0.202011.
    start = np.zeros((3, 1), np.float32)
    batches = [([1], [[1.0]]), ([0], [[1.0]]), ([1], [[1.0]])]
    first, second, third = train(jit_compile, batches, start, "touched_rows")
    assert second[1, 0] == first[1, 0] == pytest.approx(-LEARNING_RATE, rel=1e-4)
    moved = 0.202011 * 0.19 / np.sqrt(0.001999) * LEARNING_RATE
    assert third[1, 0] - second[1, 0] == pytest.approx(-moved, rel=1e-4)
    assert third[2, 0] == 0.0


@pytest.mark.parametrize("table_update", optimizers.TABLE_UPDATES)
def test_agrees_with_numpy_over_many_steps(jit_compile, table_update):
    random = np.random.default_rng(0)
    start = random.normal(size=(5, 2)).astype(np.float32)
    # Repeated ids add up their gradients.
    batches = [(random.integers(0, 5, 4), random.normal(size=(4, 2))) for _ in range(6)]
    assert any(len(set(ids)) < len(ids) for ids, _ in batches)
    table = start.astype(np.float64)
    first, second = np.zeros_like(table), np.zeros_like(table)
    for number, (ids, slopes) in enumerate(batches, start=1):
        gradient = np.zeros_like(table)
        np.add.at(gradient, ids, slopes)
        moving = slice(None) if table_update == "all_rows" else np.unique(ids)
        first[moving] = 0.9 * first[moving] + 0.1 * gradient[moving]
        second[moving] = 0.999 * second[moving] + 0.001 * gradient[moving] ** 2
        rate = LEARNING_RATE * np.sqrt(1 - 0.999**number) / (1 - 0.9**number)
        table[moving] -= rate * first[moving] / (np.sqrt(second[moving]) + 1e-8)
    came = train(jit_compile, batches, start, table_update)[-1]
    np.testing.assert_allclose(came, table, atol=1e-3 * LEARNING_RATE)


def test_pytorch_epsilon_is_added_to_the_corrected_moment(jit_compile):
    # Step 1: m / (1-b1) = g and sqrt(v / (1-b2)) = g. With g = 1e-8: lr * 1e-8 / (1e-8 + 1e-8).
    optimizer = optimizers.pytorch_adam(LEARNING_RATE)
    (after,) = train(
        jit_compile, [([0], [[1e-8]])], np.zeros((1, 1), np.float32), optimizer=optimizer
    )
    assert after[0, 0] == pytest.approx(-0.5 * LEARNING_RATE, rel=1e-4)


def test_a_small_penalty_moves_an_unread_row_by_a_whole_step(jit_compile):
    # Row 1 is never read: g = l2 w = 3e-7, so that step 1 is lr * 3e-7 / (3e-7 + 1e-8).
    start = np.full((2, 1), 0.3, np.float32)
    optimizer = optimizers.pytorch_adam(LEARNING_RATE, l2=1e-6)
    (after,) = train(jit_compile, [([0], [[1.0]])], start, optimizer=optimizer)
    assert 0.3 - after[1, 0] == pytest.approx(30 / 31 * LEARNING_RATE, rel=1e-3)


@pytest.mark.parametrize("table_update", optimizers.TABLE_UPDATES)
def test_pytorch_adam_agrees_with_numpy_over_many_steps(jit_compile, table_update):
    random = np.random.default_rng(0)
    start = random.normal(size=(5, 2)).astype(np.float32)
    batches = [(random.integers(0, 4, 4), random.normal(size=(4, 2))) for _ in range(6)]
    table = start.astype(np.float64)
    first, second = np.zeros_like(table), np.zeros_like(table)
    for number, (ids, slopes) in enumerate(batches, start=1):
        gradient = 0.5 * table
        np.add.at(gradient, ids, slopes)
        moving = slice(None) if table_update == "all_rows" else np.unique(ids)
        first[moving] = 0.9 * first[moving] + 0.1 * gradient[moving]
        second[moving] = 0.999 * second[moving] + 0.001 * gradient[moving] ** 2
        size = np.sqrt(second[moving] / (1 - 0.999**number)) + 1e-8
        table[moving] -= LEARNING_RATE / (1 - 0.9**number) * first[moving] / size
    optimizer = optimizers.pytorch_adam(LEARNING_RATE, l2=0.5, table_update=table_update)
    came = train(jit_compile, batches, start, optimizer=optimizer)[-1]
    np.testing.assert_allclose(came, table, atol=1e-3 * LEARNING_RATE)
    # Row 4 is never read.
    assert (came[4] == start[4]).all() == (table_update == "touched_rows")


def test_only_chosen_variables_are_penalised(jit_compile):
    kernel = tf.Variable([[1.0]], name="kernel")
    bias = tf.Variable([1.0], name="bias")
    optimizer = optimizers.pytorch_adam(
        LEARNING_RATE, l2=0.5, decays=lambda variable: "bias" not in variable.name
    )
    optimizer.build([kernel, bias])
    step = tf.function(optimizer.apply_gradients, jit_compile=jit_compile)
    step([(tf.zeros((1, 1)), kernel), (tf.zeros(1), bias)])
    assert float(kernel[0, 0]) == pytest.approx(1 - LEARNING_RATE, rel=1e-4)
    assert float(bias[0]) == 1.0


def test_pytorch_adam_can_be_rebuilt_from_its_configuration():
    optimizer = optimizers.pytorch_adam(LEARNING_RATE, l2=0.5, table_update="touched_rows")
    again = type(optimizer).from_config(optimizer.get_config())
    assert again.get_config() == optimizer.get_config()
