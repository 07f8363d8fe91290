"""The hypergradient against an exactly solved problem, and against finite differences."""

import numpy as np
import pytest
import tensorflow as tf

from tests.compilation import compiled_or_plain
from tfcdr.layers.hypergradient import hypergradient

SIZE = 5


def quadratic(seed=0):
    """Returns a Hessian with eigenvalues in (0.5, 0.9), a linear map of psi, and a target."""
    rng = np.random.default_rng(seed)
    basis, _ = np.linalg.qr(rng.normal(size=(SIZE, SIZE)))
    hessian = basis @ np.diag(rng.uniform(0.5, 0.9, SIZE)) @ basis.T
    return hessian, rng.normal(size=(SIZE, 3)), rng.normal(size=SIZE)


def of_quadratic(theta, psi, terms, step, jit_compile=False):
    """Inner 1/2 theta' A theta - theta' B psi, outer 1/2 |theta - c|^2."""
    hessian, map_of_psi, wanted = map(tf.constant, quadratic())

    def outer():
        return tf.reduce_sum((theta - wanted) ** 2) / 2

    def inner():
        of_theta = tf.linalg.matvec(hessian, theta)
        of_psi = tf.linalg.matvec(map_of_psi, psi)
        return tf.reduce_sum(theta * of_theta) / 2 - tf.reduce_sum(theta * of_psi)

    def compute():
        return hypergradient(outer, inner, [theta], [psi], terms=terms, step=step)

    return compiled_or_plain(compute, jit_compile)()


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("step", [1.0, 0.5])
def test_a_long_series_gives_the_gradient_of_the_solved_problem(step, jit_compile):
    hessian, map_of_psi, wanted = quadratic()
    psi = np.array([0.3, -0.2, 1.0])
    solution = np.linalg.solve(hessian, map_of_psi @ psi)
    theta = tf.Variable(solution)
    found = of_quadratic(theta, tf.Variable(psi), terms=60, step=step, jit_compile=jit_compile)
    # d outer / d psi by the chain rule, as theta(psi) = A^-1 B psi.
    expected = np.linalg.solve(hessian, map_of_psi).T @ (solution - wanted)
    # The series comes without its factor eta.
    np.testing.assert_allclose(step * found.gradients[0], expected, rtol=1e-6)
    np.testing.assert_allclose(found.inner_gradients[0], np.zeros(SIZE), atol=1e-12)


def test_the_terms_are_those_of_the_series():
    hessian, map_of_psi, wanted = quadratic()
    theta, psi = np.arange(SIZE) / 3, np.ones(3)
    found = of_quadratic(tf.Variable(theta), tf.Variable(psi), terms=3, step=0.7)
    shrink = np.eye(SIZE) - 0.7 * hessian
    terms = [np.linalg.matrix_power(shrink, k) @ (theta - wanted) for k in range(4)]
    assert len(found.terms) == 4
    for (came,), expected in zip(found.terms, terms, strict=True):
        np.testing.assert_allclose(came, expected, rtol=1e-12)
    np.testing.assert_allclose(found.gradients[0], map_of_psi.T @ sum(terms), rtol=1e-12)
    np.testing.assert_allclose(found.outer_loss, np.sum((theta - wanted) ** 2) / 2)


def network(theta, psi, inputs, labels):
    """Losses of a small perceptron, float64, with softmax weights of its rows by psi."""
    first, second = theta
    hidden = tf.tanh(tf.matmul(tf.gather(first, inputs), second))
    losses = tf.nn.sigmoid_cross_entropy_with_logits(labels, tf.reduce_sum(hidden, 1))
    weights = tf.nn.softmax(tf.reduce_sum(psi * tf.stop_gradient(tf.gather(first, inputs)), 1))
    return tf.reduce_sum(weights * losses)


def test_it_agrees_with_finite_differences_in_float64():
    """Of one gradient step: with K = 0, the hypergradient is that of outer(theta - inner')."""
    rng = np.random.default_rng(1)
    theta = [tf.Variable(rng.normal(size=shape)) for shape in ((6, 4), (4, 3))]
    psi = tf.Variable(rng.normal(size=(1, 4)))
    inputs, held_out = tf.constant([0, 1, 1, 4, 2]), tf.constant([3, 1, 0])
    labels, of_held_out = (tf.constant(rng.integers(0, 2, n).astype(float)) for n in (5, 3))

    def outer(of=theta):
        hidden = tf.tanh(tf.matmul(tf.gather(of[0], held_out), of[1]))
        logits = tf.reduce_sum(hidden, 1)
        return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(of_held_out, logits))

    def inner():
        return network(theta, psi, inputs, labels)

    for terms in (0, 1, 3):
        found = hypergradient(outer, inner, theta, [psi], terms=terms, step=0.3)
        direction = rng.normal(size=psi.shape)
        epsilon, start = 1e-5, psi.numpy()
        solution = [tf.add_n(parts) for parts in zip(*found.terms, strict=True)]

        def inner_slope_along(solution=solution):
            with tf.GradientTape() as tape:
                loss = inner()
            slopes = tape.gradient(loss, theta)
            return sum(
                float(tf.reduce_sum(tf.convert_to_tensor(slope) * along))
                for slope, along in zip(slopes, solution, strict=True)
            )

        ends = []
        for sign in (1, -1):
            psi.assign(start + sign * epsilon * direction)
            ends.append(inner_slope_along())
        psi.assign(start)
        expected = -(ends[0] - ends[1]) / (2 * epsilon)
        came = float(np.sum(found.gradients[0] * direction))
        np.testing.assert_allclose(came, expected, rtol=1e-6)


def test_hessian_products_agree_with_finite_differences_in_float64():
    rng = np.random.default_rng(2)
    theta = [tf.Variable(rng.normal(size=shape)) for shape in ((6, 4), (4, 3))]
    psi = tf.Variable(rng.normal(size=(1, 4)))
    inputs, labels = tf.constant([0, 5, 5, 2]), tf.constant([1.0, 0, 1, 0], tf.float64)
    target = [tf.constant(rng.normal(size=variable.shape)) for variable in theta]

    def outer():
        return sum(tf.reduce_sum(of * variable) for of, variable in zip(target, theta, strict=True))

    # What the weights read of theta is constant, in the second derivative, too.
    frozen = tf.constant(theta[0].numpy())

    def inner(read_by_weights=None):
        first = theta[0] if read_by_weights is None else read_by_weights
        hidden = tf.tanh(tf.matmul(tf.gather(theta[0], inputs), theta[1]))
        losses = tf.nn.sigmoid_cross_entropy_with_logits(labels, tf.reduce_sum(hidden, 1))
        logits = tf.reduce_sum(psi * tf.stop_gradient(tf.gather(first, inputs)), 1)
        return tf.reduce_sum(tf.nn.softmax(logits) * losses)

    found = hypergradient(outer, inner, theta, [psi], terms=1, step=1.0)

    def slopes():
        with tf.GradientTape() as tape:
            loss = inner(frozen)
        return [tf.convert_to_tensor(slope) for slope in tape.gradient(loss, theta)]

    starts, epsilon, ends = [variable.numpy() for variable in theta], 1e-5, []
    for sign in (1, -1):
        for variable, start, along in zip(theta, starts, target, strict=True):
            variable.assign(start + sign * epsilon * along.numpy())
        ends.append(slopes())
    for first, second, along, came in zip(*ends, target, found.terms[1], strict=True):
        product = (first - second) / (2 * epsilon)
        np.testing.assert_allclose(came, along - product, rtol=1e-5, atol=1e-8)
