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


class HistoryNames(NamedTuple):
    """Names of the items that a model reads in histories.

    Attributes:
      names: distinct; items of domains that the model does not read have none.
      ids: int32, the id that each name stands for, in the space of the model's histories.
    """

    names: Sequence[str]
    ids: np.ndarray


def read_in(data: DataSource, space: str, has_target: bool) -> HistoryNames:
    """Returns the names of the items of a space.

    Args:
      data: of the run, whose domains decide what is unambiguous.
      space: whose ids the model's histories have: "source", "target" or "joint".
      has_target: whether the run has a target at all.
    """
    run = data.vocabulary("joint" if has_target else "source")
    first = 0
    if space == "source" and has_target:  # Behind the target's items.
        first = data.vocabulary("target").size
    return names_in(run, first, data.vocabulary(space).size)


def names_in(run: Vocabulary, first: int, count: int) -> HistoryNames:
    """Names some of a run's items.

    Args:
      run: all items of the run.
      first: how many of them stand before the items that are read.
      count: how many are read; the ids of their names are from 1.
    """
    whole = whole_names(run)
    bare = [name.partition(":")[2] for name in whole]
    times, taken = collections.Counter(bare), set(whole)
    read = range(first, first + count)
    short = [place for place in read if times[bare[place]] == 1 and bare[place] not in taken]
    names = [*whole[first : first + count], *(bare[place] for place in short)]
    ids = np.concatenate([np.arange(count), np.array(short, np.int64) - first]) + 1
    return HistoryNames(names, ids.astype(np.int32))


def whole_names(vocabulary: Vocabulary) -> list[str]:
    """Returns every item as `domain:item`, in the order of ids; no domain has a colon."""
    sizes = vocabulary.domain_sizes
    if len(sizes) > 1:
        return list(vocabulary.tokens)
    (domain,) = sizes
    return [f"{domain}:{token}" for token in vocabulary.tokens]
