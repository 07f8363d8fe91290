"""Reader `csv`: tables of text, JSON lines or parquet, columns named by flags.

    user_id,item_id,domain,timestamp,rating
    u1,b17,Books,1514764800,5
    u1,t3,Toys,1514851200,4

An entry of --input may be a folder of parts or a pattern; folders called `column=value` give a
column. A file without times is read with `--read.timestamp_column=` (empty): then the order of its
lines is the order in time within each user and domain.
"""

import codecs
import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence

import pandas as pd

from data_pipelines.errors import DataError
from data_pipelines.logs import BadLines, InteractionLog
from data_pipelines.readers import item_tables, parquet_tables
from data_pipelines.readers.assembly import (
    LogAssembly,
    line_locator,
    no_interactions,
    read_bad_lines,
)
from data_pipelines.readers.csv_text import csv_columns, no_rows
from data_pipelines.readers.input_streams import line_namer
from data_pipelines.readers.json_lines import json_columns, json_header
from data_pipelines.readers.line_stream import numbered_lines
from data_pipelines.readers.options import (
    ItemRangeOptions,
    domain_values,
    finite_number,
    input_domains,
    parse_inputs,
)
from data_pipelines.readers.reader import Reader
from data_pipelines.readers.table_formats import Located, TableFormat, expand
from data_pipelines.readers.text_files import require_file
from data_pipelines.times import UNITS

_NOTHING: Mapping[str, int] = {}
_FORMATS = ("", "csv", "tsv", "json", "parquet")


