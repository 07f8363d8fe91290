"""What every view has: a write side that cuts examples and a read side that batches them."""

import abc
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from data_pipelines.coding.user_histories import UserHistory
from data_pipelines.splitting.split_log import DomainRoles
from data_pipelines.views.record_batches import record_batches
from data_pipelines.views.split_read import Assemble, SplitRead

# One record before serialisation: an int for a scalar feature, int64 [n] for a sequence feature.
Example = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class ExampleOptions:
    """How examples are cut from histories.

    Attributes:
      max_length: T, the largest number of items in a model's context (the papers' sequence
        length). A longer history is cut into windows (next_item, masked_item) or loses its oldest
        items (transfer, leave_one_out).
      source_history: which source items precede a target item (transfer, leave_one_out).
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


class StoredView(abc.ABC):
    """One kind of training example as it lies on disk, and how it is read.

    Attributes:
      name: the name on the command line and of the folder of records.
      version: goes up when records of the old kind can no longer be read.
      batching: a frozen dataclass with the options of the read side.
      records_per_shard: a file has at least as many where its split has.
      most_shards: a split has more files only to keep them small.
    """

    name: ClassVar[str]
    version: ClassVar[str] = "1.0.0"
    batching: ClassVar[type]
    # Several shards let files be interleaved and workers share them; tiny shards only cost time.
    records_per_shard: ClassVar[int] = 4096
    most_shards: ClassVar[int] = 16

    @property
    @abc.abstractmethod
    def features(self) -> Mapping[str, tf.TensorSpec]:
        """The features of a record."""

    def stored_split(self, split: str, batching: Any) -> str:
        """Names the split on disk that holds the examples of a part of the data."""
        del batching
        return split

    @abc.abstractmethod
    def batches(
        self, files: Sequence[str], split: SplitRead, batching: Any, epoch: int
    ) -> tf.data.Dataset:
        """Reads one epoch of a split's TFRecord files, in their order.

        Everything random is a function of (`split.seed`, `epoch`) alone.

        Raises:
          DataError: the data cannot give what `batching` asks for.
        """


class View(StoredView):
    """One kind of example that is cut from users' histories, a record each.

    Attributes:
      scalars, sequences: names of a record's int64 features.
      joint_space: whether its batches hold ids of item space `joint`.
    """

    scalars: ClassVar[tuple[str, ...]]
    sequences: ClassVar[tuple[str, ...]]
    joint_space: ClassVar[bool] = False

    @property
    def features(self) -> Mapping[str, tf.TensorSpec]:
        """The features of a record."""
        return {
            **dict.fromkeys(self.scalars, tf.TensorSpec([], tf.int64)),
            **dict.fromkeys(self.sequences, tf.TensorSpec([None], tf.int64)),
        }

    def batches(
        self, files: Sequence[str], split: SplitRead, batching: Any, epoch: int
    ) -> tf.data.Dataset:
        """Reads one epoch; see `record_batches`."""
        assemble = self.assembler(split, batching)
        return record_batches(files, split, epoch, self.features, assemble)

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
