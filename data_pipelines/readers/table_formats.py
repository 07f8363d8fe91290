"""How one table, of text, JSON lines or parquet, becomes rows of the log."""

import dataclasses
import functools
import io
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

import numpy as np
import pandas as pd

from data_pipelines.errors import DataError, shown
from data_pipelines.readers.assembly import LogAssembly, kept_rows
from data_pipelines.readers.csv_text import CsvText, csv_header
from data_pipelines.readers.input_streams import (
    PARQUET_MAGIC,
    line_namer,
    text_stream,
    unchecked_stream,
    unpacked,
)
from data_pipelines.readers.options import Input, by_domain
from data_pipelines.readers.table_headers import plain_names

_JSON_SUFFIXES = (".jsonl", ".ndjson", ".json")
_PACKED_SUFFIXES = (".gz", ".bz2", ".xz", ".zst", ".lz4", ".zip")
_SEPARATORS = {"tab": "\t", "\\t": "\t", "space": " ", "blank": " "}
# What a header given by --read.header may call the columns that flags name.
_ROLES = {
    "user": "user_column",
    "item": "item_column",
    "time": "timestamp_column",
    "rating": "rating_column",
    "category": "category_column",
    "domain": "domain_column",
    "part": "part_column",
    "event": "event_column",
}

Located = tuple[pd.DataFrame, Callable[[int], str]]