@dataclasses.dataclass(frozen=True)
class CsvOptions(ItemRangeOptions):
    """How tables are understood.

    Attributes:
      format: csv, tsv, json (an object a line) or parquet; empty for what the first bytes and the
        name tell.
      header: names of the columns of text that has no header, in order; user, item, time, rating,
        category, domain, part and event stand for the columns that flags name.
      encoding: of text, such as latin-1 or cp1252; empty for UTF-8, or for what a byte order mark
        says.
      user_column: name of the column with the user id. Where domains have names of their own, this
        and the other names of columns are DOMAIN=NAME,DOMAIN=NAME.
      item_column: name of the column with the item id.
      timestamp_column: name of the column with times: Unix seconds, maybe with a fraction, or any
        whole number that rises with time, ISO 8601 text (in UTC unless it says otherwise), or
        points in time of parquet; empty if the files have no times, then the order of lines counts.
      time_unit: of numbers in that column: s, ms, us or ns, or DOMAIN=UNIT for each domain; empty
        takes whole numbers as they are.
      rating_column: name of the column with the rating; read if the file has it. If some rows have
        none, the data set has none.
      least_rating: a number: rows with a lower rating, or none, are left out and counted; empty for
        all rows.
      event_column: name of the column with the kind of event, for events.
      events: the kinds of event that count, such as cart,purchase; rows of others are left out and
        counted. Empty for all rows.
      event_weights: in place of events, how much each kind counts, as in purchase=1,click=0.2. It
        is kept as the rating of the interaction; item neighbours weigh by it.
      category_column: name of the column with the item's categories; read if the file has it.
      items: a table of items beside the log, with the item column and the category column, which
        gives items their categories; or DOMAIN=PATH for each domain. Relative to the current
        folder.
      domain_column: name of the column with the domain, for domain_by=column.
      part_column: name of the column with train, validation or test, for --split.kind=given; read
        if the file has it.
      separator: sign between fields, or tab or space; empty for a comma in .csv and a tab in any
        other file, or for what the header shows to be between its names.
      quotes: double: fields may stand in double quotes, which hide separators and line ends; none:
        a quote is a sign like any other; empty for none where tabs or blanks separate, double
        elsewhere.
      list_separator: sign between the items of a row that holds several, whose times, domains and
        ratings are lists of the same length or one for all; empty for an item a row.
      domains: names of the domains, in the order that they are to have; empty for every name in the
        column or in --input. With domain_by=category these categories are the domains and other
        items are left out.
      domain_by: where an interaction's domain stands: column, file (inputs are DOMAIN=PATH),
        category or item_range.
      rename_domains: OLD=NEW for names in the column or categories that are to be called otherwise,
        as those with a comma must; double quotes around the whole entry hold a comma.
      category_separator: sign between the categories of one item; the first of them that is a
        named domain counts.
    """

    format: str = ""
    header: tuple[str, ...] = ()
    encoding: str = ""
    user_column: str = "user_id"
    item_column: str = "item_id"
    timestamp_column: str = "timestamp"
    time_unit: str = ""
    rating_column: str = "rating"
    least_rating: str = ""
    event_column: str = "event"
    events: tuple[str, ...] = ()
    event_weights: tuple[str, ...] = ()
    category_column: str = "category"
    items: str = ""
    domain_column: str = "domain"
    part_column: str = "part"
    separator: str = ""
    quotes: str = ""
    list_separator: str = ""
    domain_by: str = "column"
    rename_domains: tuple[str, ...] = ()
    category_separator: str = "|"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_domain_by("csv", "column", "file", "category", "item_range")
        for name in ("user_column", "item_column", "category_separator"):
            if not getattr(self, name):
                raise DataError(f"{name} is empty: give a value.")
        for name, allowed in (("format", _FORMATS), ("quotes", ("", "double", "none"))):
            if getattr(self, name) not in allowed:
                known = ", ".join(filter(None, allowed))
                raise DataError(f"{name} is {getattr(self, name)!r}: it takes {known}.")
        if self.encoding:
            try:
                codecs.lookup(self.encoding)
            except LookupError as error:
                raise DataError(
                    f"encoding is {self.encoding!r}: it takes utf-8, utf-16, latin-1, cp1252, "
                    "gb18030, shift_jis and others."
                ) from error
        for unit in self.time_units().values():
            if unit not in UNITS:
                raise DataError(
                    f"time_unit is {self.time_unit!r}: it takes {', '.join(UNITS)}, or "
                    "DOMAIN=UNIT for each domain."
                )
        if self.time_unit and not self.timestamp_column:
            raise DataError("time_unit has no meaning without timestamp_column: leave it out.")
        finite_number("least_rating", self.least_rating)
        self.weights()
        if self.header and self.format in ("json", "parquet"):
            raise DataError(f"header has no meaning with format {self.format}: leave it out.")
        if self.event_column != "event" and not self.kinds():
            raise DataError("event_column has no meaning without events: name those that count.")
        self._renaming()

    def time_units(self) -> dict[str, str]:
        """Returns domain -> unit of its times; "" stands for every domain."""
        return domain_values(self.time_unit) if self.time_unit else {}

    def kinds(self) -> tuple[str, ...]:
        """Returns the kinds of event that count; none where all rows do."""
        return self.events or tuple(self.weights())

    def weights(self) -> dict[str, float]:
        """Returns kind of event -> its weight.

        Raises:
          DataError: an entry in another form, a kind that comes twice, or another flag that says
            what counts or what the ratings are.
        """
        weights: dict[str, float] = {}
        for text in self.event_weights:
            kind, _, number = text.rpartition("=")
            weight = finite_number("event_weights", number) if kind else None
            if weight is None or weight <= 0 or kind in weights:
                raise DataError(
                    f"event_weights {text!r}: write KIND=WEIGHT, each kind once and with a weight "
                    "above 0, as in purchase=1,click=0.2; kinds that are not named are left out."
                )
            weights[kind] = weight
        if weights and self.events:
            raise DataError("events and event_weights both name kinds of event: give one of them.")
        if weights and (self.least_rating or self.rating_column != "rating"):
            raise DataError(
                "event_weights are the ratings: leave rating_column and least_rating out."
            )
        return weights

    def renamed(self, names: pd.Series | Sequence[str], *, inverse: bool = False) -> pd.Series:
        """Returns names of domains as they are to be called; `inverse` the names in the files."""
        renaming = self._renaming()
        if inverse:
            renaming = {new: old for old, new in renaming.items()}
        return pd.Series(names, dtype="str").replace(renaming)

    def _renaming(self) -> Mapping[str, str]:
        renaming = {}
        for text in self.rename_domains:
            old, equals, new = text.rpartition("=")
            if not (old and equals and new):
                raise DataError(f"rename_domains {text!r}: write OLD=NEW, as in Toys & Games=Toys.")
            renaming[old] = new
        return renaming


