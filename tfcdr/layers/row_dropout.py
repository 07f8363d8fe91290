"""Dropout that does not depend on where a row stands in a batch."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf


class RowDropout:
    """Drops units by a hash of the step and of what a row is about.

    Replicas that share a batch then drop what one replica with all rows would drop, and a resumed
    run what an uninterrupted one would.
    """

    def __init__(self, seed: int, step: tf.Tensor, *rows: tf.Tensor) -> None:
        """Creates the dropout of one training step.

        Args:
          seed: of the run.
          step: int scalar, the number of the step.
          *rows: int32 [batch] each, which together tell rows apart, such as user and item.
        """
        self._rows = _mix(_constant(seed % 2**32) ^ _mix(tf.cast(step, tf.uint32)))
        for key in rows:
            self._rows = _mix(self._rows ^ tf.cast(key, tf.uint32))

    def __call__(self, values: tf.Tensor, rate: float, layer: int, row_axis: int = 0) -> tf.Tensor:
        """Zeroes a share of units and scales up the others.

        Args:
          values: float, of any shape that is known but for the rows, such as [batch, units].
          rate: share to drop, in [0, 1).
          layer: tells apart the uses within a step, of up to 65,536 units of a row each; a use of
            more takes the numbers that follow, too.
          row_axis: where the rows are.
        """
        shape = list(values.shape)
        shape[row_axis] = 1
        uniform = self.uniform(shape, layer, row_axis)
        return values * tf.cast(uniform >= rate, values.dtype) / (1 - rate)

    def uniform(self, shape: Sequence[int], layer: int, row_axis: int) -> tf.Tensor:
        """Draws numbers in [0, 1) for each row: float32 of a shape.

        Args:
          shape: its row axis, here 1, becomes the batch.
          layer: as in a call.
          row_axis: as in a call.
        """
        # Not zero, which `_mix` would leave as it is.
        units = tf.range(1, math.prod(shape) + 1) + (layer << 16)
        units = tf.reshape(_mix(tf.cast(units, tf.uint32)), shape)
        rows = tf.reshape(self._rows, [-1 if axis == row_axis else 1 for axis in range(len(shape))])
        # 24 bits, which float32 holds exactly.
        return tf.cast(_shifted(_mix(rows ^ units), 8), tf.float32) * 2.0**-24


class UnitDropout(NamedTuple):
    """What training drops of one network.

    Attributes:
      rows: draws it.
      rate: share of units.
    """

    rows: RowDropout
    rate: float

    def __call__(self, values: tf.Tensor, use: int, row_axis: int = 0) -> tf.Tensor:
        """Drops units of values whose shape is known but for the rows; see `RowDropout`."""
        return self.rows(values, self.rate, use, row_axis)


def _mix(bits: tf.Tensor) -> tf.Tensor:
    """The finalizer of MurmurHash3: every input bit flips every output bit half of the time."""
    bits = (bits ^ _shifted(bits, 16)) * _constant(0x85EBCA6B)
    bits = (bits ^ _shifted(bits, 13)) * _constant(0xC2B2AE35)
    return bits ^ _shifted(bits, 16)


def _shifted(bits: tf.Tensor, places: int) -> tf.Tensor:
    return tf.bitwise.right_shift(bits, _constant(places))


def _constant(value: int) -> tf.Tensor:
    return tf.constant(value, tf.uint32)
