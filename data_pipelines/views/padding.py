"""Stretches of flat values as dense rows, without a Python function in the input pipeline."""

import tensorflow as tf


def latest(values: tf.Tensor, starts: tf.Tensor, ends: tf.Tensor, width: int) -> tf.Tensor:
    """Keeps the last `width` values of each stretch, right-aligned behind zeros.

    Args:
      values: int64 [n].
      starts: int64 [R]; row r is values[starts[r]:ends[r]].
      ends: int64 [R].
      width: W.

    Returns:
      int64 [R, W].
    """
    places = ends[:, tf.newaxis] - width + tf.range(width, dtype=tf.int64)
    return gather_or_zero(values, places, places >= starts[:, tf.newaxis])


def first(
    values: tf.Tensor, starts: tf.Tensor, ends: tf.Tensor, width: int | tf.Tensor
) -> tf.Tensor:
    """Keeps the first `width` values of each stretch, left-aligned before zeros: int64 [R, W]."""
    places = starts[:, tf.newaxis] + tf.range(width, dtype=tf.int64)
    return gather_or_zero(values, places, places < ends[:, tf.newaxis])


def whole(values: tf.Tensor, starts: tf.Tensor, ends: tf.Tensor) -> tf.Tensor:
    """Keeps all values of each stretch, before zeros: int64 [R, W], W > 0 that of the longest."""
    # A process may have no row of a batch.
    return first(values, starts, ends, tf.reduce_max(tf.concat([ends - starts, [1]], 0)))


def gather_or_zero(values: tf.Tensor, places: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
    """Gathers values at places of any shape, 0 where none is `present`."""
    # Values are those of thousands of users, of whom a batch reads a few: they are not copied.
    some = tf.cond(tf.size(values) > 0, lambda: values, lambda: tf.zeros([1], values.dtype))
    found = tf.gather(some, tf.where(present, places, tf.zeros_like(places)))
    return tf.where(present, found, tf.zeros_like(found))
