"""Inner joins of two tables by a key, on disk: both are scattered by the hash of the key.

A pair of pieces holds all rows of its keys, so that each pair is joined in memory on its own.
"""

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

# Odd and without pattern: the product's upper bits spread keys that follow each other.
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_UPPER_BITS = np.uint64(40)


class Matches(NamedTuple):
    """Which rows go together.

    Attributes:
      left, right: int64 [matches], row numbers; in the order of the left rows, then of the right.
      left_only, right_only: numbers of distinct keys that stand on one side only.
    """

    left: np.ndarray
    right: np.ndarray
    left_only: int
    right_only: int


class TooManyMatchesError(ValueError):
    """Keys that repeat on both sides make more pairs than a join may have.

    Attributes:
      key: that with the most pairs.
      left, right: how many rows of each side have it.
      pairs: of all keys.
    """

    def __init__(self, key: int, left: int, right: int, pairs: int) -> None:
        super().__init__(f"{pairs} pairs")
        self.key, self.left, self.right, self.pairs = key, left, right, pairs


def match(left: np.ndarray, right: np.ndarray, most: int | None = None) -> Matches:
    """Finds the pairs of rows with equal keys.

    Args:
      left: int64 [left].
      right: int64 [right].
      most: number of pairs that there may be; None for any.

    Raises:
      TooManyMatchesError: there are more; none has been made.
    """
    order = np.argsort(right, kind="stable")
    keys = right[order]
    starts = np.searchsorted(keys, left, side="left")
    counts = np.searchsorted(keys, left, side="right") - starts
    pairs = int(counts.sum())
    if most is not None and pairs > most:
        keys, of_key, times = np.unique(left, return_inverse=True, return_counts=True)
        of_right = np.zeros(len(keys), np.int64)
        of_right[of_key] = counts
        worst = int(np.argmax(of_right * times))
        raise TooManyMatchesError(int(keys[worst]), int(times[worst]), int(of_right[worst]), pairs)
    left_rows = np.repeat(np.arange(len(left)), counts)
    places = np.arange(len(left_rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    right_rows = order[np.repeat(starts, counts) + places]
    left_keys, right_keys = np.unique(left), np.unique(right)
    shared = len(np.intersect1d(left_keys, right_keys, assume_unique=True))
    return Matches(left_rows, right_rows, len(left_keys) - shared, len(right_keys) - shared)


class Pieces:
    """The rows of a table, scattered over files by the hash of their key."""

    def __init__(
        self, rows: Iterable[np.ndarray], row_type: np.dtype, folder: Path, number: int
    ) -> None:
        """Writes the files.

        Args:
          rows: blocks of rows of `row_type`, which has a field `key`, int64.
          row_type: without objects.
          folder: for this table's files alone; it is made.
          number: of pieces.
        """
        self._row_type = row_type
        folder.mkdir()
        self._paths = [folder / str(piece) for piece in range(number)]
        with contextlib.ExitStack() as stack:
            files = [stack.enter_context(path.open("wb")) for path in self._paths]
            for block in rows:
                piece = _piece(block["key"], number)
                order = np.argsort(piece, kind="stable")
                ends = np.searchsorted(piece[order], np.arange(number), side="right")
                for file, chosen in zip(files, np.split(order, ends[:-1]), strict=True):
                    if len(chosen):
                        block[chosen].tofile(file)

    def take(self, piece: int) -> np.ndarray:
        """Reads a piece, in the table's order, and removes its file."""
        rows = np.fromfile(self._paths[piece], self._row_type)
        self._paths[piece].unlink()
        return rows


def _piece(keys: np.ndarray, number: int) -> np.ndarray:
    """int64 [rows], the number of each key's piece."""
    hashed = (keys.astype(np.uint64) * _MULTIPLIER) >> _UPPER_BITS
    return (hashed % np.uint64(number)).astype(np.int64)
