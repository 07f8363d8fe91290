"""Recommends to users piece by piece and writes what is recommended."""

import functools
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from launchers.recommending import history_files
from launchers.recommending.history_files import RawHistory
from launchers.recommending.output_parts import OutputParts
from launchers.recommending.target_scorer import TargetScorer
from tfcdr.ranking.batch_scoring import Histories

# Users of a file that are looked up, scored and written together.
_USERS_AT_ONCE = 4096
_SECONDS_BETWEEN_LINES = 10


class Users(NamedTuple):
    """Some users.

    Attributes:
      names: raw ids.
      histories: theirs.
      given: int [users], how many ids each history holds.
    """

    names: Sequence[str]
    histories: Histories
    given: np.ndarray


def write(
    scorers: Sequence[TargetScorer], histories: Path | None, parts: OutputParts
) -> dict[str, int]:
    """Recommends to all users, says now and then how far it is, and leaves one table.

    Args:
      scorers: of the targets, one after the other.
      histories: file of raw histories; None for all users of the data set.
      parts: takes the pieces; those that are there are not made again.

    Returns:
      How many users, rows and users of whom nothing is known there are.

    Raises:
      DataError: the file of histories is bad.
      RunError: the output cannot be written.
    """
    started = said = time.monotonic()
    number = scored = 0
    for scorer in scorers:
        for piece in _pieces(scorer, histories):
            if number not in parts:
                users = piece()
                parts.add(number, *scorer.table(*users))
                scored += len(users.names)
            number += 1
            now = time.monotonic()
            if now - said > _SECONDS_BETWEEN_LINES and scored:
                said = now
                print(
                    f"{scorer.domain}: {scored:,} users, {scored / (now - started):,.0f} a second"
                )
    return parts.finish(number)


def _pieces(scorer: TargetScorer, histories: Path | None) -> Iterator[Callable[[], Users]]:
    """Gives some users after the others, as functions that look them up."""
    if histories is None:
        names = scorer.source.prepared.users
        for users, splits, items in scorer.source.whole_histories():
            yield functools.partial(_of_data_set, names, users, Histories(splits, items))
        return
    found = history_files.read(histories)
    while some := list(itertools.islice(found, _USERS_AT_ONCE)):
        yield functools.partial(_of_file, scorer, some)


def _of_data_set(names: Sequence[str], users: np.ndarray, histories: Histories) -> Users:
    return Users([names[user - 1] for user in users], histories, np.diff(histories.splits))


def _of_file(scorer: TargetScorer, users: Sequence[RawHistory]) -> Users:
    given = np.array([len(user.items) for user in users])
    return Users(
        [user.user for user in users], scorer.histories(user.items for user in users), given
    )
