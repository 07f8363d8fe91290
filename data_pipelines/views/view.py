"""What every view has: a write side that cuts examples and a read side that batches them."""

import abc
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from data_pipelines.split_log import DomainRoles
from data_pipelines.user_histories import UserHistory
from data_pipelines.vocabulary import Vocabulary

# One record before serialisation: an int for a scalar feature, int64 [n] for a sequence feature.
Example = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class ExampleOptions:
    """How examples are cut from histories.

    Attributes:
      max_length: T, the largest number of items in a model's context (the papers' sequence
        length). A longer history is cut into windows (next_item, masked_item) or loses its oldest
        items (transfer).
      source_history: which source items precede a target item in the transfer view.
        "before_target" (default): those with a time strictly before it, which needs times that
        can be compared between domains. "all": the whole source sequence, for data without times.
      min_history: transfer view: a training example with fewer source items is left out, since it
        says nothing about what the source tells. Validation and test keep everybody.
    """

    max_length: int = 20
    source_history: str = "before_target"
    min_history: int = 1

    def __post_init__(self) -> None:
        if self.max_length < 2:
            raise ValueError(f"max_length must be at least 2. Received: {self.max_length}.")
        if self.min_history < 0:
            raise ValueError(f"min_history must not be negative. Received: {self.min_history}.")
        if self.source_history not in ("before_target", "all"):
            raise ValueError(
                f"source_history must be before_target or all. Received: {self.source_history!r}."
            )


@dataclasses.dataclass(frozen=True, eq=False)
class SplitRead:
    """What the read side knows about the split that it reads.

    Attributes:
      view: the view's name.
      split: "train", "validation" or "test".
      batch_size: B, examples of a batch in all processes of a run.
      rows: [first, last) of them that this process reads; only these are parsed and assembled.
      max_length: T of the prepared data.
      vocabularies: by item space.
      longest: for every sequence feature, its greatest length in this split.
      empty: for every sequence feature, how many examples have it empty.
      seed: the run's seed.
    """

    view: str
    split: str
    batch_size: int
    rows: tuple[int, int]
    max_length: int
    vocabularies: Mapping[str, Vocabulary]
    longest: Mapping[str, int]
    empty: Mapping[str, int]
    seed: int

    @property
    def training(self) -> bool:
        """Whether the batches are for training rather than evaluation."""
        return self.split == "train"

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


class View(abc.ABC):
    """One kind of training example.

    Attributes:
      name: the name on the command line and of the folder of records.
      version: goes up when records of the old kind can no longer be read.
      scalars, sequences: names of a record's int64 features.
      joint_space: whether its batches hold ids of item space `joint`.
      batching: a frozen dataclass with the options of the read side.
    """

    name: ClassVar[str]
    version: ClassVar[str] = "1.0.0"
    scalars: ClassVar[tuple[str, ...]]
    sequences: ClassVar[tuple[str, ...]]
    joint_space: ClassVar[bool] = False
    batching: ClassVar[type]

    @abc.abstractmethod
    def check(self, roles: DomainRoles, options: ExampleOptions) -> None:
        """Raises DataError if this view cannot be cut from the log; writes nothing."""

    @abc.abstractmethod
    def examples(
        self, history: UserHistory, part: int, options: ExampleOptions
    ) -> Iterator[Example]:
        """Cuts one user's examples of one part. A pure function: it may run on any worker."""

    @abc.abstractmethod
    def assembler(self, split: SplitRead, batching: Any) -> Assemble:
        """Returns the function that makes batches.

        Raises:
          DataError: the data cannot give what `batching` asks for.
        """


def windows(items: np.ndarray, width: int, overlap: int) -> Iterator[np.ndarray]:
    """Cuts a sequence from its end backwards, so that the latest items share a full window.

    Args:
      items: int64 [n], oldest first.
      width: greatest length of a window.
      overlap: how many items a window shares with the one before it.

    Yields:
      int64 [2..width]; a remainder of one item, which could predict nothing, gives no window.
    """
    end = len(items)
    while end >= 2:
        start = max(0, end - width)
        yield items[start:end]
        if start == 0:
            return
        end = start + overlap
