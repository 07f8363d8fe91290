"""Recommends to users piece by piece and writes what is recommended."""

import functools
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from launchers.recommending import history_files
from launchers.recommending.output_parts import OutputParts
from launchers.recommending.target_scorer import TargetScorer, Users

# Users of a file that are looked up, scored and written together.
_USERS_AT_ONCE = 4096
_SECONDS_BETWEEN_LINES = 10


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
                parts.add(number, *scorer.table(users))
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
        for whole in scorer.source.whole_histories():
            yield functools.partial(scorer.of_data_set, *whole)
        return
    found = history_files.read(histories)
    while some := list(itertools.islice(found, _USERS_AT_ONCE)):
        names, rows = zip(*some, strict=True)
        yield functools.partial(scorer.of_raw, names, rows)
