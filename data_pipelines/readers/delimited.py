"""Reader `csv`: csv, tsv and parquet tables with a header, columns named by flags.

    user_id,item_id,domain,timestamp,rating
    u1,b17,Books,1514764800,5
    u1,t3,Toys,1514851200,4

A file without times is read with `--read.timestamp_column=` (empty): then the order of its lines
is the order in time within each user and domain.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from data_pipelines.errors import DataError
from data_pipelines.logs import BadLines, InteractionLog, check_domain_names
from data_pipelines.readers import parquet_tables
from data_pipelines.readers.assembly import LogAssembly, read_bad_lines
from data_pipelines.readers.csv_text import read_columns
from data_pipelines.readers.options import Input, ItemRangeOptions, input_domains, parse_inputs
from data_pipelines.readers.reader import Reader

_Table = tuple[pd.DataFrame, Callable[[int], str]]


@dataclasses.dataclass(frozen=True)
class CsvOptions(ItemRangeOptions):
    """How tables are understood.

    Attributes:
      user_column: name of the column with the user id.
      item_column: name of the column with the item id.
      timestamp_column: name of the column with Unix seconds (or any whole number that rises with
        time); empty if the files have no times, then the order of lines counts.
      rating_column: name of the column with the rating; read if the file has it.
      category_column: name of the column with the item's categories; read if the file has it.
      domain_column: name of the column with the domain, for domain_by=column.
      part_column: name of the column with train, validation or test, for --split.kind=given; read
        if the file has it.
      separator: sign between fields, empty for a comma in .csv and a tab in any other file.
      domains: names of the domains, in the order that they are to have; empty for every name in the
        column or in --input. With domain_by=category these categories are the domains and other
        items are left out.
      domain_by: where an interaction's domain stands: column, file (inputs are DOMAIN=PATH),
        category or item_range.
      category_separator: sign between the categories of one item; the first of them that is a
        named domain counts.
    """

    user_column: str = "user_id"
    item_column: str = "item_id"
    timestamp_column: str = "timestamp"
    rating_column: str = "rating"
    category_column: str = "category"
    domain_column: str = "domain"
    part_column: str = "part"
    separator: str = ""
    domain_by: str = "column"
    category_separator: str = "|"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_domain_by("csv", "column", "file", "category", "item_range")
        for name in ("user_column", "item_column", "category_separator"):
            if not getattr(self, name):
                raise DataError(f"{name} is empty: give a value.")


def read(inputs: Sequence[str], options: CsvOptions) -> InteractionLog:
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


READER = Reader("csv", CsvOptions, read)


@dataclasses.dataclass(frozen=True)
class TableFormat:
    """How one table becomes rows of the log.

    Attributes:
      entry: the table's entry of --input.
      options: `--read.*`.
      ranges: domain -> (first, last) item, for domain_by=item_range.
    """

    entry: Input
    options: CsvOptions
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
        if self.options.domain_by in ("column", "category"):
            kind = "domain" if self.options.domain_by == "column" else "category"
            needed[kind] = f"{kind}_column"
        optional = {
            name: f"{name}_column" for name in ("rating", "category", "part") if name not in needed
        }
        chosen: dict[str, str] = {}
        for canonical, option in {**needed, **optional}.items():
            column = getattr(options, option)
            default = CsvOptions.__dataclass_fields__[option].default
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
        if self.options.domain_by == "file":
            rows["domain"] = self.entry.domain
        elif self.options.domain_by == "item_range":
            rows, locate = assembly.by_item_range(rows, self.ranges, locate)
        elif self.options.domain_by == "category":
            rows, locate = assembly.by_category(rows, self.options.category_separator, locate)
        return rows, locate


def table_formats(inputs: Sequence[str], options: CsvOptions) -> list[TableFormat]:
    """One format for each entry of --input.

    Raises:
      DataError: flags that do not fit together.
    """
    entries = parse_inputs(inputs, named=options.domain_by == "file")
    ranges = options.ranges()
    if options.domain_by == "category" and not options.domains:
        raise DataError("--read.domain_by=category: name the categories in --read.domains.")
    if ranges and options.domains:
        raise DataError("--read.domains: leave it out, --read.item_ranges names the domains.")
    return [TableFormat(entry, options, ranges) for entry in entries]


def domain_names(formats: Sequence[TableFormat], seen: Iterable[str]) -> tuple[str, ...]:
    """The domains of the log, in its order.

    Args:
      formats: of all tables.
      seen: names in the domain column, if that is where they stand, in the order of rows.
    """
    first = formats[0]
    if first.options.domain_by == "file":
        return input_domains([table.entry for table in formats], first.options)
    if first.options.domain_by == "item_range":
        return tuple(first.ranges)
    if first.options.domains:
        return tuple(first.options.domains)
    names = tuple(dict.fromkeys(name for name in seen if name))
    try:
        check_domain_names(names)
    except DataError as error:
        raise DataError(f"column domain: {error}") from error
    return names


def _read_table(table: TableFormat, bad_lines: BadLines) -> _Table:
    """One file's columns under their canonical names, as texts or numbers."""
    path = table.entry.path
    chosen: dict[str, str] = {}

    def names(header: list[str]) -> list[str]:
        chosen.update(table.columns(header))
        return list(chosen)

    if table.is_parquet:
        rows, locate = parquet_tables.read_columns(path, names)
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
