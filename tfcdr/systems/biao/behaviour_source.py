"""What BIAO needs of a prepared data set: ratings of items with categories."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from tfcdr.data_source import DataSource, Vocabulary


class CategoryVocabulary(Vocabulary, Protocol):
    """A vocabulary whose items have categories."""

    @property
    def categories(self) -> Sequence[str]:
        """Their names; the id of the one at index i is i + 1."""

    @property
    def category_of(self) -> np.ndarray:
        """Int [size + 1], the category's id of each item's id, 0 at 0."""


class BehaviourSource(DataSource, Protocol):
    """A prepared data set of rated interactions with categories."""

    @property
    def num_users(self) -> int:
        """Number of users; their ids are from 1."""

    def vocabulary(self, space: str) -> CategoryVocabulary:
        """Returns the vocabulary of item space "source" or "target"."""
