"""What tfcdr needs of a prepared data set.

`data_pipelines.prepared.interaction_source.InteractionSource` and its like for impressions fit;
neither package imports the other. The contract between them is the batch: a dict of tensors whose
entries the view's and the model's docstrings state.
"""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
import tensorflow as tf

from tfcdr.errors import RunError


class Vocabulary(Protocol):
    """An item space with ids 1..size, then two reserved ids; a table of it has `rows` rows."""

    @property
    def counts(self) -> np.ndarray:
        """Int64 [size], training interactions of each item, in no order."""

    @property
    def tokens(self) -> Sequence[str]:
        """The raw id of each item; id i + 1 stands at i."""

    @property
    def size(self) -> int:
        """Items n."""

    @property
    def rows(self) -> int:
        """Rows of an embedding table: padding, n items, CLS, MASK."""

    @property
    def domain_sizes(self) -> Mapping[str, int]:
        """Items of each of its domains, by name; their ids follow each other in this order."""


class DataSource(Protocol):
    """A prepared data set as a run reads it.

    Attributes:
      shared_readings: empty at first; what all who read it keep with it, by keys of theirs.
    """

    shared_readings: dict[Hashable, Any]

    @property
    def fingerprint(self) -> str:
        """Changes whenever the data does, or what of them is read."""

    @property
    def shared_fingerprint(self) -> str:
        """Changes whenever that does which a stage learns about that is `shared` by targets."""

    @property
    def max_length(self) -> int:
        """Items T in a history."""

    def vocabulary(self, space: str) -> Vocabulary:
        """Returns the vocabulary of item space "source", "target" or "joint"."""

    def num_examples(self, view: str, split: str, **options: Any) -> int:
        """Returns the number of examples of a split, read with these options."""

    def batches(
        self,
        view: str,
        split: str,
        *,
        batch_size: int,
        seed: int,
        epoch: int,
        rows: tuple[int, int] | None,
        shuffled: bool,
        **options: Any,
    ) -> tf.data.Dataset:
        """Reads one epoch; random only through (seed, epoch).

        `rows` are the [first, last) of every batch to give, None for all of them. Batches of the
        split "train" hold what training reads, also where their rows are not `shuffled`.
        """

    def epochs(
        self,
        view: str,
        split: str,
        *,
        batch_size: int,
        seed: int,
        epochs: Sequence[int],
        steps: Sequence[int] | None,
        rows: tuple[int, int] | None,
        shuffled: bool,
        **options: Any,
    ) -> tf.data.Dataset:
        """Reads epochs one behind the other, each as `batches` does; its first `steps`, if given.

        This is for whoever reads more than one: to set up what reads takes longer than to read a
        small epoch.
        """

    def user_names(self, users: Sequence[int]) -> list[str]:
        """Returns the raw ids of users by their ids, from 1."""


