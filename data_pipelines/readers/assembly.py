"""Puts what was read from several files together into one interaction log."""

import functools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

from data_pipelines.errors import DataError, shown
from data_pipelines.logs import BadLines, InteractionLog, domain_name_problem, typed_rows
from data_pipelines.readers import domains as domain_rules
from data_pipelines.readers.cells import without_points
from data_pipelines.readers.options import FileOptions
from data_pipelines.times import (
    Times,
    check_one_clock,
    constant_times,
    parse_times,
    rescaled,
    unit_of,
)


class LogAssembly:
    """Collects the rows of each file, checked, and makes the log.

    Attributes:
      bad_lines: the count of bad lines over all files.
      left_out: reason -> number of interactions that the user's options leave out.
      notes: what else people should know, a line each.
      remarks: what was seen in rows -> number of rows; each becomes a note.
      spans: domain -> first and last time, of rows that have times.
      digits: decimal digits of a second that the times of each `add` have.
      domains: the names that rows may have.
    """

    def __init__(
        self,
        domains: Sequence[str],
        bad_lines: BadLines,
        time_units: Mapping[str, str] | None = None,
    ) -> None:
        """Starts without rows.

        Args:
          domains: the names that rows may have.
          bad_lines: counts bad lines.
          time_units: domain -> unit of its times, one of `times.UNITS`; "" stands for all.
        """
        self.bad_lines = bad_lines
        self.left_out: Counter[str] = Counter()
        self.notes: list[str] = []
        self.remarks: Counter[str] = Counter()
        self.spans: dict[str, tuple[int, int]] = {}
        self.digits: list[int] = []
        self.domains = tuple(domains)
        self._time_units = time_units or {}
        self._frames: list[pd.DataFrame] = []

    def add(self, rows: pd.DataFrame, locate: Callable[[int], str]) -> None:
        """Adds a file's rows; `locate` says "FILE, line N" for a row (0-based) of them.

        Raises:
          DataError: more lines are bad than may be skipped.
        """
        rows = self.with_plain_ids(rows)
        parsed: list[Times] = []

        def parse(column: pd.Series) -> Times:
            parsed.append(self._times(column, rows["domain"]))
            return parsed[0]

        typed, _ = typed_rows(rows, self.domains, locate, self.bad_lines, parse)
        self._frames.append(typed)
        self.digits.append(parsed[0].digits)
        self.spans = joined_spans(self.spans, self.digits[:-1], spans_of(typed), parsed[0].digits)

    def with_plain_ids(self, rows: pd.DataFrame) -> pd.DataFrame:
        """The rows with ids that are whole numbers written as floats as such numbers; counts."""
        for name in ("user_id", "item_id"):
            if not pd.api.types.is_string_dtype(rows[name]):
                continue
            ids, count = without_points(rows[name])
            if count:
                rows = rows.assign(**{name: ids})
                self.remarks[f"{name} written as a float, such as 1000.0, and read as 1000"] += (
                    count
                )
        return rows

    def _times(self, column: pd.Series, domains: pd.Series) -> Times:
        """Parses a column whose rows may be of domains with units of their own."""
        units = {name: unit for name, unit in self._time_units.items() if name}
        if not units:
            return parse_times(column, self._time_units.get("", ""))
        found = [
            (places, parse_times(column.iloc[places], units.get(name, "")))
            for name in domains.unique()
            if len(places := np.flatnonzero((domains == name).to_numpy(bool)))
        ]
        digits = max((times.digits for _, times in found), default=0)
        values, bad = np.zeros(len(column), np.int64), np.zeros(len(column), bool)
        for places, times in found:
            values[places] = rescaled(times.numbers, times.digits, digits)
            bad[places] = times.bad
        return Times(values, digits, bad)

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
            rows, bad, locate, lambda row: f"{field} {shown(rows[field].iloc[row])} {remedy}"
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
        self.bad_lines.add(int(bad.sum()), lambda: f"{locate(first)}: {problem(first)}", len(bad))
        return kept_rows(rows, locate, ~bad)

    def with_usable_domains(
        self, rows: pd.DataFrame, locate: Callable[[int], str], remedy: str
    ) -> tuple[pd.DataFrame, Callable[[int], str]]:
        """As `reject`, of rows whose domain's name cannot be one; `remedy` says what to do."""
        problems = {name: domain_name_problem(name) for name in rows["domain"].unique()}
        problems = {name: problem for name, problem in problems.items() if problem}
        if not problems:
            return rows, locate

        def problem(row: int) -> str:
            name = rows["domain"].iloc[row]
            return f"domain {shown(name)} {problems[name]}{f'; {remedy}' if name else ''}."

        bad = rows["domain"].isin(list(problems)).to_numpy(bool)
        return self.without(rows, bad, locate, problem)

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
        self,
        rows: pd.DataFrame,
        separator: str,
        locate: Callable[[int], str],
        domains: Sequence[str],
    ) -> tuple[pd.DataFrame, Callable[[int], str]]:
        """Gives rows the domain of their category; leaves out and counts those of none."""
        rows = rows.assign(domain=domain_rules.by_category(rows["category"], separator, domains))
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
          DataError: no row is left, some files have a column that others lack, or the times of
            two domains are of different clocks.
        """
        filled = [place for place, frame in enumerate(self._frames) if len(frame)]
        if not filled:
            raise no_interactions(self.left_out)
        frames = [self._frames[place] for place in filled]
        check_same_columns([list(frame.columns) for frame in frames])
        digits = max(self.digits[place] for place in filled)
        for place, frame in zip(filled, frames, strict=True):
            own = frame["timestamp"].to_numpy()
            if self.digits[place] != digits:
                frame["timestamp"] = rescaled(own, self.digits[place], digits)
        if comparable_times and not self._time_units:
            check_one_clock(self.spans)
        constant = constant_times(self.spans, sum(map(len, frames))) if comparable_times else []
        rows = frames[0] if len(frames) == 1 else pd.concat(frames, ignore_index=True)
        self._frames.clear()  # the log holds the rows now, one copy is enough
        if "rating" in rows and (missing := int(rows["rating"].isna().sum())):
            rows = rows.drop(columns="rating")
            self.remarks[UNRATED] += missing
        if "category" in rows:
            rows["category"] = rows["category"].fillna("")
        return InteractionLog(
            rows,
            self.domains,
            comparable_times,
            self.bad_lines.count,
            dict(self.left_out),
            (*self.notes, *remarked(self.remarks), *constant),
            unit_of(digits),
        )


# The remark about rows without a rating.
UNRATED = "no rating, so that the data set has none at all"
# Columns that a file may lack which others have.
_MAY_BE_LACKING = {"rating", "category"}


def remarked(remarks: Mapping[str, int]) -> list[str]:
    """A note for each remark about rows."""
    return [f"rows with {what}: {count:,}" for what, count in remarks.items()]


def spans_of(rows: pd.DataFrame) -> dict[str, tuple[int, int]]:
    """The first and last time of each domain among some typed rows."""
    times = rows.groupby("domain", observed=True, sort=False)["timestamp"].agg(["min", "max"])
    return {str(name): (int(first), int(last)) for name, first, last in times.itertuples()}


def joined_spans(
    one: Mapping[str, tuple[int, int]],
    before: Sequence[int],
    other: Mapping[str, tuple[int, int]],
    digits: int,
) -> dict[str, tuple[int, int]]:
    """Joins the spans of rows, those before in the smallest unit of `before`, with others."""
    own = max(before, default=0)
    both = max(own, digits)
    scaled = [
        {name: (first * factor, last * factor) for name, (first, last) in spans.items()}
        for spans, factor in ((one, 10 ** (both - own)), (other, 10 ** (both - digits)))
    ]
    joined = dict(scaled[0])
    for name, (first, last) in scaled[1].items():
        least, most = joined.get(name, (first, last))
        joined[name] = min(first, least), max(last, most)
    return joined


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
    named = [set(of_file) for of_file in columns]
    in_all = functools.reduce(set[str].__and__, named)
    odd = functools.reduce(set[str].__or__, named) - in_all - _MAY_BE_LACKING
    if odd:
        raise DataError(
            f"--input: only some of the files have {', '.join(sorted(odd))}; give all files "
            "the same columns."
        )


def kept_rows(
    rows: pd.DataFrame, locate: Callable[[int], str], mask: np.ndarray
) -> tuple[pd.DataFrame, Callable[[int], str]]:
    """The rows where a mask (bool [rows]) is true, and their `locate`."""
    if mask.all():
        return rows, locate
    kept = np.flatnonzero(mask)
    return rows.iloc[kept], lambda row: locate(int(kept[row]))


def line_locator(path: object, numbers: np.ndarray) -> Callable[[int], str]:
    """Says "FILE, line N" for a row, given each row's line number (int64 [rows])."""
    return lambda row: f"{path}, line {numbers[row]}"
