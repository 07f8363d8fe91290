"""Reader `csv`: csv, tsv and parquet tables with a header, columns named by flags.

    user_id,item_id,domain,timestamp,rating
    u1,b17,Books,1514764800,5
    u1,t3,Toys,1514851200,4

A file without times is read with `--read.timestamp_column=` (empty): then the order of its lines
is the order in time within each user and domain.
"""

import dataclasses
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from data_pipelines.errors import DataError
from data_pipelines.logs import BadLines, InteractionLog, check_domain_names
from data_pipelines.readers.assembly import LogAssembly, read_bad_lines
from data_pipelines.readers.csv_text import read_columns
from data_pipelines.readers.options import (
    Input,
    ReadOptions,
    input_domains,
    parse_inputs,
    parse_item_ranges,
)
from data_pipelines.readers.text_files import require_file

_USED = (
    "user_column",
    "item_column",
    "timestamp_column",
    "rating_column",
    "category_column",
    "domain_column",
    "part_column",
    "separator",
    "domains",
    "domain_by",
    "item_ranges",
    "category_separator",
    "max_bad_lines",
)

_Table = tuple[pd.DataFrame, Callable[[int], str]]


def read(inputs: Sequence[str], options: ReadOptions) -> InteractionLog:
    """Reads tables with a header.

    Args:
      inputs: paths; or DOMAIN=PATH, optionally @PART, with domain_by=file.
      options: `--read.*`.

    Raises:
      DataError: names the file, line and field, or the flag.
    """
    bad_lines = read_bad_lines(options)
    formats = table_formats(inputs, options)
    tables = [_read_table(table, bad_lines) for table in formats]
    seen = (name for rows, _ in tables if "domain" in rows for name in rows["domain"].unique())
    assembly = LogAssembly(domain_names(formats, seen), bad_lines)
    start = 0
    for table, (rows, locate) in zip(formats, tables, strict=True):
        first, start = start, start + len(rows)
        assembly.add(*table.canonical(rows, locate, first, assembly))
    tables.clear()
    return assembly.log(comparable_times=bool(options.timestamp_column))


@dataclasses.dataclass(frozen=True)
class TableFormat:
    """How one table becomes rows of the log.

    Attributes:
      entry: the table's entry of --input.
      options: `--read.*`.
      domain_by: where an interaction's domain stands.
      ranges: domain -> (first, last) item, for domain_by=item_range.
    """

    entry: Input
    options: ReadOptions
    domain_by: str
    ranges: Mapping[str, tuple[int, int]]

    @property
    def is_parquet(self) -> bool:
        """Whether the file is a parquet file rather than text."""
        return self.entry.path.suffix.lower() in (".parquet", ".pq")

    @property
    def separator(self) -> str:
        """The sign between the fields of a text file.

        Raises:
          DataError: --read.separator is not one sign.
        """
        path = self.entry.path
        plain = path.with_suffix("") if path.suffix in (".gz", ".bz2", ".zst") else path
        separator = self.options.separator or ("," if plain.suffix.lower() == ".csv" else "\t")
        if len(separator) != 1:
            raise DataError(f"--read.separator={separator!r}: the csv reader takes one sign.")
        return separator

    def columns(self, header: Sequence[str]) -> dict[str, str]:
        """Chooses the columns to read.

        Returns:
          The file's name of each column -> the canonical name.

        Raises:
          DataError: a column is missing or named twice.
        """
        path, options = self.entry.location, self.options
        needed = {"user_id": "user_column", "item_id": "item_column"}
        if options.timestamp_column:
            needed["timestamp"] = "timestamp_column"
        if self.domain_by in ("column", "category"):
            kind = "domain" if self.domain_by == "column" else "category"
            needed[kind] = f"{kind}_column"
        optional = {
            name: f"{name}_column" for name in ("rating", "category", "part") if name not in needed
        }
        chosen: dict[str, str] = {}
        for canonical, option in {**needed, **optional}.items():
            column = getattr(options, option)
            default = ReadOptions.__dataclass_fields__[option].default
            if header.count(column) == 1:
                if column in chosen:
                    raise DataError(f"{path}: column {column!r} is named by two --read flags.")
                chosen[column] = canonical
            elif column in header:
                raise DataError(f"{path}: column {column!r} comes twice in the header.")
            elif canonical in needed or (column and column != default):
                raise DataError(_missing_column(path, column, option, header))
        if self.entry.part and "part" in chosen.values():
            raise DataError(
                f"{path}: has a column {options.part_column!r}, so its --input must not end in "
                "@PART."
            )
        return chosen

    def canonical(
        self,
        rows: pd.DataFrame,
        locate: Callable[[int], str],
        first_row: int,
        assembly: LogAssembly,
    ) -> _Table:
        """Gives rows the columns that the file does not have.

        Args:
          rows: some of the file's rows, with canonical names of columns.
          locate: says "FILE, line N" for a row of them.
          first_row: number of the first of them, which rises with the place in the input.
          assembly: takes the rows that are rejected or left out.

        Returns:
          The other rows and their `locate`.
        """
        if self.entry.part:
            rows["part"] = self.entry.part
        if not self.options.timestamp_column:
            rows["timestamp"] = np.arange(first_row, first_row + len(rows))
        if self.domain_by == "file":
            rows["domain"] = self.entry.domain
        elif self.domain_by == "item_range":
            rows, locate = assembly.by_item_range(rows, self.ranges, locate)
        elif self.domain_by == "category":
            rows, locate = assembly.by_category(rows, self.options.category_separator, locate)
        return rows, locate


