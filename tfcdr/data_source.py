"""What tfcdr needs of a prepared data set.

`data_pipelines.dataset.PreparedData` fits; neither package imports the other. The contract between
them is the batch: a dict of tensors whose entries the view's and the model's docstrings state.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np
import tensorflow as tf

from tfcdr.errors import RunError


class Vocabulary(Protocol):
    """An item space with ids 1..size, then two reserved ids; a table of it has `rows` rows."""

    counts: np.ndarray

    @property
    def size(self) -> int:
        """Items n."""

    @property
    def rows(self) -> int:
        """Rows of an embedding table: padding, n items, CLS, MASK."""


class DataSource(Protocol):
    """A prepared data set."""

    @property
    def fingerprint(self) -> str:
        """Changes whenever the data does."""

    @property
    def max_length(self) -> int:
        """Items T in a history."""

    def vocabulary(self, space: str) -> Vocabulary:
        """Returns the vocabulary of item space "source" or "target"."""

    def num_examples(self, view: str, split: str) -> int:
        """Returns the number of examples of a split."""

    def batches(
        self,
        view: str,
        split: str,
        *,
        batch_size: int,
        seed: int,
        epoch: int,
        rows: tuple[int, int] | None,
        **options: Any,
    ) -> tf.data.Dataset:
        """Reads one epoch; random only through (seed, epoch).

        `rows` are the [first, last) of every batch to give, None for all of them.
        """


class ViewRequest(NamedTuple):
    """A view and how to read it.

    Attributes:
      view: its name, such as "next_item".
      options: keyword arguments of the view's batching.
    """

    view: str
    options: Mapping[str, Any]

    def batches(
        self,
        data: DataSource,
        split: str,
        batch_size: int,
        seed: int,
        epoch: int = 0,
        rows: tuple[int, int] | None = None,
    ) -> tf.data.Dataset:
        """Reads one epoch of this view, of each batch all rows or those of one process."""
        return data.batches(
            self.view,
            split,
            batch_size=batch_size,
            seed=seed,
            epoch=epoch,
            rows=rows,
            **self.options,
        )


def check_batch(
    element_spec: Mapping[str, tf.TensorSpec], expected: Mapping[str, tf.TensorSpec], model: str
) -> None:
    """Checks once, when a run starts, that the batches are what the model reads.

    Args:
      element_spec: of the data set. Entries that the model does not read are allowed.
      expected: entries that the model reads; a dimension of None fits any size.
      model: the model's name, for the message.

    Raises:
      RunError: an entry is missing or has another shape or dtype.
    """
    for key, wanted in expected.items():
        wish = f"{wanted.dtype.name} {wanted.shape}"
        if key not in element_spec:
            raise RunError(
                f"the model {model} needs batch entry {key!r} ({wish}), but the batches hold only "
                f"{', '.join(sorted(element_spec))}: is this another view than the model's?"
            )
        came = element_spec[key]
        if came.dtype != wanted.dtype or not wanted.shape.is_compatible_with(came.shape):
            raise RunError(
                f"batch entry {key!r}: the model {model} expects {wish}, but "
                f"{came.dtype.name} {came.shape} came."
            )
