"""The canonical interaction log: one table, one row an interaction, whatever the raw format was.

| column | dtype | meaning |
| --- | --- | --- |
| `user_id` | str | the same text in two domains is the same person |
| `item_id` | str | unique within its domain |
| `domain` | str | one of `InteractionLog.domains` |
| `timestamp` | int64 | Unix time in `InteractionLog.time_unit`, another rising count, or a rank \
(see `comparable_times`) |
| `rating` | float64 | optional, finite; NaN where it is missing |
| `category` | str | optional, the item's categories as the raw file lists them |
| `part` | str | optional, `train`, `validation` or `test`: a split that came with the data |
| `negatives` | str | optional, items of its domain that a held-out interaction is ranked among, \
with tabs between; empty for none |
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from data_pipelines.errors import DataError, shown
from data_pipelines.times import Times, parse_times

PARTS = ("train", "validation", "test")
REQUIRED_COLUMNS = ("user_id", "item_id", "domain", "timestamp")
OPTIONAL_COLUMNS = ("rating", "category", "part", "negatives")

# What a domain's name must not hold or be: it is written into tokens, file names and flags.
_RESERVED_IN_DOMAIN_NAMES = ":=@,/\\"
_RESERVED_DOMAIN_NAME = "all"
_LONGEST_DOMAIN_NAME = 100
# So many bad lines may be told to be skipped, even of a short file.
_FEW = 10


@dataclasses.dataclass(frozen=True)
class InteractionLog:
    """Interactions of one or more domains, validated on construction.

    Attributes:
      interactions: the table described at the top of this module, in file order. Sorts are stable,
        so that file order decides between equal timestamps.
      domains: names of the domains, in the order in which the user named them.
      comparable_times: whether the timestamps of one user can be compared across domains. False
        where they are only ranks within one user and domain (files without times).
      skipped_lines: number of bad lines that the reader was allowed to skip.
      left_out: reason -> number of interactions that the reader left out on purpose, such as
        items of none of the named categories.
      notes: what else the reader has to tell people, a line each.
      time_unit: of timestamps that are points in time: s, ms, us or ns.
    """

    interactions: pd.DataFrame
    domains: tuple[str, ...]
    comparable_times: bool
    skipped_lines: int = 0
    left_out: Mapping[str, int] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()
    time_unit: str = "s"

    def __post_init__(self) -> None:
        check_domain_names(self.domains)
        if self.interactions.empty:
            raise DataError("the log holds no interactions: check the input files.")
        rows, _ = typed_rows(
            self.interactions, self.domains, lambda row: f"row {row + 1}", BadLines("", 0)
        )
        object.__setattr__(self, "interactions", rows.reset_index(drop=True))


class BadLines:
    """Counts the bad lines of all input files against the number that may be skipped.

    Attributes:
      count: number of bad lines so far.
    """

    def __init__(self, flag: str, allowed: int) -> None:
        """Remembers how many lines may be bad and which flag says so ("" = none, for messages)."""
        self._flag = flag
        self._allowed = allowed
        self.count = 0

    def add(self, count: int, first: Callable[[], str], lines: int = 0) -> None:
        """Adds bad lines.

        Args:
          count: how many.
          first: describes the first of them, with file, line and field.
          lines: how many lines these are bad ones of, if that is known.

        Raises:
          DataError: more lines are bad than may be skipped.
        """
        self.count += count
        if self.count <= self._allowed:
            return
        message = first()
        if count > 1:
            message += f" It is the first of {count} bad lines."
        # Where all or most lines are bad, something else is wrong than these lines.
        few = count < lines if lines else True
        if self._flag and few and (count <= _FEW or 2 * count <= lines):
            message += f" {self._flag}={self.count} skips what is bad so far."
        raise DataError(message)


class _Check(NamedTuple):
    """One rule: which rows break it, in which field, and what to say about it."""

    bad: np.ndarray  # bool [rows]
    field: str
    remedy: str


def domain_name_problem(name: str) -> str:
    """Says what is wrong with a domain's name, as it follows the name; "" if nothing is."""
    if not name:
        return "is empty"
    if name != name.strip():
        return "has blanks at its ends"
    if signs := [sign for sign in _RESERVED_IN_DOMAIN_NAMES if sign in name]:
        return f"has {signs[0]!r} in it, and a name has none of the signs " + (
            _RESERVED_IN_DOMAIN_NAMES
        )
    if not name.isprintable():
        return "has control signs in it"
    if name == _RESERVED_DOMAIN_NAME:
        return "stands for all domains"
    if len(name.encode()) > _LONGEST_DOMAIN_NAME:
        return f"has more than {_LONGEST_DOMAIN_NAME} bytes"
    return ""


def check_domain_names(domains: Sequence[str]) -> None:
    """Raises a DataError unless the names are distinct, not empty and free of reserved signs."""
    for name in domains:
        if problem := domain_name_problem(name):
            raise DataError(f"domain name {shown(name)} {problem}; rename the domain.")
    if len(set(domains)) != len(domains):
        raise DataError(f"domain names {', '.join(domains)}: name each domain once.")
    if not domains:
        raise DataError("the log has no domain: name at least one.")


