"""The gradient of an outer loss through the solution of an inner problem.

Parameters theta minimise an inner loss that depends on psi; an outer loss judges theta. By the
implicit function theorem,

    d outer / d psi = - d/d psi < d inner / d theta , p >,   p = H^-1 (d outer / d theta),

with H the inner loss's Hessian by theta, and H^-1 v = eta sum_k (I - eta H)^k v where that
converges (Lorraine, Vicol and Duvenaud, "Optimizing Millions of Hyperparameters by Implicit
Differentiation", AISTATS 2020). The series is cut off; no Hessian is made, only its products with
vectors, by differentiating a gradient. What the outer loss says of psi directly is not part of it.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import tensorflow as tf

# Variables, or tensors that the losses read.
Parameters = Sequence[tf.Variable | tf.Tensor]
Values = list[tf.Tensor]


class Hypergradient(NamedTuple):
    """A hypergradient, and what it was made of.

    Attributes:
      outer_loss: float scalar.
      inner_loss: float scalar.
      inner_gradients: of the inner loss by theta.
      terms: K + 1 times, of theta's shapes, (I - eta H)^k (d outer / d theta) for k = 0 .. K.
      gradients: of psi's shapes.
    """

    outer_loss: tf.Tensor
    inner_loss: tf.Tensor
    inner_gradients: Values
    terms: list[Values]
    gradients: Values


def hypergradient(
    outer_loss: Callable[[], tf.Tensor],
    inner_loss: Callable[[], tf.Tensor],
    theta: Parameters,
    psi: Parameters,
    *,
    terms: int,
    step: float,
) -> Hypergradient:
    """Differentiates the outer loss by psi.

    The series is taken without its factor eta, as BIAO's release takes it: with a step other than
    1, divide what a strict inverse should give (BIAO SPEC section 9, quirk 3). It converges only
    if every eigenvalue of eta H lies in (0, 2).

    Args:
      outer_loss: computes it from theta; float scalar.
      inner_loss: computes it from theta and psi; float scalar. What it must not differentiate, in
        the second derivative either, it takes through `tf.stop_gradient`.
      theta: what the inner problem solves for.
      psi: what it depends on.
      terms: K, terms of the series behind the first.
      step: eta.
    """
    zero = tf.UnconnectedGradients.ZERO
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(theta)
        outer = outer_loss()
    term = _dense(tape.gradient(outer, theta, unconnected_gradients=zero))
    with tf.GradientTape(persistent=True, watch_accessed_variables=False) as second:
        second.watch([*theta, *psi])
        with tf.GradientTape(watch_accessed_variables=False) as first:
            first.watch(theta)
            inner = inner_loss()
        slopes = _dense(first.gradient(inner, theta, unconnected_gradients=zero))
    all_terms = [term]
    for _ in range(terms):
        product = _dense(second.gradient(slopes, theta, term, unconnected_gradients=zero))
        term = tf.nest.map_structure(lambda value, of: value - step * of, term, product)
        all_terms.append(term)
    solution = [tf.add_n(of_parameter) for of_parameter in zip(*all_terms, strict=True)]
    mixed = _dense(second.gradient(slopes, psi, solution, unconnected_gradients=zero))
    return Hypergradient(outer, inner, slopes, all_terms, [-value for value in mixed])


def _dense(values: Sequence[tf.Tensor | tf.IndexedSlices]) -> Values:
    return [tf.convert_to_tensor(value) for value in values]
