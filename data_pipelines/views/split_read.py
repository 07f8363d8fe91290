"""What the read side of a view is told about the split that it reads."""

import dataclasses

import tensorflow as tf


@dataclasses.dataclass(frozen=True, eq=False)
class SplitRead:
    """What every view is told.

    Attributes:
      split: "train", "validation" or "test".
      shuffled: whether the examples come in another order in each epoch.
      batch_size: B, examples of a batch in all processes of a run.
      rows: [first, last) of them that this process reads; only these are assembled.
      seed: the run's seed.
      examples: their number in the split.
    """

    split: str
    shuffled: bool
    batch_size: int
    rows: tuple[int, int]
    seed: int
    examples: int

    @property
    def for_training(self) -> bool:
        """Whether batches hold what training reads rather than what evaluation reads."""
        return self.split == "train"

    @property
    def num_rows(self) -> int:
        """Rows of a batch in this process."""
        return self.rows[1] - self.rows[0]

    @property
    def steps(self) -> int:
        """Batches of an epoch."""
        return -(-self.examples // self.batch_size)

    def own(self, drawn: tf.Tensor) -> tf.Tensor:
        """Keeps this process' rows of what was drawn for a whole batch, [B, ...].

        Draws are made for all rows, so that a row's do not depend on how processes share a batch.
        """
        return drawn[self.rows[0] : self.rows[1]]