@dataclasses.dataclass(frozen=True)
class TableFormat:
    """How one table becomes rows of the log.

    Attributes:
      entry: the table's entry of --input.
      options: `--read.*`, of the reader `csv`.
      ranges: domain -> (first, last) item, for domain_by=item_range.
      constants: column -> value of all rows, as a folder of the path says (`column=value`).
      categories: item -> category, of the domain's table of items; None without one.
    """

    entry: Input
    options: Any
    ranges: Mapping[str, tuple[int, int]]
    constants: Mapping[str, str] = dataclasses.field(default_factory=dict)
    categories: Mapping[str, str] | None = None

    @functools.cached_property
    def kind(self) -> str:
        """What the file is, as --read.format, its first bytes or its name tell.

        Returns:
          "parquet", "json" or "text".
        """
        if self.options.format:
            return "text" if self.options.format in ("csv", "tsv") else self.options.format
        with self.raw() as raw:
            if raw.read(len(PARQUET_MAGIC)) == PARQUET_MAGIC:
                return "parquet"
        if self._plain_path.suffix.lower() in (".parquet", ".pq"):
            return "parquet"
        return "json" if self._plain_path.suffix.lower() in _JSON_SUFFIXES else "text"

    @property
    def _plain_path(self) -> pathlib.Path:
        """The file's path without the suffix that says how it is packed."""
        path = self.entry.path
        return path.with_suffix("") if path.suffix.lower() in _PACKED_SUFFIXES else path

    def raw(self) -> io.BufferedIOBase:
        """Opens the file's bytes as they are."""
        location = self.entry.location
        if "://" not in location:
            return self.entry.path.open("rb")
        from apache_beam.io.filesystem import CompressionTypes
        from apache_beam.io.filesystems import FileSystems

        opened = FileSystems.open(location, compression_type=CompressionTypes.UNCOMPRESSED)
        return cast(io.BufferedIOBase, opened)

    def unpacked(self) -> io.BufferedIOBase:
        """Opens the file's bytes unpacked, whatever their encoding."""
        return unpacked(self.raw(), self.entry.location)

    def open_text(self) -> io.BufferedReader:
        """Opens the file as UTF-8."""
        location = self.entry.location
        return io.BufferedReader(
            text_stream(self.raw(), line_namer(location), location, self.options.encoding), 1 << 20
        )

    def open_lines(self) -> io.BufferedIOBase:
        """Opens the file as lines each of which tells whether it is UTF-8."""
        location, encoding = self.entry.location, self.options.encoding
        return unchecked_stream(self.raw(), line_namer(location), location, encoding)

    def layout(self, opened: Callable[[], io.BufferedIOBase], at: Callable[[int], str]) -> CsvText:
        """Finds out how a file of text is laid out.

        Args:
          opened: opens it, or enough of its beginning.
          at: says "FILE, line N" for a line number.

        Returns:
          The file with its header, in which names stand as in the file, or as --read.header gives
          them.
        """
        if self.options.header:
            names = [
                getattr(self.options, _ROLES[name]) if name in _ROLES else name
                for name in self.options.header
            ]
            return self._text(opened, at, self._separators()[0], names, 0)
        wanted = [self.column(option) for option in ("user_column", "item_column")]
        return self.layout_with(wanted, opened, at)

    def layout_with(
        self,
        wanted: Sequence[str],
        opened: Callable[[], io.BufferedIOBase],
        at: Callable[[int], str],
    ) -> CsvText:
        """Lays a file out with the first separator that makes a header with these names."""
        found = []
        for separator in self._separators():
            text = self._text(opened, at, separator, [], 1)
            found.append(text._replace(header=csv_header(text)))
            if set(wanted) <= set(plain_names(found[-1].header)):
                return found[-1]
        return found[0]

    def _text(
        self,
        opened: Callable[[], io.BufferedIOBase],
        at: Callable[[int], str],
        separator: str,
        header: list[str],
        header_rows: int,
    ) -> CsvText:
        quoted = self.options.quotes == "double"
        if not self.options.quotes:
            quoted = separator not in "\t "
        return CsvText(opened, at, self.entry.location, separator, header, header_rows, quoted)

    def _separators(self) -> list[str]:
        """The signs that may stand between fields, the likeliest first."""
        given = self.options.separator
        separator = _SEPARATORS.get(given, given)
        if given and len(separator) != 1:
            raise DataError(
                f"--read.separator={given!r}: the csv reader takes one sign, or tab or space."
            )
        if given:
            return [separator]
        comma = self._plain_path.suffix.lower() == ".csv" or self.options.format == "csv"
        comma &= self.options.format != "tsv"
        first = "," if comma else "\t"
        return [first, *(sign for sign in ",\t;|" if sign != first)]

    def column(self, option: str) -> str:
        """Returns the name that a flag gives a column in this table."""
        return by_domain(getattr(self.options, option), self.entry.domain)

    def columns(self, header: Sequence[str]) -> dict[str, str]:
        """Chooses the columns to read.

        Args:
          header: the names in the file.

        Returns:
          Each name, of the file's or of `constants`, -> the canonical name.

        Raises:
          DataError: a column is missing or named twice.
        """
        where, options = f"{self.entry.location}, line 1", self.options
        header = [*header, *self.constants]
        plain = plain_names(header)
        needed = {"user_id": "user_column", "item_id": "item_column"}
        if options.timestamp_column:
            needed["timestamp"] = "timestamp_column"
        if options.domain_by == "column":
            needed["domain"] = "domain_column"
        if options.domain_by == "category" and self.categories is None:
            needed["category"] = "category_column"
        if options.kinds():
            needed["event"] = "event_column"
        if options.least_rating:
            needed["rating"] = "rating_column"
        optional = [name for name in ("rating", "category", "part") if name not in needed]
        if options.event_weights:  # They are the ratings.
            optional.remove("rating")
        if self.categories is not None and "category" in optional:
            optional.remove("category")
        chosen: dict[str, str] = {}
        for canonical, option in {**needed, **{n: f"{n}_column" for n in optional}}.items():
            column = self.column(option)
            default = type(options).__dataclass_fields__[option].default
            # A name as it stands in the file comes before what it is without RecBole's type.
            names = header if column in header else plain
            if names.count(column) == 1:
                raw = header[names.index(column)]
                if raw in chosen:
                    raise DataError(f"{where}: column {column!r} is named by two --read flags.")
                chosen[raw] = canonical
            elif column in names:
                raise DataError(f"{where}: column {column!r} comes twice in the header.")
            elif canonical in needed or (column and column != default):
                raise DataError(_missing_column(where, column, option, header))
        if self.entry.part and "part" in chosen.values():
            raise DataError(
                f"{where}: has a column {options.part_column!r}, so its --input must not end in "
                "@PART."
            )
        return chosen

    def named(self, rows: pd.DataFrame, chosen: Mapping[str, str]) -> pd.DataFrame:
        """Gives columns their canonical names, and adds those that folders' names tell."""
        told = {
            canonical: self.constants[name]
            for name, canonical in chosen.items()
            if name in self.constants
        }
        return rows.rename(columns=chosen).assign(**told)

    def canonical(
        self,
        rows: pd.DataFrame,
        locate: Callable[[int], str],
        first_row: int,
        assembly: LogAssembly,
    ) -> Located:
        """Gives rows the columns that the file does not have, and leaves out what is not wanted.

        Args:
          rows: some of the file's rows, with canonical names of columns.
          locate: says "FILE, line N" for a row of them.
          first_row: number of the first of them, which rises with the place in the input.
          assembly: takes the rows that are rejected or left out.

        Returns:
          The other rows and their `locate`; without the columns that only chose among them.
        """
        options = self.options
        if self.entry.part:
            rows["part"] = self.entry.part
        if not options.timestamp_column:
            rows["timestamp"] = np.arange(first_row, first_row + len(rows))
        if options.domain_by == "file":
            rows["domain"] = self.entry.domain
        if options.list_separator:
            rows, locate = _one_a_row(rows, locate, options.list_separator, assembly)
        rows, locate = self._chosen(rows, locate, assembly)
        rows = assembly.with_plain_ids(rows)
        if self.categories is not None:
            found = rows["item_id"].map(self.categories)
            missing = int(found.isna().sum())
            if missing:
                assembly.remarks["an item that --read.items does not have"] += missing
            rows = rows.assign(category=found.fillna("").astype("str"))
        if options.domain_by == "item_range":
            return assembly.by_item_range(rows, self.ranges, locate)
        if options.domain_by == "category":
            names = options.renamed(options.domains, inverse=True)
            rows, locate = assembly.by_category(rows, options.category_separator, locate, names)
        if options.domain_by != "file":
            rows = rows.assign(domain=options.renamed(rows["domain"]))
        return assembly.with_usable_domains(
            rows, locate, "rename it by --read.rename_domains, or mend the line"
        )

    def _chosen(
        self, rows: pd.DataFrame, locate: Callable[[int], str], assembly: LogAssembly
    ) -> Located:
        """Leaves out what the flags do not choose."""
        options = self.options
        if options.kinds():
            weights = options.weights()
            kept = rows["event"].isin(options.kinds()).to_numpy(bool)
            flag = "event_weights" if weights else "events"
            assembly.leave_out(f"events of other kinds than --read.{flag}", int((~kept).sum()))
            if weights:
                rows = rows.assign(rating=rows["event"].map(weights))
            rows, locate = kept_rows(rows.drop(columns="event"), locate, kept)
        if options.least_rating:
            ratings = pd.to_numeric(rows["rating"], errors="coerce")
            # What is no number at all is a bad line, not a low rating.
            low = (ratings < float(options.least_rating)).to_numpy(bool)
            low = low | (rows["rating"] == "").to_numpy(bool)
            name = f"ratings that are missing or below {options.least_rating}"
            assembly.leave_out(name, int(low.sum()))
            rows, locate = kept_rows(rows, locate, ~low)
        return rows, locate


