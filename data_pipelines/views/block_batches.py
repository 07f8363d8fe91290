"""TFRecord files whose records are blocks of rows, as batches of rows of static shape."""

from collections.abc import Callable, Mapping, Sequence

import tensorflow as tf

from data_pipelines.views.record_order import (
    SHUFFLE_PURPOSE,
    fold,
    read_epochs,
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


class BlockReader:
    """Reads the rows of a split, epoch by epoch: `ExampleReader` for records of many rows."""

    def __init__(
        self,
        files: Sequence[str],
        split: SplitRead,
        features: Mapping[str, tf.TensorSpec],
        rows_of: Callable[[Mapping[str, tf.RaggedTensor]], dict[str, tf.Tensor]],
    ) -> None:
        """Remembers how to read.

        Args:
          files: the split's TFRecord files, in their order.
          split: what is known about the split.
          features: a record's features, flat.
          rows_of: makes tensors [rows, ...] of parsed records, ragged [records, (n)] by feature.
        """
        self._files = files
        self._split = split
        self._parsing = {
            name: tf.io.RaggedFeature(spec.dtype, row_splits_dtype=tf.int64)
            for name, spec in features.items()
        }
        self._rows_of = rows_of
        # Traced once rather than in every reading.
        self._epoch = tf.function(self._epoch_of, autograph=False)

    def __call__(self, epochs: Sequence[int], steps: Sequence[int] | None) -> tf.data.Dataset:
        """Reads epochs, one behind the other.

        Args:
          epochs: their numbers, from 0; a shuffled read has another order in each.
          steps: how many batches of each are wanted; all by default.

        Returns:
          Batches of what `rows_of` makes and `example_weight`, every dimension static. An epoch's
          last batch of training is filled up with the epoch's first rows, since batch normalisation
          sees every row; of other splits, with rows of zeros whose `example_weight` is 0.
        """
        return read_epochs(self._files, self._split, epochs, steps, self._epoch)

    def _epoch_of(self, epoch: tf.Tensor, files: tf.Tensor, steps: tf.Tensor) -> tf.data.Dataset:
        split = self._split
        seed = tf.stack([tf.constant(split.seed, tf.int64), epoch])

        def parsed(index: tf.Tensor, records: tf.Tensor) -> dict[str, tf.Tensor]:
            rows = self._rows_of(tf.io.parse_example(records, self._parsing))
            if not split.shuffled:
                return rows
            number = tf.shape(next(iter(rows.values())))[:1]
            key = fold(seed, SHUFFLE_PURPOSE, index)
            order = tf.argsort(tf.random.stateless_uniform(number, key, alg="philox"))
            return {name: tf.gather(values, order) for name, values in rows.items()}

        windows = tf.data.TFRecordDataset(files).batch(BLOCKS_PER_FILE).enumerate()
        rows = windows.map(parsed, tf.data.AUTOTUNE, deterministic=True)
        if split.for_training:
            rows = rows.repeat()
        batches = rows.rebatch(split.batch_size).take(steps)
        return batches.map(self._filled, tf.data.AUTOTUNE, deterministic=True)

    def _filled(self, rows: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        split = self._split
        number = tf.shape(next(iter(rows.values())))[0]
        batch = {}
        for name, values in rows.items():
            padding = [[0, split.batch_size - number]] + [[0, 0]] * (values.shape.rank - 1)
            own = split.own(tf.pad(values, padding))
            batch[name] = tf.ensure_shape(own, [split.num_rows, *values.shape[1:]])
        present = split.own(tf.range(split.batch_size)) < number
        weight = zero_unless(present, tf.ones([split.num_rows]))
        return {**batch, "example_weight": weight}
