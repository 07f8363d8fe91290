"""TFRecord files as batches of static shape: interleaved, shuffled, batched, then parsed."""

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from data_pipelines.views.split_read import Assemble, SplitRead

# Training reads this many records at once and puts them into random order. The records lie in
# random order on disk already, so that a data set that does not fit is still well mixed.
SHUFFLE_BLOCK = 65_536
_FILES_READ_AT_ONCE = 16
_RECORDS_PER_TURN = 16
SHUFFLE_PURPOSE, _BATCH_PURPOSE = 0, 1


def record_batches(
    files: Sequence[str],
    split: SplitRead,
    epoch: int,
    features: Mapping[str, tf.TensorSpec],
    assemble: Assemble,
) -> tf.data.Dataset:
    """Reads one epoch.

    Every process of a run reads all records, which is cheap, in the same order, and parses its own
    rows of each batch. Everything random is a function of (seed, epoch) alone: neither the global
    seed nor what was read before changes a batch, so that a run can resume at any epoch.

    Args:
      files: the split's TFRecord files, in their order.
      split: what is known about the split.
      epoch: from 0; a shuffled read has another order in each, and training other draws.
      features: int64 scalars and vectors of a record.
      assemble: makes the batches' entries.

    Returns:
      Batches as in the view's docstring, every dimension static. The last batch is filled up with
      rows of zeros whose `example_weight` is 0.
    """
    seed = tf.constant([split.seed, epoch], tf.int64)
    parsing = {
        name: tf.io.RaggedFeature(tf.int64, row_splits_dtype=tf.int64)
        if spec.shape.rank
        else tf.io.FixedLenFeature([], tf.int64, 0)
        for name, spec in features.items()
    }

    def shuffled(index: tf.Tensor, records: tf.Tensor) -> tf.Tensor:
        keys = tf.random.stateless_uniform(
            tf.shape(records), fold(seed, SHUFFLE_PURPOSE, index), alg="philox"
        )
        return tf.gather(records, tf.argsort(keys))

    def parsed(index: tf.Tensor, records: tf.Tensor) -> dict[str, tf.Tensor]:
        present = split.own(tf.range(split.batch_size)) < tf.shape(records)[0]
        # An empty string is a valid record without features: it parses to zeros and empty rows.
        filling = tf.fill([split.batch_size - tf.shape(records)[0]], "")
        records = split.own(tf.concat([records, filling], axis=0))
        records = tf.ensure_shape(records, [split.num_rows])
        values = tf.io.parse_example(records, parsing)
        batch = {
            "user": values["user"],
            "example_weight": tf.ones([split.num_rows]),
            **assemble(values, fold(seed, _BATCH_PURPOSE, index)),
        }
        return {name: zero_unless(present, value) for name, value in batch.items()}

    files = epoch_order(files, split, epoch)
    records = tf.data.Dataset.from_tensor_slices(files).interleave(
        tf.data.TFRecordDataset,
        cycle_length=min(len(files), _FILES_READ_AT_ONCE),
        block_length=_RECORDS_PER_TURN,
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )
    if split.shuffled:
        blocks = records.batch(SHUFFLE_BLOCK).enumerate().map(shuffled, tf.data.AUTOTUNE)
        batches = blocks.rebatch(split.batch_size)
    else:
        batches = records.batch(split.batch_size)
    return in_order(batches.enumerate().map(parsed, tf.data.AUTOTUNE))


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
