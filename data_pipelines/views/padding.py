"""Ragged rows as dense ones, without a Python function in the input pipeline."""

import tensorflow as tf


def left_pad(rows: tf.RaggedTensor, width: int) -> tf.Tensor:
    """Keeps each row's last `width` values, right-aligned behind zeros.

    Args:
      rows: int64 [B, (n)].
      width: W.

    Returns:
      int64 [B, W].
    """
    ends = rows.row_limits()[:, tf.newaxis]
    places = ends - width + tf.range(width, dtype=tf.int64)
    return _gather_or_zero(rows.values, places, places >= rows.row_starts()[:, tf.newaxis])


def right_pad(rows: tf.RaggedTensor, width: int | tf.Tensor) -> tf.Tensor:
    """Keeps each row's first `width` values, left-aligned before zeros. Returns int64 [B, W]."""
    places = rows.row_starts()[:, tf.newaxis] + tf.range(width, dtype=tf.int64)
    return _gather_or_zero(rows.values, places, places < rows.row_limits()[:, tf.newaxis])


def _gather_or_zero(values: tf.Tensor, places: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
    with_zero = tf.concat([tf.zeros([1], values.dtype), values], axis=0)
    return tf.gather(with_zero, tf.where(present, places + 1, tf.zeros_like(places)))
