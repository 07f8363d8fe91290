"""Rows of item ids as sets; 0 stands for no item."""

import tensorflow as tf


def each_once(ids: tf.Tensor) -> tf.Tensor:
    """Sorts each row of int [batch, any] and keeps the first of equal ids; others become 0."""
    ascending = tf.sort(ids, axis=1)
    repeated = tf.pad(ascending[:, 1:] == ascending[:, :-1], [[0, 0], [1, 0]])
    return tf.where(repeated, 0, ascending)


def contains(sets: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    """Tells which values, int [batch, n], are among their row's set, int [batch, m]."""
    # A value above the whole set is placed behind its end.
    ordered = tf.pad(tf.sort(sets, axis=1), [[0, 0], [0, 1]], constant_values=tf.int32.max)
    places = tf.searchsorted(ordered, values)
    return tf.gather(ordered, places, batch_dims=1) == values
