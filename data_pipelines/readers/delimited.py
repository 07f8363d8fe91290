"""Reader `csv`: csv, tsv and parquet tables with a header, columns named by flags.

    user_id,item_id,domain,timestamp,rating
    u1,b17,Books,1514764800,5
    u1,t3,Toys,1514851200,4

A file without times is read with `--read.timestamp_column=` (empty): then the order of its lines
is the order in time within each user and domain.
"""

import pathlib
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from data_pipelines.errors import DataError
from data_pipelines.logs import BadLines, InteractionLog, check_domain_names
from data_pipelines.readers.assembly import LogAssembly
from data_pipelines.readers.options import (
    ReadOptions,
    input_domains,
    parse_inputs,
    parse_item_ranges,
)
from data_pipelines.readers.text_files import read_columns, require_file

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
    options.require_only("csv", _USED)
    domain_by = options.domain_by or "column"
    entries = parse_inputs(inputs, named=domain_by == "file")
    ranges = parse_item_ranges(options.item_ranges)
    _check_domain_flags(domain_by, options, bool(ranges))

    reading = BadLines("--read.max_bad_lines", options.max_bad_lines)
    tables = [_read_table(entry.path, domain_by, options, reading) for entry in entries]
    if domain_by == "file":
        names = input_domains(entries, options)
    elif domain_by == "item_range":
        names = tuple(ranges)
    elif options.domains:
        names = tuple(options.domains)
    else:
        names = tuple(dict.fromkeys(n for rows, _ in tables for n in rows["domain"].unique() if n))
        _check_names_in_files(names)

    assembly = LogAssembly(names, options.max_bad_lines)
    assembly.bad_lines.count = reading.count
    start = 0
    for entry, (rows, locate) in zip(entries, tables, strict=True):
        if entry.part:
            if "part" in rows:
                raise DataError(
                    f"{entry.path}: has a column {options.part_column!r}, so its "
                    "--input must not end in @PART."
                )
            rows["part"] = entry.part
        if domain_by == "file":
            rows["domain"] = entry.domain
        elif domain_by == "item_range":
            rows, locate = assembly.by_item_range(rows, ranges, locate)
        if not options.timestamp_column:
            rows = rows.assign(timestamp=np.arange(start, start + len(rows)))
            start += len(rows)
        if domain_by == "category":
            rows, locate = assembly.by_category(rows, options.category_separator, locate)
        assembly.add(rows, locate)
    tables.clear()
    return assembly.log(comparable_times=bool(options.timestamp_column))


def _check_domain_flags(domain_by: str, options: ReadOptions, ranges: bool) -> None:
    if domain_by == "category" and not options.domains:
        raise DataError("--read.domain_by=category: name the categories in --read.domains.")
    if ranges != (domain_by == "item_range"):
        raise DataError("--read.domain_by=item_range and --read.item_ranges go together.")
    if domain_by == "item_range" and options.domains:
        raise DataError("--read.domains: leave it out, --read.item_ranges names the domains.")


def _check_names_in_files(names: Sequence[str]) -> None:
    try:
        check_domain_names(names)
    except DataError as error:
        raise DataError(f"column domain: {error}") from error


def _read_table(
    path: pathlib.Path, domain_by: str, options: ReadOptions, bad_lines: BadLines
) -> _Table:
    """One file's columns under their canonical names, as texts or numbers."""
    needed = {"user_id": "user_column", "item_id": "item_column"}
    if options.timestamp_column:
        needed["timestamp"] = "timestamp_column"
    if domain_by in ("column", "category"):
        kind = "domain" if domain_by == "column" else "category"
        needed[kind] = f"{kind}_column"
    optional = {
        name: f"{name}_column" for name in ("rating", "category", "part") if name not in needed
    }
    chosen: dict[str, str] = {}  # the file's name of a column -> the canonical name

    def names(header: list[str]) -> list[str]:
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
        return list(chosen)

    if path.suffix.lower() in (".parquet", ".pq"):
        rows, locate = _read_parquet(path, names)
    else:
        plain = path.with_suffix("") if path.suffix in (".gz", ".bz2", ".zst") else path
        separator = options.separator or ("," if plain.suffix.lower() == ".csv" else "\t")
        if len(separator) != 1:
            raise DataError(f"--read.separator={separator!r}: the csv reader takes one sign.")
        rows, locate = read_columns(path, names, separator, bad_lines)
    return rows.rename(columns=chosen), locate


def _missing_column(path: pathlib.Path, column: str, option: str, header: list[str]) -> str:
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
    for k, field in enumerate(table.schema):
        # An integer column with gaps would become floats in pandas, and ids such as "12.0".
        if pa.types.is_integer(field.type):
            table = table.set_column(k, field.name, pc.cast(table[k], pa.string()))
        elif pa.types.is_dictionary(field.type):
            table = table.set_column(k, field.name, table[k].cast(field.type.value_type))
    # Column types as Arrow has them, not as the pandas that wrote the file had them.
    return table.to_pandas(ignore_metadata=True), lambda row: f"{path}, row {row + 1}"
