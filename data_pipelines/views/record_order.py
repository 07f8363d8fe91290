"""In which order an epoch reads, and what is random in it."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from data_pipelines.views.split_read import SplitRead

SHUFFLE_PURPOSE, BATCH_PURPOSE = 0, 1


def epoch_order(files: Sequence[str], split: SplitRead, epoch: int) -> list[str]:
    """The files in the order in which an epoch reads them; shuffled, each has another one."""
    if split.shuffled:
        return np.random.default_rng([split.seed, epoch]).permutation(np.array(files)).tolist()
    return list(files)


def in_order(batches: tf.data.Dataset) -> tf.data.Dataset:
    """Makes batches ahead of their use without changing their order."""
    options = tf.data.Options()
    options.deterministic = True
    return batches.prefetch(tf.data.AUTOTUNE).with_options(options)


def fold(seed: tf.Tensor, purpose: int, index: tf.Tensor) -> tf.Tensor:
    """Returns the int64 [2] seed of one use at one place."""
    fold_in = tf.random.experimental.stateless_fold_in
    return fold_in(fold_in(seed, purpose), index)


def zero_unless(present: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
    """Zeroes the rows that only fill up the batch; integers become int32."""
    if value.dtype.is_integer:
        value = tf.cast(value, tf.int32)
    present = tf.reshape(tf.cast(present, value.dtype), [-1] + [1] * (value.shape.rank - 1))
    return value * present
