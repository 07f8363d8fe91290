"""The canonical interaction log: one table, one row an interaction, whatever the raw format was.

| column | dtype | meaning |
| --- | --- | --- |
| `user_id` | str | the same text in two domains is the same person |
| `item_id` | str | unique within its domain |
| `domain` | str | one of `InteractionLog.domains` |
| `timestamp` | int64 | Unix seconds, or a rank (see `comparable_times`) |
| `rating` | float64 | optional, finite |
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
import pyarrow as pa
import pyarrow.compute as pc

from data_pipelines.errors import DataError

PARTS = ("train", "validation", "test")
REQUIRED_COLUMNS = ("user_id", "item_id", "domain", "timestamp")
OPTIONAL_COLUMNS = ("rating", "category", "part", "negatives")

# What a domain's name must not hold or be: it is written into tokens, file names and flags.
_RESERVED_IN_DOMAIN_NAMES = ":=@,/\\"
_RESERVED_DOMAIN_NAME = "all"
_LONGEST_DOMAIN_NAME = 100


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
    """

    interactions: pd.DataFrame
    domains: tuple[str, ...]
    comparable_times: bool
    skipped_lines: int = 0
    left_out: Mapping[str, int] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()

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

    def add(self, count: int, first: Callable[[], str]) -> None:
        """Adds bad lines; `first` describes the first of them, with file, line and field.

        Raises:
          DataError: more lines are bad than may be skipped.
        """
        self.count += count
        if self.count <= self._allowed:
            return
        message = first()
        if count > 1:
            message += f" It is the first of {count} bad lines."
        if self._flag:
            message += f" {self._flag}={self.count} skips what is bad so far."
        raise DataError(message)


class _Check(NamedTuple):
    """One rule: which rows break it, in which field, and what to say about it."""

    bad: np.ndarray  # bool [rows]
    field: str
    remedy: str


def check_domain_names(domains: Sequence[str]) -> None:
    """Raises a DataError unless the names are distinct, not empty and free of reserved signs."""
    for name in domains:
        if not name or name != name.strip() or any(c in name for c in _RESERVED_IN_DOMAIN_NAMES):
            raise DataError(
                f"domain name {name!r}: a name is not empty, has no blanks at its ends and none "
                f"of the signs {_RESERVED_IN_DOMAIN_NAMES}; rename the domain."
            )
        if name == _RESERVED_DOMAIN_NAME or len(name.encode()) > _LONGEST_DOMAIN_NAME:
            raise DataError(
                f"domain name {name[:_LONGEST_DOMAIN_NAME]!r}: a name is not "
                f"{_RESERVED_DOMAIN_NAME!r}, which stands for all domains, and has at most "
                f"{_LONGEST_DOMAIN_NAME} bytes; rename the domain."
            )
    if len(set(domains)) != len(domains):
        raise DataError(f"domain names {', '.join(domains)}: name each domain once.")
    if not domains:
        raise DataError("the log has no domain: name at least one.")


def typed_rows(
    rows: pd.DataFrame,
    domains: Sequence[str],
    locate: Callable[[int], str],
    bad_lines: BadLines,
) -> tuple[pd.DataFrame, np.ndarray]:
    """Checks every field of every row and gives the columns their canonical types.

    Args:
      rows: columns of this module's table, as texts or already typed; other columns are dropped.
      domains: names that the `domain` column may hold.
      locate: gives "FILE, line N" for the row at a position (0-based).
      bad_lines: takes the number of rows with a bad field.

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
        return f"{locate(row)}: {check.field} {value!r} {check.remedy}"

    bad_lines.add(int((~good).sum()), describe)
    return typed[good], good


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


def _timestamp(column: pd.Series, domains: Sequence[str]) -> _Typed:
    del domains
    remedy = "is not a whole number; give Unix seconds or another rising count."
    if pd.api.types.is_datetime64_any_dtype(column):
        column = (column - pd.Timestamp(0, tz=column.dt.tz)) // pd.Timedelta(1, "s")
    numbers = _parsed(column, pa.int64())
    if numbers is not None:
        return numbers, [(np.zeros(len(column), bool), remedy)]
    # Slow path, taken only where a value is not written as an integer ("8.8e8", "12.0", "abc").
    floats = pd.to_numeric(column, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    with np.errstate(invalid="ignore"):
        bad = ~(np.isfinite(floats) & (np.floor(floats) == floats) & (np.abs(floats) < 2.0**63))
    whole = np.where(bad, 0.0, floats).astype(np.int64)
    return pd.Series(whole, index=column.index), [(bad, remedy)]


def _rating(column: pd.Series, domains: Sequence[str]) -> _Typed:
    del domains
    numbers = _parsed(column, pa.float64())
    if numbers is None:
        numbers = pd.to_numeric(column, errors="coerce").astype(np.float64)
    bad = ~np.isfinite(numbers.to_numpy(np.float64, na_value=np.nan))
    return numbers, [(bad, "is not a finite number.")]


def _parsed(column: pd.Series, kind: pa.DataType) -> pd.Series | None:
    """All texts as numbers, or None if Arrow's strict parser refuses one of them."""
    if column.dtype == kind.to_pandas_dtype():
        return column
    try:
        numbers = pc.cast(pa.array(column, from_pandas=True), kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError):
        return None
    if numbers.null_count:
        return None
    return pd.Series(numbers.to_numpy(zero_copy_only=False), index=column.index)


_TYPED: dict[str, Callable[[pd.Series, Sequence[str]], _Typed]] = {
    "user_id": _id,
    "item_id": _id,
    "domain": _domain,
    "timestamp": _timestamp,
    "rating": _rating,
    "category": _text,
    "part": _part,
    "negatives": _text,
}
