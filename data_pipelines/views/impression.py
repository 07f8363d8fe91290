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
from collections.abc import Mapping, Sequence

import tensorflow as tf

from data_pipelines.views.batching_checks import check_choices
from data_pipelines.views.block_batches import BlockReader
from data_pipelines.views.split_read import SplitRead

NAME = "impression"
ROLES = ("source", "target")


@dataclasses.dataclass(frozen=True)
class Batching:
    """Whose impressions are read.

    Attributes:
      domain: "source" or "target".
    """

    domain: str = "target"

    def __post_init__(self) -> None:
        check_choices(self, {"domain": ROLES})


def features() -> Mapping[str, tf.TensorSpec]:
    """Returns the features of a block."""
    whole = dict.fromkeys(("categorical", "click", "conversion"), tf.int64)
    dtypes = {**whole, "numerical": tf.float32}
    return {name: tf.TensorSpec([None], dtype) for name, dtype in dtypes.items()}


def impression_reader(
    files: Sequence[str], read: SplitRead, fields: int, numbers: int
) -> BlockReader:
    """Returns what reads epochs.

    Args:
      files: of one role and part.
      read: what is known about the split.
      fields: F, the number of categorical columns.
      numbers: M, the number of numerical columns.
    """

    def rows_of(blocks: Mapping[str, tf.RaggedTensor]) -> dict[str, tf.Tensor]:
        values = {name: ragged.flat_values for name, ragged in blocks.items()}
        return {
            "categorical": tf.reshape(tf.cast(values["categorical"], tf.int32), [-1, fields]),
            "numerical": tf.reshape(values["numerical"], [tf.size(values["click"]), numbers]),
            "click": tf.cast(values["click"], tf.float32),
            "conversion": tf.cast(values["conversion"], tf.float32),
        }

    return BlockReader(files, read, features(), rows_of)
