"""The canonical impression log: one row a shown item, in chunks, whatever the raw format was.

A chunk is of one domain and one part (`train`, `validation` or `test`). Its rows are a structured
array with the fields

| field | dtype | meaning |
| --- | --- | --- |
| `categorical` | int32 [F] | values from 0 of the categorical columns; numbers of \
`ImpressionLog.vocabularies`, if there are any |
| `numerical` | float32 [M] | finite values of the numerical columns |
| `click` | uint8 | 0 or 1 |
| `conversion` | uint8 | 0 or 1, never 1 without a click; 0 where the log has none |

The columns, and their order, are the same in every chunk of a log.
"""

import abc
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from data_pipelines.impressions.field_values import GrowingVocabulary
from data_pipelines.logs import BadLines

# What rows may be labelled with.
TASKS = ("click", "conversion")
# The greatest categorical value: one less than the number of rows that an int32 can count.
MAX_CATEGORY = np.iinfo(np.int32).max - 1


class Columns(NamedTuple):
    """The columns of a log.

    Attributes:
      categorical: names of the F categorical columns.
      numerical: names of the M numerical columns.
    """

    categorical: tuple[str, ...]
    numerical: tuple[str, ...]

    def row_type(self) -> np.dtype:
        """The dtype of a chunk's rows."""
        return np.dtype(
            [
                ("categorical", np.int32, (len(self.categorical),)),
                ("numerical", np.float32, (len(self.numerical),)),
                ("click", np.uint8),
                ("conversion", np.uint8),
            ]
        )


class Chunk(NamedTuple):
    """Some rows of one domain and part.

    Attributes:
      domain: one of the log's domains.
      part: `train`, `validation` or `test`, as the data came.
      rows: [rows] of `Columns.row_type`, checked.
    """

    domain: str
    part: str
    rows: np.ndarray


class ImpressionLog(abc.ABC):
    """A log that is read while its chunks are taken, once.

    Attributes:
      domains: names of the domains, in the order in which the user named them; empty where only
        the rows tell them.
      columns: of every chunk.
      field_sizes: of each categorical column, the number of values that its own are checked
        against; empty if they may be any.
      bad_lines: the count of lines that were skipped, complete when the last chunk is taken.
      labels: of TASKS, those that the log has.
      vocabularies: of each categorical column, the values that its numbers stand for, complete when
        the last chunk is taken; empty where they stand for themselves.
      least_count: training rows that a value needs to have an id of its own, with vocabularies.
      left_out: reason -> number of what was left out on purpose; complete then, too.
      remarks: what else was seen -> how often; complete then, too.
    """

    domains: tuple[str, ...]
    columns: Columns
    field_sizes: tuple[int, ...] = ()
    labels: tuple[str, ...] = TASKS
    vocabularies: Sequence[GrowingVocabulary] = ()
    least_count: int = 0

    def __init__(self, bad_lines: BadLines) -> None:
        """Starts with nothing read."""
        self.bad_lines = bad_lines
        self.left_out: Counter[str] = Counter()
        self.remarks: Counter[str] = Counter()

    @abc.abstractmethod
    def chunks(self, scratch: Path) -> Iterator[Chunk]:
        """Reads the log.

        Args:
          scratch: a folder for temporary files.

        Raises:
          DataError: bad input; names the file, line and column, or the flag.
        """
