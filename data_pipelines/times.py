"""Times of interactions, exact, however they are written.

Whole numbers, decimal fractions, ISO 8601 texts and points in time of parquet become whole numbers
of seconds, or of the greatest of milliseconds, microseconds and nanoseconds that loses nothing.
Nothing passes through a float.
"""

import decimal
import re
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from data_pipelines.errors import DataError

# Unit -> how many decimal digits of a second it has.
UNITS = {"s": 0, "ms": 3, "us": 6, "ns": 9}
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]{1,2})?", re.ASCII)
_LIMIT = np.iinfo(np.int64).max
# Unix times from 1973 to 2286 in each unit; the ranges do not meet.
_PLAUSIBLE = {name: (10 ** (8 + digits), 10 ** (10 + digits)) for name, digits in UNITS.items()}
_NAMES = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}


class Times(NamedTuple):
    """A column of times.

    Attributes:
      numbers: int64 [rows]; 0 where bad.
      digits: decimal digits of a second that a unit of `numbers` has: 0, 3, 6 or 9.
      bad: bool [rows].
    """

    numbers: np.ndarray
    digits: int
    bad: np.ndarray


def parse_times(column: pd.Series, unit: str = "") -> Times:
    """Parses a column.

    Args:
      column: texts, whole numbers, floats or points in time; of the last, those without a time zone
        are in UTC.
      unit: of numbers, one of `UNITS`; empty takes whole numbers as they are, and fractions for
        seconds.
    """
    if pd.api.types.is_datetime64_any_dtype(column):
        bad = column.isna().to_numpy(bool)
        utc = column.dt.tz_convert("UTC").dt.tz_localize(None) if column.dt.tz else column
        own = np.datetime_data(utc.to_numpy().dtype)[0]
        values = np.where(bad, 0, utc.to_numpy().astype(np.int64))
        return _shortest(values, UNITS[own], bad)
    numbers = _whole(column)
    if numbers is not None:
        bad = np.zeros(len(numbers), bool)
        return _shortest(numbers, UNITS[unit], bad) if unit else Times(numbers, 0, bad)
    return _parse_texts(column.astype("str"), unit)


def _whole(column: pd.Series) -> np.ndarray | None:
    """All of a column as whole numbers, or None if one of them is none."""
    if column.dtype == np.int64:
        return column.to_numpy()
    try:
        numbers = pc.cast(pa.array(column, from_pandas=True), pa.int64())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError):
        return None
    if numbers.null_count:
        return None
    return numbers.to_numpy(zero_copy_only=False)


def _parse_texts(texts: pd.Series, unit: str) -> Times:
    codes, unique = pd.factorize(texts)
    found: list[decimal.Decimal | None] = []
    dated: list[int] = []
    for place, text in enumerate(unique):
        if _NUMBER.fullmatch(text):
            found.append(decimal.Decimal(text).scaleb(-UNITS[unit or "s"], _CONTEXT))
        else:
            found.append(None)
            dated.append(place)
    if dated:
        # Points in time are whole numbers of their unit. What has no time zone is taken for UTC.
        points = pd.to_datetime(
            pd.Series([unique[place] for place in dated], dtype=object),
            format="ISO8601",
            utc=True,
            errors="coerce",
        )
        for place, point in zip(dated, points, strict=True):
            if point is not pd.NaT:
                count = int(point.asm8.astype(np.int64))
                found[place] = decimal.Decimal(count).scaleb(-UNITS[point.unit], _CONTEXT)
    digits = max((_digits_of(value) for value in found if value is not None), default=0)
    values = np.zeros(len(found) + 1, np.int64)  # The last is for missing texts, of code -1.
    bad = np.ones(len(found) + 1, bool)
    for place, value in enumerate(found):
        if value is not None:
            whole = int(value.scaleb(digits, _CONTEXT).to_integral_value(decimal.ROUND_FLOOR))
            if abs(whole) < _LIMIT:
                values[place], bad[place] = whole, False
    return Times(values[codes], digits, bad[codes])


_CONTEXT = decimal.Context(prec=60)


def _digits_of(value: decimal.Decimal) -> int:
    """0, 3, 6 or 9: as many digits behind the point as a value needs, and nine at most."""
    if value == value.to_integral_value():
        return 0
    needed = -int(value.normalize(_CONTEXT).as_tuple().exponent)  # Of finite values a number.
    return min(9, -(-needed // 3) * 3)


def _shortest(values: np.ndarray, digits: int, bad: np.ndarray) -> Times:
    """Takes off the digits that all values have as zeros."""
    while digits and not (values % 1000).any():
        values, digits = values // 1000, digits - 3
    return Times(values, digits, bad)


def rescaled(values: np.ndarray, digits: int, wanted: int) -> np.ndarray:
    """Times of a unit with so many digits in a smaller one.

    Raises:
      DataError: one does not fit into 64 bits there.
    """
    factor = 10 ** (wanted - digits)
    if factor > 1 and len(values) and np.abs(values).max() > _LIMIT // factor:
        raise DataError(
            f"the time {values[np.argmax(np.abs(values))]} cannot be held with the fractions of a "
            "second that other rows have: check --read.time_unit."
        )
    return values * factor


def unit_of(digits: int) -> str:
    """The name of the unit with so many digits."""
    return next(name for name, own in UNITS.items() if own == digits)


def constant_times(spans: Mapping[str, tuple[int, int]], rows: int) -> list[str]:
    """A line for each domain all of whose times are one, among so many rows in all."""
    if rows < 2 * len(spans) + 1:
        return []
    return [
        f"warning: all times of {domain} are {first}, so that the order of lines counts"
        for domain, (first, last) in spans.items()
        if first == last
    ]


def check_one_clock(spans: Mapping[str, tuple[int, int]]) -> None:
    """Refuses times that cannot be of one clock.

    Args:
      spans: domain -> its first and last time, in one unit.

    Raises:
      DataError: all of one domain's times are Unix times in one unit, all of another's in another.
    """
    found: dict[str, str] = {}
    for domain, (first, last) in spans.items():
        for unit, (least, most) in _PLAUSIBLE.items():
            if least <= first and last < most:
                found.setdefault(unit, domain)
    if len(found) < 2:
        return
    (unit, domain), (other_unit, other), *_ = found.items()
    raise DataError(
        f"the times of {domain} ({spans[domain][0]} to {spans[domain][1]}) look like "
        f"{_NAMES[unit]}, those of {other} ({spans[other][0]} to {spans[other][1]}) like "
        f"{_NAMES[other_unit]}: say of which unit each is, as in "
        f"--read.time_unit={domain}={unit},{other}={other_unit}, or --read.time_unit={unit} if all "
        "are."
    )