def _one_a_row(
    rows: pd.DataFrame, locate: Callable[[int], str], separator: str, assembly: LogAssembly
) -> Located:
    """Makes a row for each entry of the lists that items, and maybe other columns, hold."""
    lists = {name: rows[name].str.split(separator) for name in rows if _holds_texts(rows[name])}
    lists.pop("user_id", None)
    if "item_id" not in lists:  # Of a type that no item has, which is told later.
        return rows, locate
    lengths = lists["item_id"].str.len().to_numpy()
    of_rows = {name: values.str.len().to_numpy() for name, values in lists.items()}
    # A column with one value in each row is of all items of the row.
    bad = np.zeros(len(rows), bool)
    for own in of_rows.values():
        bad |= (own != lengths) & (own != 1)
    rows, locate = assembly.without(
        rows,
        bad,
        locate,
        lambda row: (
            "the lists are not of one length: "
            + ", ".join(f"{own[row]} of {name}" for name, own in of_rows.items())
            + "."
        ),
    )
    good = np.flatnonzero(~bad)
    counts = lengths[good]
    place = np.repeat(np.arange(len(good)), counts)
    columns = {}
    for name in rows:
        values = rows[name].to_numpy(dtype=object)[place]
        if name in lists:
            several = of_rows[name][good] > 1
            parts = [part for row in good for part in lists[name].iloc[row]]
            starts = np.cumsum(of_rows[name][good]) - of_rows[name][good]
            within = np.arange(len(place)) - np.repeat(np.cumsum(counts) - counts, counts)
            chosen = starts[place] + np.where(several[place], within, 0)
            values = np.array(parts, dtype=object)[chosen] if len(parts) else values
            columns[name] = pd.Series(values, dtype="str").str.strip()
        else:
            columns[name] = pd.Series(values).infer_objects()
    index = rows.index.to_numpy()[place]
    return pd.DataFrame(columns).set_index(pd.Index(index)), lambda row: locate(int(place[row]))


