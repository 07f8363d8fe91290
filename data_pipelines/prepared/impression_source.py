"""A data set of impressions as a run reads it."""

import functools
from collections.abc import Hashable, Sequence
from typing import Any

import tensorflow as tf

from data_pipelines.coding.vocabulary import ItemSpace
from data_pipelines.errors import DataError
from data_pipelines.impressions import field_values
from data_pipelines.impressions.log import TASKS
from data_pipelines.logs import PARTS
from data_pipelines.prepared.dataset import (
    PreparedData,
    batching,
    check_reading,
    fingerprint,
)
from data_pipelines.prepared.impression_records import stored_split
from data_pipelines.prepared.role_census import DomainSize
from data_pipelines.views.block_batches import BlockReader
from data_pipelines.views.impression import NAME, Batching, impression_reader
from data_pipelines.views.split_read import SplitRead


class ImpressionSource:
    """A data set of impressions in the eyes of a run.

    Attributes:
      prepared: the data set.
      max_length: 0; there are no histories.
      shared_readings: empty at first; what all who read it keep with it, by keys of theirs.
    """

    max_length = 0

    def __init__(self, prepared: PreparedData) -> None:
        """Remembers what to read."""
        self.prepared = prepared
        self.shared_readings: dict[Hashable, Any] = {}
        self._readers: dict[tuple[Hashable, ...], BlockReader] = {}

    @property
    def fingerprint(self) -> str:
        """Hex sha256 of the data set."""
        return self.prepared.fingerprint

    @property
    def shared_fingerprint(self) -> str:
        """Hex sha256 of the columns: a source model fits any target that has the same."""
        shared = [self.categorical_columns, self.numerical_columns, self.field_sizes]
        # Data sets without vocabularies and with all labels keep the fingerprints that they had.
        if self.field_values:
            shared.append(self.field_values)
        if self.labels != TASKS:
            shared.append(self.labels)
        return fingerprint(*shared)

    @property
    def settings(self) -> dict[str, Any]:
        """Nothing: what is read was decided when the data were converted."""
        return {}

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the source domains."""
        return tuple(self.prepared.metadata["sources"])

    @property
    def transfers(self) -> bool:
        """Whether anything is read besides the target."""
        return bool(self.sources)

    @property
    def field_sizes(self) -> tuple[int, ...]:
        """Of each categorical column, the number n of its values 0 .. n-1."""
        return tuple(self.prepared.metadata["field_sizes"])

    @functools.cached_property
    def field_values(self) -> tuple[tuple[str, ...], ...]:
        """Of each categorical column, the value of id i + 1 at i; empty if ids are the values."""
        if not self.prepared.metadata.get("least_count"):
            return ()
        path = self.prepared.data_dir / field_values.FILE
        return field_values.load(path, self.categorical_columns, self.field_sizes)

    @property
    def labels(self) -> tuple[str, ...]:
        """What rows are labelled with: `click`, mostly `conversion` too."""
        return tuple(self.prepared.metadata.get("labels", TASKS))

    @property
    def categorical_columns(self) -> tuple[str, ...]:
        """Names of the categorical columns."""
        return tuple(self.prepared.metadata["categorical"])

    @property
    def numerical_columns(self) -> tuple[str, ...]:
        """Names of the numerical columns."""
        return tuple(self.prepared.metadata["numerical"])

    def vocabulary(self, space: str) -> ItemSpace:
        """Raises DataError: impressions have no items."""
        raise DataError(
            f"{self.prepared.data_dir}: impressions have no items, so no item space {space!r}."
        )

    def user_names(self, users: Sequence[int]) -> list[str]:
        """Returns nothing: impressions have no users."""
        del users
        return []

    def summary(self) -> list[str]:
        """Returns the table of splits, and what was left out."""
        return self.prepared.metadata["summary"]

    def domain_sizes(self) -> list[DomainSize]:
        """Returns how large both domains are, the sources first."""
        found = []
        for role in ("source", "target") if self.transfers else ("target",):
            splits = [
                self.prepared.metadata["splits"].get(stored_split(role, split), {})
                for split in PARTS
            ]
            counts = {
                name: sum(of.get(key, 0) for of in splits)
                for name, key in (("impressions", "rows"), ("clicks", "clicks"))
            }
            found.append(DomainSize(role, role, counts, None))
        return found

    def num_examples(self, view: str, split: str, **options: Any) -> int:
        """Returns the rows of a split; 0 if it is empty.

        Args:
          view: "impression".
          split: "train", "validation" or "test".
          **options: fields of `Batching`.

        Raises:
          DataError: it is another view.
        """
        stored = stored_split(self._batching(view, options).domain, split)
        return self.prepared.metadata["splits"].get(stored, {"rows": 0})["rows"]

    def batches(
        self,
        view: str,
        split: str,
        *,
        batch_size: int,
        seed: int,
        epoch: int = 0,
        rows: tuple[int, int] | None = None,
        shuffled: bool | None = None,
        **options: Any,
    ) -> tf.data.Dataset:
        """Reads one epoch of one split; see `epochs`."""
        return self.epochs(
            view,
            split,
            batch_size=batch_size,
            seed=seed,
            epochs=[epoch],
            rows=rows,
            shuffled=shuffled,
            **options,
        )

    def epochs(
        self,
        view: str,
        split: str,
        *,
        batch_size: int,
        seed: int,
        epochs: Sequence[int],
        steps: Sequence[int] | None = None,
        rows: tuple[int, int] | None = None,
        shuffled: bool | None = None,
        **options: Any,
    ) -> tf.data.Dataset:
        """Reads epochs of one split, one behind the other; see `InteractionSource.epochs`."""
        stored = stored_split(self._batching(view, options).domain, split)
        examples = self.num_examples(view, split, **options)
        check_reading(f"{self.prepared.data_dir}: split {stored}", examples, batch_size)
        read = SplitRead(
            split=split,
            shuffled=split == "train" if shuffled is None else shuffled,
            batch_size=batch_size,
            rows=rows or (0, batch_size),
            seed=seed,
            examples=examples,
        )
        # A reader is traced once for all readings.
        key = (stored, read.split, read.shuffled, read.batch_size, read.rows, read.seed)
        if key not in self._readers:
            columns = len(self.categorical_columns), len(self.numerical_columns)
            self._readers[key] = impression_reader(self.prepared.files(stored), read, *columns)
        return self._readers[key](epochs, steps)

    def _batching(self, view: str, options: dict[str, Any]) -> Batching:
        if view != NAME:
            raise DataError(
                f"{self.prepared.data_dir}: a data set of impressions has no view {view}, only "
                f"{NAME}."
            )
        return batching(view, Batching, options)
