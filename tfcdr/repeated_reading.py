"""Batches that are read from the beginning to the end again and again."""

import itertools
import math
from collections.abc import Hashable, Iterator

import tensorflow as tf

from tfcdr.data_source import DataSource, ViewRequest
from tfcdr.stage_model import Batch

# Batches of a split that take no more than this stay in memory: 64 MiB.
_KEPT_BYTES = 2**26


class RepeatedReading:
    """Gives all batches each time that it is iterated over.

    Few enough stay in memory from the first time on. Of others, one iterator reads all times: to
    set one up takes longer than to read a small split, and validation reads it in every epoch.

    Attributes:
      element_spec: of the batches.
      in_memory: whether they are few enough.
    """

    def __init__(self, batches: tf.data.Dataset, steps: int, kept_bytes: float) -> None:
        """Reads nothing yet.

        Args:
          batches: to be read; those that are to stay in memory have static shapes.
          steps: their number.
          kept_bytes: how much memory they may take to stay there.
        """
        self.element_spec = batches.element_spec
        self.in_memory = steps * _bytes(self.element_spec) <= kept_bytes
        self._steps = steps
        self._batches = batches
        self._kept: list[Batch] | None = None
        self._iterator: Iterator[Batch] | None = None  # at the beginning

    def first(self, steps: int) -> "RepeatedReading":
        """Reads the first so many batches, or all if there are fewer; these stay in memory."""
        first = RepeatedReading(self._batches.take(steps), steps, math.inf)
        first._kept = list(itertools.islice(self, steps))
        return first

    def __iter__(self) -> Iterator[Batch]:
        if self.in_memory:
            if self._kept is None:
                self._kept = list(self._batches)
            yield from self._kept
            return
        iterator, self._iterator = self._iterator, None
        if iterator is None:
            iterator = iter(self._batches.repeat())
        yield from itertools.islice(iterator, self._steps)
        # One that was left on the way, as by an error, is not read on.
        self._iterator = iterator


class HeldOutReadings:
    """Readings of a data set's held-out splits; those that stay in memory are the same ones.

    A run, those that it is compared with and its page read the same rows: see `of`.
    """

    def __init__(self, data: DataSource, batch_size: int, seed: int) -> None:
        """Remembers how to read.

        Args:
          data: a prepared data set.
          batch_size: rows of a batch, in all processes.
          seed: decides what is drawn.
        """
        self._data = data
        self._batch_size = batch_size
        self._seed = seed
        self._kept: dict[Hashable, RepeatedReading] = {}

    @classmethod
    def of(cls, data: DataSource, batch_size: int, seed: int) -> "HeldOutReadings":
        """Returns the readings that all share who read a data source so; see `__init__`."""
        return data.shared_readings.setdefault((batch_size, seed), cls(data, batch_size, seed))

    def __call__(
        self, request: ViewRequest, split: str, rows: tuple[int, int] | None = None
    ) -> RepeatedReading:
        """Opens a split.

        Args:
          request: the view and how to read it.
          split: "validation" or "test".
          rows: [first, last) of each batch that this process reads; all by default.
        """
        size = self._batch_size
        rows = rows or (0, size)
        key = request.view, tuple(sorted(request.options.items())), split, rows
        if key in self._kept:
            return self._kept[key]
        batches = request.batches(self._data, split, size, self._seed, rows=rows, shuffled=False)
        steps = -(-request.num_examples(self._data, split) // size)
        reading = RepeatedReading(batches, steps, _KEPT_BYTES)
        if reading.in_memory:
            self._kept[key] = reading
        return reading


def _bytes(spec: dict[str, tf.TensorSpec]) -> float:
    """Returns the size of a batch; infinite where a dimension is not static."""
    sizes = [of.shape.num_elements() for of in spec.values()]
    if None in sizes:
        return math.inf
    return sum(size * of.dtype.size for size, of in zip(sizes, spec.values(), strict=True))
