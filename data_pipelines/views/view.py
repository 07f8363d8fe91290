"""What a kind of training example of interaction logs is."""

import abc
import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from data_pipelines.coding.vocabulary import ItemSpace
from data_pipelines.views.example_batches import Assemble, Cut
from data_pipelines.views.example_options import ExampleOptions
from data_pipelines.views.items_left import ItemsNeeded
from data_pipelines.views.roles import RoleRecords, Roles
from data_pipelines.views.split_read import SplitRead


@dataclasses.dataclass(frozen=True, eq=False)
class HistoryRead(SplitRead):
    """What a view of users' histories is told besides.

    Attributes:
      part: the split's place in PARTS.
      options: how examples are cut.
      spaces: item spaces `source`, `target` and `joint`, as far as the roles make them.
      has_ratings: whether the data set has them.
      excludes_seen: whether items that a user has taken are left out of the catalogue that his
        held-out interactions are ranked in.
      most_seen: the greatest number of distinct target items of a user with an example in the
        split; of training items alone where it is read for training.
      fewest_seen: the least such number.
      seen_by_domain: int64 [domains, 2], the least and the greatest number of each domain's items
        alone, of the users with an example in that domain.
      longest: the greatest number of a user's interactions that the run reads.
      given_negatives: the least and the greatest number of given negatives of the split's target
        interactions.
      needed: the items that must be left to an example.
    """

    part: int
    options: ExampleOptions
    spaces: Mapping[str, ItemSpace]
    has_ratings: bool
    excludes_seen: bool
    most_seen: int
    fewest_seen: int
    seen_by_domain: np.ndarray
    longest: int
    given_negatives: tuple[int, int]
    needed: ItemsNeeded

    def ids(self, space: str, records: RoleRecords) -> tf.Tensor:
        """Returns int64 [n], the ids of interactions' items in a space that holds them all."""
        return records.items + tf.gather(self.spaces[space].shifts(), records.domains)


class View(abc.ABC):
    """One kind of example: where they are in users' histories, and what a batch of them holds.

    Attributes:
      name: the name by which systems ask for it.
      batching: a frozen dataclass with the options of a reading.
    """

    name: ClassVar[str]
    batching: ClassVar[type]

    @abc.abstractmethod
    def check(self, roles: Roles, comparable_times: bool, options: ExampleOptions) -> None:
        """Raises DataError if this view cannot be cut from such data."""

    def needed(self, read: HistoryRead, batching: Any) -> ItemsNeeded:
        """Says how many items must be left to a user for his rows to be read; none by default.

        Where nobody has too few, it is none as well, so that nothing needs to be counted.
        """
        del read, batching
        return ItemsNeeded()

    @abc.abstractmethod
    def cut(self, records: RoleRecords, read: HistoryRead) -> Cut:
        """Finds the examples of some users in a split, in the order of users and times.

        With `read.needed`, they have an entry `items_left.LEFT`.
        """

    @abc.abstractmethod
    def assembler(self, read: HistoryRead, batching: Any) -> Assemble:
        """Returns the function that makes batches.

        Raises:
          DataError: the data cannot give what `batching` asks for.
        """
