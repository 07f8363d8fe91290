"""View `impression`: shown items with a click and a conversion, of the source or of the target.

Record: a block of rows of one role and part, as flat features: `categorical`, F int64 a row,
`numerical`, M float32 a row, `click` and `conversion`, one int64 a row. Blocks lie in the splits
`source_train`, `target_test` and so on; several source domains are one source.

Batch:

| key | shape | dtype | |
| --- | --- | --- | --- |
| `categorical` | [B, F] | int32 | value of each categorical column, from 0, below its field size |
| `numerical` | [B, M] | float32 | values of the numerical columns |
| `click` | [B] | float32 | 0 or 1 |
| `conversion` | [B] | float32 | 0 or 1, never 1 without a click |
| `example_weight` | [B] | float32 | 1, or 0 for the zero rows that fill up the last batch of \
validation and test; training fills it up with rows again |
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import tensorflow as tf

from data_pipelines.views.block_batches import BLOCKS_PER_FILE, ROWS_PER_BLOCK, block_batches
from data_pipelines.views.split_read import SplitRead
from data_pipelines.views.view import Example, StoredView

ROLES = ("source", "target")


@dataclasses.dataclass(frozen=True)
class Batching:
    """Whose impressions are read.

    Attributes:
      domain: "source" or "target".
    """

    domain: str = "target"

    def __post_init__(self) -> None:
        if self.domain not in ROLES:
            raise ValueError(f"domain must be one of source, target. Received: {self.domain!r}.")


class Impression(StoredView):
    """Packs and batches impressions; see the module's docstring."""

    name = "impression"
    batching = Batching
    records_per_shard = BLOCKS_PER_FILE
    most_shards = 1024

    @property
    def features(self) -> Mapping[str, tf.TensorSpec]:
        """The features of a block."""
        whole = dict.fromkeys(("categorical", "click", "conversion"), tf.int64)
        dtypes = {**whole, "numerical": tf.float32}
        return {name: tf.TensorSpec([None], dtype) for name, dtype in dtypes.items()}

    def stored_split(self, split: str, batching: Batching) -> str:
        """A split on disk is of one role."""
        return f"{batching.domain}_{split}"

    def blocks(self, rows: np.ndarray) -> Iterator[Example]:
        """Packs rows (`impressions.log.Columns.row_type`) into records, in their order."""
        for start in range(0, len(rows), ROWS_PER_BLOCK):
            block = rows[start : start + ROWS_PER_BLOCK]
            yield {
                name: block[name].astype(spec.dtype.as_numpy_dtype).reshape(-1)
                for name, spec in self.features.items()
            }

    def batches(
        self, files: Sequence[str], split: SplitRead, batching: Batching, epoch: int
    ) -> tf.data.Dataset:
        """Reads one epoch; see `block_batches`."""
        del batching  # It has chosen the files.
        fields, numbers = split.columns

        def rows_of(blocks: Mapping[str, tf.RaggedTensor]) -> dict[str, tf.Tensor]:
            values = {name: ragged.flat_values for name, ragged in blocks.items()}
            return {
                "categorical": tf.reshape(tf.cast(values["categorical"], tf.int32), [-1, fields]),
                "numerical": tf.reshape(values["numerical"], [-1, numbers]),
                "click": tf.cast(values["click"], tf.float32),
                "conversion": tf.cast(values["conversion"], tf.float32),
            }

        return block_batches(files, split, epoch, self.features, rows_of)


VIEW = Impression()
