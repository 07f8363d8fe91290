"""Batches that are read from the beginning to the end again and again."""

import itertools
from collections.abc import Iterator

import tensorflow as tf

from tfcdr.stage_model import Batch


class RepeatedReading:
    """Gives all batches each time that it is iterated over, by one iterator for all times.

    To set one up takes longer than to read a small split, and validation reads it in every epoch.

    Attributes:
      element_spec: of the batches.
    """

    def __init__(self, batches: tf.data.Dataset, steps: int) -> None:
        """Reads nothing yet.

        Args:
          batches: to be read.
          steps: their number.
        """
        self.element_spec = batches.element_spec
        self._steps = steps
        self._batches = batches
        self._iterator: Iterator[Batch] | None = None  # at the beginning

    def __iter__(self) -> Iterator[Batch]:
        iterator, self._iterator = self._iterator, None
        if iterator is None:
            iterator = iter(self._batches.repeat())
        yield from itertools.islice(iterator, self._steps)
        # One that was left on the way, as by an error, is not read on.
        self._iterator = iterator
