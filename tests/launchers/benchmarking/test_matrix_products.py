"""Operations are counted as one counts them by hand."""

import tensorflow as tf

from launchers.benchmarking import matrix_products


def test_operations_of_matrix_products_with_their_gradients():
    kernel = tf.Variable(tf.ones((3, 5)))
    bank = tf.Variable(tf.ones((2, 5, 7)))

    def gradients(batch):
        with tf.GradientTape() as tape:
            hidden = tf.matmul(batch["rows"], kernel)
            outputs = tf.matmul(tf.stack([hidden, hidden]), bank)
        return tape.gradient(outputs, [kernel, bank])

    # Forward, and by the kernel; nothing asks for the gradient by the rows. The second layer's
    # two products need all three.
    multiply_adds = 2 * 4 * 3 * 5 + 3 * 2 * 4 * 5 * 7
    assert matrix_products.count_flops(gradients, {"rows": tf.ones((4, 3))}) == 2 * multiply_adds
