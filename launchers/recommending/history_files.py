"""Files of raw histories: whom to recommend to, and what they did.

JSON lines, a user a line, the history oldest first:

    {"user_id": "u1", "history": ["books:b17", "toys:t3"]}

csv (with a header) and parquet, a row an interaction, a user's rows behind each other, the oldest
first; the domain may be missing or empty where ids are clear without it. Other columns are not
read:

    user_id,item_id,domain
    u1,b17,books
    u1,t3,toys

Parquet may also have a user a row: columns `user_id` and `history`, a list of text.
"""

import csv
import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from data_pipelines.errors import DataError, shown

_ENDINGS = {
    **dict.fromkeys((".json", ".jsonl", ".ndjson"), "json"),
    ".csv": "csv",
    ".parquet": "parquet",
}
_COLUMNS = ("user_id", "item_id", "domain")
_ROWS_AT_ONCE = 65536


class RawHistory(NamedTuple):
    """What a user did.

    Attributes:
      user: raw id.
      items: as `tfcdr.ranking.history_names` names them, oldest first.
    """

    user: str
    items: list[str]


def check(path: Path) -> None:
    """Raises DataError if a file is missing or its format unknown."""
    _format_of(path)
    if not path.is_file():
        raise DataError(f"{path}: no such file.")


def _format_of(path: Path) -> str:
    """Returns a file's format by the end of its name.

    Raises:
      DataError: it has none of `_ENDINGS`.
    """
    if path.suffix.lower() not in _ENDINGS:
        raise DataError(
            f"{path}: the name ends with none of {', '.join(_ENDINGS)}, which tell the format of "
            "histories; rename the file."
        )
    return _ENDINGS[path.suffix.lower()]


def read(path: Path) -> Iterator[RawHistory]:
    """Reads a file, a user after the other; what has been read is not kept.

    Raises:
      DataError: it is missing, damaged or not of its format, or a user comes twice; the message
        names the file and line.
    """
    users = _READERS[_format_of(path)](path)
    met: set[int] = set()
    try:
        for user in users:
            # The hash: of millions of users the ids would take too much memory.
            if hash(user.user) in met:
                raise DataError(
                    f"{path}: user_id {shown(user.user)} comes twice; put all that a user did "
                    "behind each other."
                )
            met.add(hash(user.user))
            yield user
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file.") from error
    except (OSError, UnicodeDecodeError, csv.Error, pa.ArrowException) as error:
        raise DataError(f"{path}: cannot be read ({error}).") from error


def _read_json(path: Path) -> Iterator[RawHistory]:
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            where = f"{path}, line {number}"
            try:
                value = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise DataError(f"{where}: no JSON ({error}).") from error
            if not isinstance(value, dict):
                raise DataError(f"{where}: {shown(value)} is no object with user_id and history.")
            yield _of_user(where, value.get("user_id"), value.get("history"))


def _read_csv(path: Path) -> Iterator[RawHistory]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.reader(file)
        header = next(rows, [])
        places = _places(path, header)

        def cells() -> Iterator[tuple[str, list[Any]]]:
            for row in rows:
                where = f"{path}, line {rows.line_num}"
                if row and len(row) != len(header):
                    raise DataError(f"{where}: has {len(row)} fields, the header {len(header)}.")
                if row:
                    yield where, [row[place] for place in places]

        yield from _users_of_rows(cells())


def _read_parquet(path: Path) -> Iterator[RawHistory]:
    with pq.ParquetFile(path) as file:
        names = file.schema_arrow.names
        if "history" in names and "user_id" in names:
            for where, row in _parquet_rows(path, file, ["user_id", "history"]):
                yield _of_user(where, *row)
            return
        columns = [names[place] for place in _places(path, names)]
        yield from _users_of_rows(_parquet_rows(path, file, columns))


def _parquet_rows(
    path: Path, file: pq.ParquetFile, columns: Sequence[str]
) -> Iterator[tuple[str, list[Any]]]:
    """Gives where each row stands and its cells."""
    number = 0
    for batch in file.iter_batches(_ROWS_AT_ONCE, columns=columns):
        for row in zip(*(batch.column(name).to_pylist() for name in columns), strict=True):
            number += 1
            yield f"{path}, row {number}", list(row)


_READERS = {"json": _read_json, "csv": _read_csv, "parquet": _read_parquet}


def _places(path: Path, names: list[str]) -> list[int]:
    """Returns where the columns that are read stand; the domain's may be missing."""
    for name in _COLUMNS[:2]:
        if name not in names:
            found = ", ".join(map(shown, names)) or "none"
            raise DataError(
                f"{path}: column {name!r} is missing; histories have user_id, item_id and, where "
                f"ids are not clear without it, domain. Columns: {found}."
            )
    return [names.index(name) for name in _COLUMNS if name in names]


def _users_of_rows(rows: Iterable[tuple[str, list[Any]]]) -> Iterator[RawHistory]:
    """Joins rows of user, item and maybe domain that follow each other."""
    for user, of_user in itertools.groupby(rows, key=lambda row: row[1][0]):
        items, where = [], ""
        for place, (_, item, *domain) in of_user:
            where = where or place
            item = _text(place, "item_id", item)
            items.append(f"{domain[0]}:{item}" if domain and domain[0] else item)
        yield RawHistory(_text(where, "user_id", user), items)


def _of_user(where: str, user: Any, history: Any) -> RawHistory:
    if not isinstance(history, list):
        raise DataError(f"{where}: history {shown(history)} is no list of item ids.")
    items = [_text(where, "history", item) for item in history]
    return RawHistory(_text(where, "user_id", user), items)


def _text(where: str, field: str, value: Any) -> str:
    if isinstance(value, str) and value:
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise DataError(f"{where}: {field} {shown(value)} is no id: give text or a whole number.")
