"""Reader `syncrec`: the files of SyNCRec's release (SIGIR 2024), one user a line.

`--input=amazon_seq.txt[,items=voca_item.txt][,types=voca_type.txt]`. Columns are separated by tabs
and named in the first line; the first column is a number without a name:

| file | columns |
| --- | --- |
| sequences | `user_id`, then `item`, `type`, `unix_time`, lists of one length with commas, oldest \
first, then that length, `list_len` |
| vocabularies | `item` or `type`, then `cnt` |

A type is a domain. The vocabulary of types gives their order; without it, it is that of their first
appearance. Items that are not in the vocabulary of items, which the release reads as unknown, are
left out and counted. Ids are text: many begin with zeros.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow as pa

from data_pipelines.errors import DataError, shown
from data_pipelines.logs import (
    BadLines,
    InteractionLog,
    check_domain_names,
    domain_name_problem,
)
from data_pipelines.readers.assembly import (
    LogAssembly,
    kept_rows,
    line_locator,
    no_interactions,
    read_bad_lines,
)
from data_pipelines.readers.options import FileOptions, Input, parse_inputs
from data_pipelines.readers.reader import Reader
from data_pipelines.readers.text_files import read_lines, split_columns, split_lines

_SEQUENCES = ("user_id", "item", "type", "unix_time", "list_len")
_LISTS = ("item", "type", "unix_time")
# What an input is called that is no file of sequences, and the column that it gives.
_VOCABULARIES = {"items": "item", "types": "type"}


@dataclasses.dataclass(frozen=True)
class SyncRecOptions(FileOptions):
    """How the released files are understood.

    Attributes:
      domains: the types to read, in the order that they are to have; empty for all. Interactions of
        others are left out and counted.
      max_bad_lines: number of bad lines that may be skipped, in all files together; of a line with
        bad ids or times only these are skipped and counted.
    """


def read(inputs: Sequence[str], options: SyncRecOptions) -> InteractionLog:
    """Reads the released files.

    Args:
      inputs: as in the module's docstring.
      options: `--read.*`.

    Raises:
      DataError: names the file, line and field, or the flag.
    """
    named = {name: path for name, _, path in (text.partition("=") for text in inputs) if path}
    for name in named:
        if name not in _VOCABULARIES:
            raise DataError(
                f"--input={name}={named[name]}: name the files of sequences alone, and "
                "vocabularies as items=PATH and types=PATH."
            )
    sequences = [text for text in inputs if "=" not in text]
    entries = parse_inputs(sequences, named=False)
    for entry in entries:
        if entry.part:
            raise DataError(f"--input={entry.path}@{entry.part}: this reader takes no @PART.")
    bad_lines = read_bad_lines(options)
    known = {
        name: _vocabulary(parse_inputs([path], named=False)[0], _VOCABULARIES[name], bad_lines)
        for name, path in named.items()
    }
    assembly = LogAssembly((), bad_lines)
    tables = []
    for entry in entries:
        rows, numbers = _table(entry, bad_lines)
        locate = line_locator(entry.path, numbers)
        tables.append(assembly.with_usable_domains(rows, locate, "mend the type's name"))
    found = tuple(dict.fromkeys(name for rows, _ in tables for name in rows["domain"].unique()))
    if not found:
        raise no_interactions(assembly.left_out)
    domains = options.domains or known.get("types", found)
    unknown = [name for name in found if name not in known.get("types", found)]
    if unknown:
        raise DataError(f"--input=types={named['types']}: the type {unknown[0]!r} is missing.")
    for name in options.domains:
        if name not in found:
            raise DataError(f"--read.domains: there is no {name}, only {', '.join(found)}.")
    check_domain_names(domains)
    assembly.domains = domains
    for rows, locate in tables:
        allowed = {"domain": ("interactions of other types", domains)}
        if "items" in known:
            allowed["item_id"] = ("items outside the vocabulary", known["items"])
        for column, (reason, names) in allowed.items():
            kept = rows[column].isin(names).to_numpy()
            assembly.leave_out(reason, int((~kept).sum()))
            rows, locate = kept_rows(rows, locate, kept)
        assembly.add(rows.reset_index(drop=True), locate)
    return assembly.log(comparable_times=True)


READER = Reader("syncrec", SyncRecOptions, read)


def _columns(
    entry: Input, names: Sequence[str], bad_lines: BadLines
) -> tuple[dict[str, pa.Array], np.ndarray]:
    """Reads columns by the names in a file's first line; int64 [rows] are the rows' lines."""
    lines = read_lines(entry.path)
    header = [name.strip() for name in lines.texts[0].as_py().split("\t")]
    missing = [name for name in names if name not in header]
    if missing:
        raise DataError(
            f"{entry.path}, line {lines.numbers[0]}: no column {missing[0]} among "
            f"{', '.join(filter(None, header))}."
        )
    rest = lines.keep(np.arange(len(lines.numbers)) > 0)
    columns, numbers = split_columns(entry.path, rest, (len(header),), "\t", bad_lines)
    return {name: columns[header.index(name)] for name in names}, numbers


def _vocabulary(entry: Input, column: str, bad_lines: BadLines) -> tuple[str, ...]:
    columns, numbers = _columns(entry, (column,), bad_lines)
    names = columns[column].to_pylist()
    for name, number in zip(names, numbers, strict=True) if column == "type" else ():
        if problem := domain_name_problem(name):
            raise DataError(
                f"{entry.path}, line {number}: type {shown(name)} {problem}; mend the type's name."
            )
    return tuple(dict.fromkeys(names))


def _table(entry: Input, bad_lines: BadLines) -> tuple[pd.DataFrame, np.ndarray]:
    """Reads a file of sequences: a row for each interaction, and its line."""
    columns, numbers = _columns(entry, _SEQUENCES, bad_lines)
    lists = {name: split_lines(columns[name], ",") for name in _LISTS}
    told = pd.to_numeric(columns["list_len"].to_pandas(), errors="coerce").to_numpy()
    lengths = np.stack([fields.lengths for fields in lists.values()])
    good = (lengths == told).all(0)
    if not good.all():
        first = int(np.argmin(good))
        counts = ", ".join(f"{lengths[row, first]} of {name}" for row, name in enumerate(_LISTS))
        bad_lines.add(
            int((~good).sum()),
            lambda: (
                f"{entry.path}, line {numbers[first]}: list_len is "
                f"{columns['list_len'][first].as_py()!r}, but the lists have {counts}."
            ),
        )
    tokens = {
        name: fields.tokens.filter(pa.array(np.repeat(good, fields.lengths)))
        for name, fields in lists.items()
    }
    kept = lengths[0][good]
    rows = pd.DataFrame(
        {
            "user_id": np.repeat(columns["user_id"].to_pandas().to_numpy()[good], kept),
            "item_id": pd.Series(tokens["item"].to_pandas(), dtype="str"),
            "domain": pd.Series(tokens["type"].to_pandas(), dtype="str"),
            "timestamp": pd.Series(tokens["unix_time"].to_pandas(), dtype="str"),
        }
    )
    return rows, np.repeat(numbers[good], kept)
