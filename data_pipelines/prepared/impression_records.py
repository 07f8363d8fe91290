"""Records of impressions: blocks of rows of one role and part."""

from collections.abc import Iterator

import numpy as np

from data_pipelines.prepared.records import RecordKind
from data_pipelines.views.block_batches import BLOCKS_PER_FILE, ROWS_PER_BLOCK
from data_pipelines.views.impression import NAME, features

KIND = RecordKind(NAME, "1.0.0", features(), records_per_shard=BLOCKS_PER_FILE, most_shards=1024)


def stored_split(role: str, part: str) -> str:
    """Names the split on disk of a role, such as "source", and a part, such as "train"."""
    return f"{role}_{part}"


def blocks(rows: np.ndarray) -> Iterator[dict[str, np.ndarray]]:
    """Packs rows (`impressions.log.Columns.row_type`) into records, in their order."""
    for start in range(0, len(rows), ROWS_PER_BLOCK):
        block = rows[start : start + ROWS_PER_BLOCK]
        yield {
            name: block[name].astype(spec.dtype.as_numpy_dtype).reshape(-1)
            for name, spec in KIND.features.items()
        }
