"""Softmax cross-entropy over a whole catalogue that never holds a score for each user and item.

The catalogue is read in pieces of neighbouring items with a running log-sum-exp, and the backward
pass computes the pieces' scores again (as Rabe and Staats, 2021, do for attention). Memory beyond
the gradient of the item table is that of one piece, whatever the catalogue's size; what is computed
is a third more. A catalogue of one piece is not computed again.
"""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

# Scores of one piece: 64 MiB of them.
MOST_SCORES = 2**24
_LOWEST = -1e30


class ItemRange(NamedTuple):
    """Neighbouring ids among which each row chooses, int [rows] both; others get no probability."""

    first: tf.Tensor
    last: tf.Tensor


class _Pieces(NamedTuple):
    """How rows of a table are cut: `number` pieces of `size`, then one of `rest`, perhaps 0."""

    first: int
    number: int
    size: int
    rest: int


def full_softmax(
    users: tf.Tensor,
    labels: tf.Tensor,
    item_vectors: tf.Tensor,
    item_bias: tf.Tensor | None,
    num_items: int,
    chosen_from: ItemRange | None = None,
    most_scores: int = MOST_SCORES,
) -> tf.Tensor:
    """Cross-entropy of labels among the items 1..num_items.

    Args:
      users: float [rows, channels]; scores are computed in its precision and summed in float32.
      labels: int [rows], ids; a row without one, 0, gets a finite loss that means nothing.
      item_vectors: float32 [table, channels], the vector of id i in row i.
      item_bias: float32 [table] or None.
      num_items: items n; later rows of the table are none.
      chosen_from: for each row the items that compete; all by default.
      most_scores: scores that may be held at once, [rows, items of a piece].

    Returns:
      Float32 [rows].
    """
    vectors = tf.convert_to_tensor(item_vectors)
    bias = None if item_bias is None else tf.convert_to_tensor(item_bias)
    of_label = tf.gather(vectors, labels)
    label_score = tf.reduce_sum(tf.cast(users, of_label.dtype) * of_label, -1)
    if bias is not None:
        label_score += tf.gather(bias, labels)
    pieces = _pieces(users.shape[0] or 1024, num_items, most_scores)
    if not pieces.number:
        scores = _scores(users, vectors, bias, pieces.first, pieces.rest, chosen_from)
        return tf.reduce_logsumexp(scores, -1) - label_score
    return _log_sum_exp(pieces, chosen_from)(users, vectors, bias) - label_score


