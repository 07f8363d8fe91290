"""What raw histories may call items: one contract for the exports of all systems.

An item is named as `domain:item`, or by its bare id where no other domain of the run has an item of
that id. A bare id that several domains have, or that is spelt like another item's `domain:item`,
names nothing.
"""

import collections
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tfcdr.data_source import DataSource, Vocabulary
from tfcdr.named_rows import whole_names


class HistoryNames(NamedTuple):
    """Names of the items that a model reads in histories.

    Attributes:
      names: distinct; items of domains that the model does not read have none.
      ids: int32, the id that each name stands for, in the space of the model's histories.
    """

    names: Sequence[str]
    ids: np.ndarray


def run_space(data: DataSource, catalogue: str) -> Vocabulary:
    """Returns all items of a run: of its targets, then of its sources.

    Args:
      data: of the run.
      catalogue: the item space that its last stage ranks; "source" if the run has no target.
    """
    return data.vocabulary("source" if catalogue == "source" else "joint")


def place_in_run(data: DataSource, space: str, catalogue: str) -> range:
    """Returns the ids that the items of a space have in `run_space`."""
    first = 1
    if space == "source" != catalogue:  # Behind the target's items.
        first += data.vocabulary("target").size
    return range(first, first + data.vocabulary(space).size)


def names_in(run: Vocabulary, read: range) -> HistoryNames:
    """Names some of a run's items.

    Args:
      run: all items of the run, whose domains decide what is clear.
      read: the ids of those that are named; in the result these are from 1.
    """
    whole = whole_names(run)
    bare = [name.partition(":")[2] for name in whole]
    times, taken = collections.Counter(bare), set(whole)
    places = range(read.start - 1, read.stop - 1)
    short = [place for place in places if times[bare[place]] == 1 and bare[place] not in taken]
    names = [*(whole[place] for place in places), *(bare[place] for place in short)]
    ids = np.array([*places, *short], np.int32) - places.start + 1
    return HistoryNames(names, ids)