def table_formats(inputs: Sequence[str], options: ReadOptions) -> list[TableFormat]:
    """One format for each entry of --input.

    Raises:
      DataError: flags that do not fit together.
    """
    options.require_only("csv", _USED)
    domain_by = options.domain_by or "column"
    entries = parse_inputs(inputs, named=domain_by == "file")
    ranges = parse_item_ranges(options.item_ranges)
    _check_domain_flags(domain_by, options, bool(ranges))
    return [TableFormat(entry, options, domain_by, ranges) for entry in entries]


def domain_names(formats: Sequence[TableFormat], seen: Iterable[str]) -> tuple[str, ...]:
    """The domains of the log, in its order.

    Args:
      formats: of all tables.
      seen: names in the domain column, if that is where they stand, in the order of rows.
    """
    first = formats[0]
    if first.domain_by == "file":
        return input_domains([table.entry for table in formats], first.options)
    if first.domain_by == "item_range":
        return tuple(first.ranges)
    if first.options.domains:
        return tuple(first.options.domains)
    names = tuple(dict.fromkeys(name for name in seen if name))
    try:
        check_domain_names(names)
    except DataError as error:
        raise DataError(f"column domain: {error}") from error
    return names


def _check_domain_flags(domain_by: str, options: ReadOptions, ranges: bool) -> None:
    if domain_by == "category" and not options.domains:
        raise DataError("--read.domain_by=category: name the categories in --read.domains.")
    if ranges != (domain_by == "item_range"):
        raise DataError("--read.domain_by=item_range and --read.item_ranges go together.")
    if domain_by == "item_range" and options.domains:
        raise DataError("--read.domains: leave it out, --read.item_ranges names the domains.")


def _read_table(table: TableFormat, bad_lines: BadLines) -> _Table:
    """One file's columns under their canonical names, as texts or numbers."""
    path = table.entry.path
    chosen: dict[str, str] = {}

    def names(header: list[str]) -> list[str]:
        chosen.update(table.columns(header))
        return list(chosen)

    if table.is_parquet:
        rows, locate = _read_parquet(path, names)
    else:
        rows, locate = read_columns(path, names, table.separator, bad_lines)
    return rows.rename(columns=chosen), locate


def _missing_column(path: str, column: str, option: str, header: Sequence[str]) -> str:
    message = (
        f"{path}, line 1: no column {column!r}; the file has {', '.join(header)}. "
        f"Name the right one with --read.{option}."
    )
    if option == "timestamp_column":
        message += " If the file has no times, give it empty: then the order of lines counts."
    if option == "domain_column":
        message += " Or see --read.domain_by."
    return message


def _read_parquet(path: pathlib.Path, names: Callable[[list[str]], Sequence[str]]) -> _Table:
    require_file(path)
    try:
        file = pa.parquet.ParquetFile(path)
        wanted = list(names(file.schema_arrow.names))
        table = file.read(columns=wanted)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{path}: not a parquet file: {' '.join(str(error).split())}") from error
    if not table.num_rows:
        raise DataError(f"{path}: the file has no rows.")
    return plain_rows(table), lambda row: f"{path}, row {row + 1}"


def plain_rows(table: pa.Table) -> pd.DataFrame:
    """The rows of a parquet file, with column types as Arrow has them.

    They are not what the pandas that wrote the file had.
    """
    for k, field in enumerate(table.schema):
        # An integer column with gaps would become floats in pandas, and ids such as "12.0".
        if pa.types.is_integer(field.type):
            table = table.set_column(k, field.name, pc.cast(table[k], pa.string()))
        elif pa.types.is_dictionary(field.type):
            table = table.set_column(k, field.name, table[k].cast(field.type.value_type))
    return table.to_pandas(ignore_metadata=True)