def _pieces(rows: int, num_items: int, most_scores: int) -> _Pieces:
    number = -(-rows * num_items // most_scores)
    if number <= 1:
        return _Pieces(1, 0, 0, num_items)
    number = min(number, num_items)
    size = num_items // number
    return _Pieces(1, number, size, num_items - number * size)


def _scores(
    users: tf.Tensor,
    vectors: tf.Tensor,
    bias: tf.Tensor | None,
    start: tf.Tensor | int,
    size: int,
    chosen_from: ItemRange | None,
) -> tf.Tensor:
    """Scores of the items start..start + size - 1: float32 [rows, size]."""
    piece = tf.slice(vectors, (start, 0), (size, vectors.shape[1]))
    scores = tf.matmul(users, tf.cast(piece, users.dtype), transpose_b=True)
    scores = tf.cast(scores, tf.float32)
    if bias is not None:
        scores += tf.slice(bias, (start,), (size,))
    if chosen_from is None:
        return scores
    ids = start + tf.range(size)
    competes = (ids >= chosen_from.first[:, tf.newaxis]) & (ids <= chosen_from.last[:, tf.newaxis])
    return tf.where(competes, scores, _LOWEST)


def _log_sum_exp(
    pieces: _Pieces, chosen_from: ItemRange | None
) -> Callable[[tf.Tensor, tf.Tensor, tf.Tensor | None], tf.Tensor]:
    """Returns the function from users, vectors and biases to float32 [rows]."""

    def start_of(number: tf.Tensor | int) -> tf.Tensor | int:
        return pieces.first + number * pieces.size

    def forward(users: tf.Tensor, vectors: tf.Tensor, bias: tf.Tensor | None) -> tf.Tensor:
        def added(
            largest: tf.Tensor, total: tf.Tensor, start: tf.Tensor | int, size: int
        ) -> tuple[tf.Tensor, tf.Tensor]:
            scores = _scores(users, vectors, bias, start, size, chosen_from)
            larger = tf.maximum(largest, tf.reduce_max(scores, -1))
            of_piece = tf.reduce_sum(tf.exp(scores - larger[:, tf.newaxis]), -1)
            return larger, total * tf.exp(largest - larger) + of_piece

        rows = tf.shape(users)[:1]
        nothing = tf.fill(rows, _LOWEST), tf.zeros(rows)
        _, largest, total = tf.while_loop(
            lambda number, largest, total: number < pieces.number,
            lambda number, largest, total: (
                number + 1,
                *added(largest, total, start_of(number), pieces.size),
            ),
            (0, *nothing),
            parallel_iterations=1,
            maximum_iterations=pieces.number,
        )
        if pieces.rest:
            largest, total = added(largest, total, start_of(pieces.number), pieces.rest)
        return largest + tf.math.log(total)

    def backward(
        users: tf.Tensor,
        vectors: tf.Tensor,
        bias: tf.Tensor | None,
        log_sum: tf.Tensor,
        slope: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Returns the slopes in users, vectors and biases."""
        channels = vectors.shape[1]

        def of_piece(start: tf.Tensor | int, size: int) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            scores = _scores(users, vectors, bias, start, size, chosen_from)
            share = tf.exp(scores - log_sum[:, tf.newaxis]) * slope[:, tf.newaxis]
            in_bias = tf.reduce_sum(share, 0)
            share = tf.cast(share, users.dtype)
            piece = tf.cast(tf.slice(vectors, (start, 0), (size, channels)), users.dtype)
            in_vectors = tf.matmul(share, users, transpose_a=True)
            return tf.matmul(share, piece), tf.cast(in_vectors, vectors.dtype), in_bias

        def store(size: int) -> tf.TensorArray:
            shape = (pieces.size, size) if size else (pieces.size,)
            return tf.TensorArray(tf.float32, pieces.number, element_shape=shape)

        def step(
            number: tf.Tensor, in_users: tf.Tensor, tables: tf.TensorArray, biases: tf.TensorArray
        ) -> tuple[tf.Tensor, tf.Tensor, tf.TensorArray, tf.TensorArray]:
            of_users, of_vectors, of_bias = of_piece(start_of(number), pieces.size)
            tables, biases = tables.write(number, of_vectors), biases.write(number, of_bias)
            return number + 1, in_users + of_users, tables, biases

        _, in_users, tables, biases = tf.while_loop(
            lambda number, *_: number < pieces.number,
            step,
            (0, tf.zeros_like(users), store(channels), store(0)),
            parallel_iterations=1,
            maximum_iterations=pieces.number,
        )
        items = pieces.number * pieces.size
        found = [tf.reshape(tables.stack(), (items, channels))]
        found_bias = [tf.reshape(biases.stack(), (items,))]
        if pieces.rest:
            of_users, of_vectors, of_bias = of_piece(start_of(pieces.number), pieces.rest)
            in_users += of_users
            found.append(of_vectors)
            found_bias.append(of_bias)
        after = vectors.shape[0] - pieces.first - items - pieces.rest
        in_vectors = tf.concat(
            [tf.zeros((pieces.first, channels)), *found, tf.zeros((after, channels))], 0
        )
        in_bias = tf.concat([tf.zeros((pieces.first,)), *found_bias, tf.zeros((after,))], 0)
        return in_users, in_vectors, in_bias

    def call(users: tf.Tensor, vectors: tf.Tensor, bias: tf.Tensor | None) -> tf.Tensor:
        if bias is None:

            @tf.custom_gradient
            def without(users: tf.Tensor, vectors: tf.Tensor) -> tuple[tf.Tensor, Callable]:
                log_sum = forward(users, vectors, None)
                return log_sum, lambda slope: backward(users, vectors, None, log_sum, slope)[:2]

            return without(users, vectors)

        @tf.custom_gradient
        def biased(
            users: tf.Tensor, vectors: tf.Tensor, bias: tf.Tensor
        ) -> tuple[tf.Tensor, Callable]:
            log_sum = forward(users, vectors, bias)
            return log_sum, lambda slope: backward(users, vectors, bias, log_sum, slope)

        return biased(users, vectors, bias)

    return call
