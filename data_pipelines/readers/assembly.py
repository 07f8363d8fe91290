"""Puts what was read from several files together into one interaction log."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

from data_pipelines.errors import DataError
from data_pipelines.logs import BadLines, InteractionLog, typed_rows
from data_pipelines.readers import domains as domain_rules
from data_pipelines.readers.options import FileOptions


class LogAssembly:
    """Collects the rows of each file, checked, and makes the log.

    Attributes:
      bad_lines: the count of bad lines over all files.
      left_out: reason -> number of interactions that the user's options leave out.
      notes: what else people should know, a line each.
    """

    def __init__(self, domains: Sequence[str], bad_lines: BadLines) -> None:
        """Starts without rows; `domains` are the names that rows may have."""
        self.bad_lines = bad_lines
        self.left_out: Counter[str] = Counter()
        self.notes: list[str] = []
        self._domains = tuple(domains)
        self._frames: list[pd.DataFrame] = []

    def add(self, rows: pd.DataFrame, locate: Callable[[int], str]) -> None:
        """Adds a file's rows; `locate` says "FILE, line N" for a row (0-based) of them.

        Raises:
          DataError: more lines are bad than may be skipped.
        """
        typed, _ = typed_rows(rows, self._domains, locate, self.bad_lines)
        self._frames.append(typed)

    def reject(
        self,
        rows: pd.DataFrame,
        bad: np.ndarray,
        locate: Callable[[int], str],
        field: str,
        remedy: str,
    ) -> tuple[pd.DataFrame, Callable[[int], str]]:
        """Takes bad rows away and counts them as bad lines.

        Args:
          rows: a file's rows.
          bad: bool [rows].
          locate: says "FILE, line N" for a row.
          field: the column that is wrong.
          remedy: what is wrong with it, following its value.

        Returns:
          The other rows and their `locate`.

        Raises:
          DataError: more lines are bad than may be skipped.
        """
        return self.without(
            rows, bad, locate, lambda row: f"{field} {rows[field].iloc[row]!r} {remedy}"
        )

    def without(
        self,
        rows: pd.DataFrame,
        bad: np.ndarray,
        locate: Callable[[int], str],
        problem: Callable[[int], str],
    ) -> tuple[pd.DataFrame, Callable[[int], str]]:
        """As `reject`, where `problem` says what is wrong with a bad row."""
        if not bad.any():
            return rows, locate
        first = int(np.argmax(bad))
        self.bad_lines.add(int(bad.sum()), lambda: f"{locate(first)}: {problem(first)}")
        kept = np.flatnonzero(~bad)
        return rows.iloc[kept], lambda row: locate(int(kept[row]))

    def by_item_range(
        self,
        rows: pd.DataFrame,
        ranges: Mapping[str, tuple[int, int]],
        locate: Callable[[int], str],
    ) -> tuple[pd.DataFrame, Callable[[int], str]]:
        """Gives rows the domain whose range holds their item; rejects items in no range."""
        rows = rows.assign(domain=domain_rules.by_item_range(rows["item_id"], ranges))
        return self.reject(
            rows,
            (rows["domain"] == "").to_numpy(bool),
            locate,
            "item_id",
            "is in none of the ranges of --read.item_ranges.",
        )

    def by_category(
        self, rows: pd.DataFrame, separator: str, locate: Callable[[int], str]
    ) -> tuple[pd.DataFrame, Callable[[int], str]]:
        """Gives rows the domain of their category; leaves out and counts those of none."""
        rows = rows.assign(
            domain=domain_rules.by_category(rows["category"], separator, self._domains)
        )
        kept = np.flatnonzero((rows["domain"] != "").to_numpy(bool))
        self.leave_out("items of none of the named categories", len(rows) - len(kept))
        return rows.iloc[kept], lambda row: locate(int(kept[row]))

    def leave_out(self, reason: str, rows: int) -> None:
        """Counts interactions that the user's options leave out."""
        if rows:
            self.left_out[reason] += rows

    def rows(self) -> pd.DataFrame:
        """Returns all rows, of files with the same columns; their index is that of `add`."""
        return self._frames[0] if len(self._frames) == 1 else pd.concat(self._frames)

    def log(self, *, comparable_times: bool) -> InteractionLog:
        """Returns the log of all rows.

        Raises:
          DataError: no row is left, or some files have a column that others lack.
        """
        frames = [frame for frame in self._frames if len(frame)]
        if not frames:
            raise no_interactions(self.left_out)
        check_same_columns([list(frame.columns) for frame in frames])
        rows = frames[0] if len(frames) == 1 else pd.concat(frames, ignore_index=True)
        self._frames.clear()  # the log holds the rows now, one copy is enough
        return InteractionLog(
            rows,
            self._domains,
            comparable_times,
            self.bad_lines.count,
            dict(self.left_out),
            tuple(self.notes),
        )


def read_bad_lines(options: FileOptions) -> BadLines:
    """A count of bad lines against `--read.max_bad_lines`."""
    return BadLines("--read.max_bad_lines", options.max_bad_lines)


def no_interactions(left_out: Mapping[str, int]) -> DataError:
    """The error for input of which nothing is left."""
    reasons = "; ".join(f"{reason}: {count}" for reason, count in left_out.items())
    return DataError(
        f"the input holds no interactions{' (' if reasons else ''}{reasons}"
        f"{')' if reasons else ''}: check --input and --read.domains."
    )


def check_same_columns(columns: Sequence[Sequence[str]]) -> None:
    """Raises DataError unless all files have the same columns."""
    odd = set().union(*columns) - set.intersection(*map(set, columns))
    if odd:
        raise DataError(
            f"--input: only some of the files have {', '.join(sorted(odd))}; give all files "
            "the same columns."
        )


def line_locator(path: object, numbers: np.ndarray) -> Callable[[int], str]:
    """Says "FILE, line N" for a row, given each row's line number (int64 [rows])."""
    return lambda row: f"{path}, line {numbers[row]}"
