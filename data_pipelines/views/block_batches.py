"""TFRecord files whose records are blocks of rows, as batches of rows of static shape."""

from collections.abc import Callable, Mapping, Sequence

import tensorflow as tf

from data_pipelines.views.record_order import (
    SHUFFLE_PURPOSE,
    epoch_order,
    fold,
    in_order,
    zero_unless,
)
from data_pipelines.views.split_read import SplitRead

# Rows of a record: few enough that a window of the shuffle holds blocks from everywhere, enough
# that a record's own cost does not count.
ROWS_PER_BLOCK = 64
# Blocks of a file: the window of the shuffle, 65,536 rows. A file is a random sample of the rows,
# as records lie in random order, and files are read one after the other, in another order each
# epoch. So those who stop early, since another split is shorter, see other rows in each epoch.
BLOCKS_PER_FILE = 1024


def block_batches(
    files: Sequence[str],
    split: SplitRead,
    epoch: int,
    features: Mapping[str, tf.TensorSpec],
    rows_of: Callable[[Mapping[str, tf.RaggedTensor]], dict[str, tf.Tensor]],
) -> tf.data.Dataset:
    """Reads one epoch; see `example_batches`, which this is for records of many rows.

    Args:
      files: the split's TFRecord files, in their order.
      split: what is known about the split.
      epoch: from 0; a shuffled read has another order in each.
      features: a record's features, flat.
      rows_of: makes tensors [rows, ...] of parsed records, ragged [records, (n)] by feature.

    Returns:
      Batches of what `rows_of` makes and `example_weight`, every dimension static. The last batch
      of training is filled up with the epoch's first rows, since batch normalisation sees every
      row; of other splits, with rows of zeros whose `example_weight` is 0.
    """
    seed = tf.constant([split.seed, epoch], tf.int64)
    parsing = {
        name: tf.io.RaggedFeature(spec.dtype, row_splits_dtype=tf.int64)
        for name, spec in features.items()
    }

    def parsed(index: tf.Tensor, records: tf.Tensor) -> dict[str, tf.Tensor]:
        rows = rows_of(tf.io.parse_example(records, parsing))
        if not split.shuffled:
            return rows
        number = tf.shape(next(iter(rows.values())))[:1]
        keys = tf.random.stateless_uniform(number, fold(seed, SHUFFLE_PURPOSE, index), alg="philox")
        order = tf.argsort(keys)
        return {name: tf.gather(values, order) for name, values in rows.items()}

    def filled(rows: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        number = tf.shape(next(iter(rows.values())))[0]
        batch = {}
        for name, values in rows.items():
            padding = [[0, split.batch_size - number]] + [[0, 0]] * (values.shape.rank - 1)
            own = split.own(tf.pad(values, padding))
            batch[name] = tf.ensure_shape(own, [split.num_rows, *values.shape[1:]])
        present = split.own(tf.range(split.batch_size)) < number
        weight = zero_unless(present, tf.ones([split.num_rows]))
        return {**batch, "example_weight": weight}

    windows = tf.data.TFRecordDataset(epoch_order(files, split, epoch)).batch(BLOCKS_PER_FILE)
    rows = windows.enumerate().map(parsed, tf.data.AUTOTUNE)
    if split.for_training:
        rows = rows.repeat().rebatch(split.batch_size).take(split.steps)
    else:
        rows = rows.rebatch(split.batch_size)
    return in_order(rows.map(filled, tf.data.AUTOTUNE))