class HistorySource(DataSource, Protocol):
    """A prepared data set of interactions."""

    @property
    def num_users(self) -> int:
        """Number of users; their ids are from 1."""

    def training_histories(
        self, space: str, most: int
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Gives what trains, some users at once, each user's latest interactions, `most` of them.

        Yields:
          Of one interaction after the other, a user's in order of time: int64 [n], the user's
          number among those given at once, from 0, rising; int64 [n], the item's id in the
          space; and float32 [n], how much the interaction counts, 1 if all count alike.
        """

    def whole_histories(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Gives all that every user did in the run's domains, some users at once.

        Yields:
          int64 [U], users' ids; int64 [U + 1], where the items of each begin and where they end;
          and int64 [n], the items, oldest first: ids of space "joint", or "source" if the run has
          no target.
        """


class ImpressionSource(DataSource, Protocol):
    """A prepared data set of impressions."""

    @property
    def field_sizes(self) -> tuple[int, ...]:
        """Of each categorical column, the number n of its values 0 .. n-1."""

    @property
    def field_values(self) -> tuple[tuple[str, ...], ...]:
        """Of each categorical column, the raw value of id i + 1 at i; empty if ids are the values.

        Id 0 then stands for all other values.
        """

    @property
    def labels(self) -> tuple[str, ...]:
        """What the rows are labelled with, entries of the batches, as "click"."""

    @property
    def categorical_columns(self) -> tuple[str, ...]:
        """Names of the categorical columns."""

    @property
    def numerical_columns(self) -> tuple[str, ...]:
        """Names of the numerical columns."""


# What kind of data set a system reads.
SourceT = TypeVar("SourceT", bound=DataSource)


class ViewRequest(NamedTuple):
    """A view and how to read it.

    Attributes:
      view: its name, such as "next_item".
      options: keyword arguments of the view's batching.
    """

    view: str
    options: Mapping[str, Any]

    def num_examples(self, data: DataSource, split: str) -> int:
        """Returns the examples of one epoch."""
        return data.num_examples(self.view, split, **self.options)

    def batches(
        self,
        data: DataSource,
        split: str,
        batch_size: int,
        seed: int,
        epoch: int = 0,
        rows: tuple[int, int] | None = None,
        shuffled: bool = True,
    ) -> tf.data.Dataset:
        """Reads one epoch of this view.

        Args:
          data: where it stands.
          split: "train", "validation" or "test"; the last two come in fixed order in any case.
          batch_size: examples of a batch.
          seed: with `epoch`, decides everything random.
          epoch: from 0.
          rows: [first, last) of each batch that one process reads; all by default.
          shuffled: whether training comes in another order in each epoch.
        """
        return data.batches(
            self.view,
            split,
            batch_size=batch_size,
            seed=seed,
            epoch=epoch,
            rows=rows,
            shuffled=shuffled and split == "train",
            **self.options,
        )

    def epochs(
        self,
        data: DataSource,
        split: str,
        batch_size: int,
        seed: int,
        epochs: Sequence[int],
        rows: tuple[int, int] | None = None,
        steps: Sequence[int] | None = None,
        shuffled: bool = True,
    ) -> tf.data.Dataset:
        """Reads epochs of this view one behind the other.

        Args:
          data: where it stands.
          split: as in `batches`.
          batch_size: examples of a batch.
          seed: with an epoch's number, decides everything random.
          epochs: their numbers, from 0.
          rows: [first, last) of each batch that one process reads; all by default.
          steps: how many batches of each are wanted; all by default.
          shuffled: as in `batches`.
        """
        return data.epochs(
            self.view,
            split,
            batch_size=batch_size,
            seed=seed,
            epochs=epochs,
            steps=steps,
            rows=rows,
            shuffled=shuffled and split == "train",
            **self.options,
        )


class DomainPairs(NamedTuple):
    """A batch of source and one of target side by side, for as long as the target's epoch lasts.

    Their entries carry the prefixes `source_` and `target_`. Source epochs follow each other where
    one is shorter; where it is longer, its rest is left out, which is another one in each epoch.

    Attributes:
      source: what is read of the source domain.
      target: what is read of the target domain.
    """

    source: ViewRequest
    target: ViewRequest

    def num_examples(self, data: DataSource, split: str) -> int:
        """Returns the target's examples of one epoch."""
        return self.target.num_examples(data, split)

    def batches(
        self,
        data: DataSource,
        split: str,
        batch_size: int,
        seed: int,
        epoch: int = 0,
        rows: tuple[int, int] | None = None,
    ) -> tf.data.Dataset:
        """Reads one epoch; `batch_size` examples of each domain."""
        return self.epochs(data, split, batch_size, seed, [epoch], rows)

    def epochs(
        self,
        data: DataSource,
        split: str,
        batch_size: int,
        seed: int,
        epochs: Sequence[int],
        rows: tuple[int, int] | None = None,
    ) -> tf.data.Dataset:
        """Reads epochs one behind the other; see `ViewRequest.epochs`."""
        of_target, of_source = (
            -(-request.num_examples(data, split) // batch_size)
            for request in (self.target, self.source)
        )
        # An empty source is an error of its own.
        repeats = -(-of_target // max(of_source, 1))
        wanted = [min(of_source, of_target - repeat * of_source) for repeat in range(repeats)]
        source = self.source.epochs(
            data,
            split,
            batch_size,
            seed,
            [epoch * repeats + repeat for epoch in epochs for repeat in range(repeats)],
            rows,
            steps=wanted * len(epochs),
        )
        target = self.target.epochs(data, split, batch_size, seed, epochs, rows)
        return tf.data.Dataset.zip((source, target)).map(
            lambda *pair: {
                f"{role}_{name}": values
                for role, batch in zip(("source", "target"), pair, strict=True)
                for name, values in batch.items()
            }
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