def _holds_texts(column: pd.Series) -> bool:
    return column.name != "part" and pd.api.types.is_string_dtype(column)


def _missing_column(where: str, column: str, option: str, header: Sequence[str]) -> str:
    message = (
        f"{where}: no column {shown(column)}; the file has {_shown_names(header)}. "
        f"Name the right one with --read.{option}."
    )
    if any(character.isdigit() for name in header for character in name[:1]):
        message += " If the file has no header, give its columns by --read.header."
    if option == "timestamp_column":
        message += " If the file has no times, give it empty: then the order of lines counts."
    if option == "domain_column":
        message += " Or see --read.domain_by."
    return message


def _shown_names(header: Sequence[str]) -> str:
    names = ", ".join(header)
    names = "".join(sign if sign.isprintable() else "?" for sign in names)
    return names if len(names) <= 200 else f"{names[:200]}..."


def expand(entry: Input) -> Iterator[tuple[Input, dict[str, str]]]:
    """Yields the files of an entry of --input, with the columns that folders' names tell.

    A folder stands for the files below it, as Spark writes it; a pattern such as `part-*.csv` for
    those that match. Files whose names begin with a dot or an underscore are none.

    Raises:
      DataError: a folder or pattern without files.
    """
    path = entry.path
    if "://" in entry.location or path.is_file():
        yield entry, {}
        return
    if path.is_dir():
        root, found = path, sorted(file for file in path.rglob("*") if file.is_file())
    elif any(sign in entry.location for sign in "*?[") and not path.exists():
        plain = [part for part in path.parts if not any(sign in part for sign in "*?[")]
        root = pathlib.Path(*path.parts[: len(plain)])
        if plain != list(path.parts[: len(plain)]):
            root = pathlib.Path(*path.parts[:1])
        pattern = str(path.relative_to(root)) if root.parts else str(path)
        found = sorted(file for file in root.glob(pattern) if file.is_file())
    else:
        yield entry, {}  # Missing: whoever opens it says so.
        return
    found = [
        file
        for file in found
        if not any(part.startswith((".", "_")) for part in file.relative_to(root).parts)
        and file.stat().st_size
    ]
    if not found:
        raise DataError(f"{path}: there are no files with anything in them; check --input.")
    for file in found:
        yield dataclasses.replace(entry, path=file, location=str(file)), _partitions(file, root)


def _partitions(file: pathlib.Path, root: pathlib.Path) -> dict[str, str]:
    """The columns that Hive-style folders, `column=value`, below and at a root tell."""
    from urllib.parse import unquote

    found = {}
    for part in (*root.parts[-1:], *file.relative_to(root).parts[:-1]):
        name, equals, value = part.partition("=")
        if equals and name:
            value = "" if value == "__HIVE_DEFAULT_PARTITION__" else value
            found[unquote(name)] = unquote(value)
    return found