def typed_rows(
    rows: pd.DataFrame,
    domains: Sequence[str],
    locate: Callable[[int], str],
    bad_lines: BadLines,
    times: Callable[[pd.Series], Times] = parse_times,
) -> tuple[pd.DataFrame, np.ndarray]:
    """Checks every field of every row and gives the columns their canonical types.

    Args:
      rows: columns of this module's table, as texts or already typed; other columns are dropped.
      domains: names that the `domain` column may hold.
      locate: gives "FILE, line N" for the row at a position (0-based).
      bad_lines: takes the number of rows with a bad field.
      times: parses the column of timestamps; without it, a fraction of a second is bad.

    Returns:
      The good rows, typed, in the same order; and a bool array [rows] that marks them.

    Raises:
      DataError: a column is missing, or more rows are bad than `bad_lines` allows.
    """
    for name in REQUIRED_COLUMNS:
        if name not in rows:
            raise DataError(f"column {name!r} is missing; the log needs {REQUIRED_COLUMNS}.")
    names = [name for name in (*REQUIRED_COLUMNS, *OPTIONAL_COLUMNS) if name in rows]
    columns: dict[str, pd.Series] = {}
    checks: list[_Check] = []
    for name in names:
        if name == "timestamp":
            columns[name], found = _timestamp(rows[name], times)
        else:
            columns[name], found = _TYPED[name](rows[name], domains)
        checks += [_Check(bad, name, remedy) for bad, remedy in found]
    good = np.ones(len(rows), bool)
    for check in checks:
        good &= ~check.bad
    typed = pd.DataFrame(columns, copy=False)
    if good.all():
        return typed, good

    def describe() -> str:
        row = int(np.argmin(good))
        check = next(check for check in checks if check.bad[row])
        value = rows[check.field].iloc[row]
        return f"{locate(row)}: {check.field} {shown(value)} {check.remedy}"

    bad_lines.add(int((~good).sum()), describe, len(rows))
    return typed[good], good


_NO_TIME = (
    "is not a time: give Unix seconds or another rising count, or ISO 8601 text such as "
    "2017-07-14T02:40:00Z."
)
_Typed = tuple[pd.Series, list[tuple[np.ndarray, str]]]


def _id(column: pd.Series, domains: Sequence[str]) -> _Typed:
    del domains
    # Unique values first: the rules are about texts, and there are far fewer texts than rows.
    missing = column.isna().to_numpy(bool)
    texts = column.astype("str")
    unique = pd.Series(texts[~missing].unique() if missing.any() else texts.unique(), dtype="str")
    stripped = unique.str.strip()
    wrong = unique[(stripped == "") | (stripped != unique) | unique.str.contains("[\t\r\n]")]
    if len(wrong):
        missing = missing | texts.isin(wrong).to_numpy(bool)
    remedy = "is not an id: it is empty, or has a tab, a line break or blanks at its ends."
    return texts, [(missing, remedy)]


def _domain(column: pd.Series, domains: Sequence[str]) -> _Typed:
    bad = ~column.isin(list(domains)).to_numpy(bool)
    known = ", ".join(domains)
    return column.astype("str"), [(bad, f"is not a known domain; the domains are: {known}.")]


def _part(column: pd.Series, domains: Sequence[str]) -> _Typed:
    del domains
    bad = ~column.isin(PARTS).to_numpy(bool)
    return column.astype("str"), [(bad, f"is not a part of a split; use {', '.join(PARTS)}.")]


def _text(column: pd.Series, domains: Sequence[str]) -> _Typed:
    del domains
    return column.fillna("").astype("str"), []


def _timestamp(column: pd.Series, parse: Callable[[pd.Series], Times]) -> _Typed:
    times = parse(column)
    values = pd.Series(times.numbers, index=column.index)
    if parse is not parse_times or not times.digits:
        return values, [(times.bad, _NO_TIME)]
    unit = 10**times.digits
    if pd.api.types.is_datetime64_any_dtype(column):
        return values // unit, [(times.bad, _NO_TIME)]
    fractions = times.bad | (times.numbers % unit != 0)
    return values // unit, [(fractions, "is not a whole number of seconds.")]


def _rating(column: pd.Series, domains: Sequence[str]) -> _Typed:
    del domains
    missing = column.isna().to_numpy(bool)
    if not pd.api.types.is_numeric_dtype(column):
        missing = missing | (column == "").to_numpy(bool)
    numbers = pd.to_numeric(column.mask(missing) if missing.any() else column, errors="coerce")
    numbers = numbers.astype(np.float64)
    with np.errstate(over="ignore"):  # Records hold them as float32.
        bad = ~np.isfinite(numbers.to_numpy().astype(np.float32)) & ~missing
    return numbers, [(bad, "is not a finite number.")]


_TYPED: dict[str, Callable[[pd.Series, Sequence[str]], _Typed]] = {
    "user_id": _id,
    "item_id": _id,
    "domain": _domain,
    "rating": _rating,
    "category": _text,
    "part": _part,
    "negatives": _text,
}
