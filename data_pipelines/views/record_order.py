"""In which order an epoch reads, and what is random in it."""

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from data_pipelines.views.split_read import SplitRead

SHUFFLE_PURPOSE, BATCH_PURPOSE = 0, 1


# Reads one epoch: of its number, its files in order and how many of its batches are wanted.
ReadEpoch = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.data.Dataset]


def read_epochs(
    files: Sequence[str],
    split: SplitRead,
    epochs: Sequence[int],
    steps: Sequence[int] | None,
    read: ReadEpoch,
) -> tf.data.Dataset:
    """Reads epochs one behind the other, as one data set.

    Setting up what reads takes longer than reading a small epoch, so that it is done once for all
    of them; and an epoch's first batches are made while the one before still trains.

    Args:
      files: of the split, in their order.
      split: what is known about it.
      epochs: their numbers, from 0.
      steps: how many batches of each are wanted; all by default.
      read: traced once by its owner.

    Returns:
      Batches in fixed order, made ahead of their use.
    """
    # What is held out is the same in every epoch.
    numbers = [epoch if split.for_training else 0 for epoch in epochs]
    orders = np.stack([_order(len(files), split, epoch) for epoch in numbers])
    wanted = np.full(len(numbers), split.steps) if steps is None else np.array(steps)
    table = np.array(files)
    places = tf.data.Dataset.from_tensor_slices((np.array(numbers, np.int64), orders, wanted))

    @tf.autograph.experimental.do_not_convert
    def epoch_at(epoch: tf.Tensor, order: tf.Tensor, steps: tf.Tensor) -> tf.data.Dataset:
        return read(epoch, tf.gather(table, order), steps)

    return in_fixed_order(places.flat_map(epoch_at).prefetch(tf.data.AUTOTUNE))


def in_fixed_order(batches: tf.data.Dataset) -> tf.data.Dataset:
    """Returns the same batches, in their order, whose pipeline is neither rewritten nor tuned."""
    options = tf.data.Options()
    options.deterministic = True
    # They would find nothing: where there are steps, they are in a function, where nobody looks.
    options.experimental_optimization.apply_default_optimizations = False
    # An iterator that is tuned may wait, when it is deleted, for as long as it has lived, up to a
    # minute: TensorFlow wakes the tuner before it says that all is over. Untuned, work in parallel
    # takes all cores, and what is made ahead follows what is used up.
    options.autotune.enabled = False
    return batches.with_options(options)


def _order(files: int, split: SplitRead, epoch: int) -> np.ndarray:
    """The files in the order in which an epoch reads them; shuffled, each has another one."""
    if split.shuffled:
        return np.random.default_rng([split.seed, epoch]).permutation(files)
    return np.arange(files)


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
