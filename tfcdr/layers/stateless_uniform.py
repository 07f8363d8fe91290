"""Uniform draws, and dropout by them, that are the same compiled by XLA or not, on any device."""

import tensorflow as tf

# Of random bits, how many each type holds exactly.
_MANTISSA_BITS = {tf.float32: 24, tf.float64: 53}


def uniform(
    shape: tuple[int | tf.Tensor, ...] | tf.Tensor,
    seed: tf.Tensor,
    dtype: tf.DType = tf.float32,
) -> tf.Tensor:
    """Draws numbers in [0, 1).

    TensorFlow's own floats differ between a plain function and a compiled one, and so do its
    default generator's bits between devices; Philox's bits do not.

    Args:
      shape: of the result.
      seed: int [2], stateless seed.
      dtype: float32 or float64.
    """
    kept = _MANTISSA_BITS[dtype]
    bits_type, width = (tf.uint32, 32) if dtype == tf.float32 else (tf.uint64, 64)
    bits = tf.random.stateless_uniform(
        shape, seed, minval=None, maxval=None, dtype=bits_type, alg="philox"
    )
    bits = tf.bitwise.right_shift(bits, tf.constant(width - kept, bits_type))
    return tf.cast(bits, dtype) * 2.0**-kept


def dropout(values: tf.Tensor, rate: float, seed: tf.Tensor) -> tf.Tensor:
    """Zeroes a share of the values and scales up the others, so that their expectation stays.

    Args:
      values: float, of any shape.
      rate: share to drop, in [0, 1), kept to within 1 / 65536.
      seed: int [2], stateless seed.
    """
    # A draw needs no more than 16 bits, and drawing bits is what costs.
    threshold = round(rate * 2**16)
    shape = tf.shape(values)
    count = tf.reduce_prod(shape)
    bits = tf.random.stateless_uniform(
        ((count + 1) // 2,), seed, minval=None, maxval=None, dtype=tf.uint32, alg="philox"
    )
    halves = tf.reshape(tf.bitcast(bits, tf.uint16), (-1,))[:count]
    kept = tf.reshape(halves >= tf.constant(threshold, tf.uint16), shape)
    scale = tf.constant(1 / (1 - threshold / 2**16), values.dtype)
    return values * (tf.cast(kept, values.dtype) * scale)