def read(inputs: Sequence[str], options: CsvOptions) -> InteractionLog:
    """Reads tables.

    Args:
      inputs: paths; or DOMAIN=PATH, optionally @PART, with domain_by=file.
      options: `--read.*`.

    Raises:
      DataError: names the file, line and field, or the flag.
    """
    bad_lines = read_bad_lines(options)
    formats = table_formats(inputs, options)
    assembly = LogAssembly((), bad_lines, options.time_units())
    tables, start = [], 0
    for table in formats:
        rows, locate = _read_table(table, assembly)
        first, start = start, start + len(rows)
        tables.append(table.canonical(rows, locate, first, assembly))
    seen = (name for rows, _ in tables if "domain" in rows for name in rows["domain"].unique())
    assembly.domains = domain_names(formats, seen, assembly.left_out)
    for rows, locate in tables:
        assembly.add(rows, locate)
    tables.clear()
    return assembly.log(comparable_times=bool(options.timestamp_column))


READER = Reader("csv", CsvOptions, read)


def table_formats(inputs: Sequence[str], options: CsvOptions) -> list[TableFormat]:
    """One format for each file of the entries of --input.

    Raises:
      DataError: flags that do not fit together.
    """
    entries = parse_inputs(inputs, named=options.domain_by == "file")
    ranges = options.ranges()
    if options.domain_by == "category" and not options.domains:
        raise DataError("--read.domain_by=category: name the categories in --read.domains.")
    if ranges and options.domains:
        raise DataError("--read.domains: leave it out, --read.item_ranges names the domains.")
    categories = item_tables.read_categories(options) if options.items else {}
    return [
        TableFormat(
            file,
            options,
            ranges,
            constants,
            categories.get(file.domain, categories.get("")),
        )
        for entry in entries
        for file, constants in expand(entry)
    ]


def domain_names(
    formats: Sequence[TableFormat], seen: Iterable[str], left_out: Mapping[str, int] = _NOTHING
) -> tuple[str, ...]:
    """The domains of the log, in its order.

    Args:
      formats: of all tables.
      seen: names in the domain column, if that is where they stand, in the order of rows.
      left_out: what was left out before, for the message.

    Raises:
      DataError: no row is left that has a domain.
    """
    first = formats[0]
    if first.options.domain_by == "file":
        return input_domains([table.entry for table in formats], first.options)
    if first.options.domain_by == "item_range":
        return tuple(first.ranges)
    if first.options.domains:
        return tuple(first.options.domains)
    names = tuple(dict.fromkeys(name for name in seen if name))
    if not names:
        raise no_interactions(left_out)
    return names


def _read_table(table: TableFormat, assembly: LogAssembly) -> Located:
    """One file's columns under their canonical names, as texts or points in time."""
    path = table.entry.path
    require_file(path)
    chosen: dict[str, str] = {}

    def names(header: list[str]) -> list[str]:
        chosen.update(table.columns(header))
        return [name for name in chosen if name not in table.constants]

    if table.kind == "parquet":
        separator = table.options.category_separator
        rows, locate = parquet_tables.read_columns(path, names, separator)
    elif table.kind == "json":
        rows, locate = _json_rows(table, names, assembly.bad_lines)
    else:
        rows, locate = _text_rows(table, names, assembly)
    return table.named(rows, chosen), locate


def _json_rows(
    table: TableFormat, names: Callable[[list[str]], list[str]], bad_lines: BadLines
) -> Located:
    path, encoding = table.entry.path, table.options.encoding
    at = line_namer(path)
    wanted = names(json_header(numbered_lines(path, encoding), at))
    lines = numbered_lines(path, encoding)
    separator = table.options.category_separator
    rows, numbers = json_columns(lines, wanted, at, bad_lines, separator)
    if rows.empty:
        raise no_rows(path)
    return rows, line_locator(path, numbers)


def _text_rows(
    table: TableFormat, names: Callable[[list[str]], list[str]], assembly: LogAssembly
) -> Located:
    text = table.layout(table.open_text, line_namer(table.entry.path))
    found = csv_columns(text, names(text.header), assembly.bad_lines)
    if found.rows.empty:
        raise no_rows(table.entry.path)
    if found.spread:
        assembly.notes.append(
            f"{found.first_spread}: the first of {found.spread:,} rows that run over several lines "
            "in quotes; if they should not, see --read.quotes"
        )
    return found.rows, found.locate
