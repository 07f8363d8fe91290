"""What every kind of generated data has: sizes, a conversion, and words for both."""

import abc
import dataclasses
from pathlib import Path
from typing import Generic

from data_pipelines.prepared.dataset import PreparedData, open_prepared
from data_pipelines.prepared.reading import Source
from tfcdr.benchmark import InputSizes
from tfcdr.data_source import SourceT

SOURCE, TARGET = "source", "target"


@dataclasses.dataclass(frozen=True)
class DataSizes:
    """Sizes of the generated data.

    Attributes:
      items: items of each domain, each of which occurs.
      length: items of a history; every user has one of full length.
      users: users; more of them if the items need more to occur.
      domains: domains of a system with one model for all of them; others have a source and a
        target.
      impressions: impressions of each domain, which a system of impressions reads instead.
    """

    items: int = 3600
    length: int = 20
    users: int = 20_000
    domains: int = 5
    impressions: int = 65_536

    def __post_init__(self) -> None:
        """Refuses values out of range.

        Raises:
          ValueError: naming the field.
        """
        least_values = (
            ("items", 100),
            ("length", 2),
            ("users", 100),
            ("domains", 1),
            ("impressions", 100),
        )
        for name, least in least_values:
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}.")


class Generator(abc.ABC, Generic[SourceT]):
    """Draws a log of one kind and converts it."""

    def prepare(self, folder: Path, sizes: DataSizes) -> Source:
        """Opens the data set in a folder, or draws and converts it first.

        Raises:
          DataError: the folder holds another data set, or cannot be written.
        """
        if not folder.exists():
            self.convert(folder, sizes)
        return self.read(open_prepared(folder), sizes)

    @abc.abstractmethod
    def convert(self, folder: Path, sizes: DataSizes) -> None:
        """Draws a log and writes the data set."""

    @abc.abstractmethod
    def read(self, prepared: PreparedData, sizes: DataSizes) -> Source:
        """Reads a data set as a run from one domain to the other."""

    @abc.abstractmethod
    def input_sizes(self, sizes: DataSizes) -> InputSizes:
        """Returns what peers are told, which draw batches of the same sizes themselves."""

    @abc.abstractmethod
    def describe(self, source: SourceT) -> str:
        """Returns the size of an example of a data set, for a person."""
