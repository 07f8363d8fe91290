"""What the read side of a view is told, and what it makes of records."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from data_pipelines.coding.vocabulary import Vocabulary


@dataclasses.dataclass(frozen=True, eq=False)
class SplitRead:
    """What the read side knows about the split that it reads.

    Attributes:
      view: the view's name.
      split: "train", "validation" or "test".
      shuffled: whether the examples come in another order in each epoch.
      for_training: whether batches hold what training reads rather than what evaluation reads.
      batch_size: B, examples of a batch in all processes of a run.
      rows: [first, last) of them that this process reads; only these are parsed and assembled.
      max_length: T of the prepared data.
      vocabularies: by item space.
      longest: for every sequence feature, its greatest length in this split.
      empty: for every sequence feature, how many examples have it empty.
      seed: the run's seed.
      columns: view `impression`: the number of categorical and of numerical columns.
      examples: view `impression`: the split's number of rows.
    """

    view: str
    split: str
    shuffled: bool
    for_training: bool
    batch_size: int
    rows: tuple[int, int]
    max_length: int
    vocabularies: Mapping[str, Vocabulary]
    longest: Mapping[str, int]
    empty: Mapping[str, int]
    seed: int
    columns: tuple[int, int] = (0, 0)
    examples: int = 0

    @property
    def num_rows(self) -> int:
        """Rows of a batch in this process."""
        return self.rows[1] - self.rows[0]

    def own(self, drawn: tf.Tensor) -> tf.Tensor:
        """Keeps this process' rows of what was drawn for a whole batch, [B, ...].

        Draws are made for all rows, so that a row's do not depend on how processes share a batch.
        """
        return drawn[self.rows[0] : self.rows[1]]


# Makes the view's own entries of a batch from parsed records (int64 [rows] tensors for scalars,
# ragged int64 [rows, (n)] for sequences; empty rows where the batch is filled up) and an int64 [2]
# seed that is new in every batch and the same in every process. If `example_weight`
# is not among them, it is 1.
Assemble = Callable[[Mapping[str, Any], tf.Tensor], dict[str, tf.Tensor]]
