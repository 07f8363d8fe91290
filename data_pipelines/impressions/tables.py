"""Reader `csv` of impressions: csv, tsv and parquet tables with a header, columns by flags.

    domain,part,categorical_1,categorical_2,numerical_1,click,conversion
    RU,train,3,0,0.25,1,0

or a table for each domain and part, `--input=RU=ru.csv@train,NL=nl.csv@train,NL=held.csv@test`.
The processed AliExpress files, with a header, are read as they are.
"""

import dataclasses
import functools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet

from data_pipelines.errors import DataError, shown
from data_pipelines.impressions.field_values import GrowingVocabulary
from data_pipelines.impressions.log import TASKS, Chunk, Columns, ImpressionLog
from data_pipelines.impressions.number_tables import (
    NumberColumns,
    Numbers,
    Whole,
    category,
    csv_numbers,
    parquet_numbers,
)
from data_pipelines.impressions.options import ImpressionFileOptions
from data_pipelines.logs import PARTS, BadLines, check_domain_names
from data_pipelines.readers.csv_text import CsvText, csv_file, csv_header
from data_pipelines.readers.options import Input, finite_number, parse_inputs
from data_pipelines.readers.reader import Reader
from data_pipelines.readers.text_files import require_file

_VALUES = "values of "
_ANY_VALUES = (
    "is not a whole number. Columns of any values are read with --impression_read.least_count=1."
)
_BELOW = (
    "is below 0. Columns of any values, -1 among them, are read with "
    "--impression_read.least_count=1."
)
_MISSING = "is not a finite number. --impression_read.missing_numbers=0 reads what is missing as 0."
_LABEL = Whole(0, 1, "is not 0 or 1.")


@dataclasses.dataclass(frozen=True)
class ImpressionCsvOptions(ImpressionFileOptions):
    """How tables of impressions are understood.

    Attributes:
      header: names of the columns of text that has no header, in order.
      categorical_columns: names of the categorical columns, in the model's order; empty for the
        columns categorical_1, categorical_2 and so on of the file.
      numerical_columns: names of the numerical columns; empty for numerical_1, numerical_2 and so
        on, of which there may be none.
      least_count: 0: categorical columns hold whole numbers from 0, which stay what they are. From
        1: they hold any values, such as hashed texts, gaps, -1 or true and false; the data set and
        the exported model have a vocabulary of each column, in which a value that fewer training
        rows have is unknown, and a missing one is a value of its own.
      click_column: name of the column with 1 for a click, else 0; or true and false.
      conversion_column: name of the column with 1 for a purchase, else 0; if it is not named and
        no table has a column conversion, clicks are all that is predicted.
      domain_column: name of the column with the domain, for an --input without DOMAIN=.
      part_column: name of the column with train, validation or test; read if the file has it.
        Without it and without @PART, rows train.
      missing_numbers: what a missing value of a numerical column is read as, such as 0; empty: it
        is a bad line.
      separator: sign between fields, empty for a comma in .csv and a tab in any other file.
    """

    header: tuple[str, ...] = ()
    categorical_columns: tuple[str, ...] = ()
    numerical_columns: tuple[str, ...] = ()
    least_count: int = 0
    click_column: str = "click"
    conversion_column: str = "conversion"
    domain_column: str = "domain"
    part_column: str = "part"
    missing_numbers: str = ""
    separator: str = ""

    def fill(self) -> float | None:
        """The number for a missing one, or None if that is a bad line."""
        return finite_number("missing_numbers", self.missing_numbers)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.fill()  # Refuses what is no number.
        for name in ("click_column", "conversion_column"):
            if not getattr(self, name):
                raise DataError(f"{name} is empty: give a value.")
        if self.least_count < 0:
            raise DataError(f"least_count is {self.least_count}: it must not be negative.")
        if self.least_count and self.field_sizes:
            raise DataError(
                "field_sizes has no meaning with least_count, whose vocabularies have the sizes "
                "that they come to: leave it out."
            )


def read(inputs: Sequence[str], options: ImpressionCsvOptions) -> "TableLog":
    """Opens tables and reads their headers.

    Args:
      inputs: DOMAIN=PATH, or PATH of a table with a column for the domain; optionally @PART.
      options: `--impression_read.*`.

    Raises:
      DataError: a flag is wrong, or a table lacks a column or has others than the first.
    """
    named = {bool(re.match(r"[^/\\]+=", text)) for text in inputs}
    if len(named) > 1:
        raise DataError("--input: give DOMAIN=PATH for every table or for none.")
    tables = [_Table(entry, options) for entry in parse_inputs(inputs, named=True in named)]
    return TableLog(tables, options)


READER = Reader("csv", ImpressionCsvOptions, read)


class TableLog(ImpressionLog):
    """Tables with the same columns."""

    def __init__(self, tables: Sequence["_Table"], options: ImpressionCsvOptions) -> None:
        """Checks that the tables fit together."""
        super().__init__(BadLines("--impression_read.max_bad_lines", options.max_bad_lines))
        first = tables[0]
        for table in tables[1:]:
            # Compared as sets: a table may have its columns in another order.
            odd = {*first.columns.categorical, *first.columns.numerical} ^ {
                *table.columns.categorical,
                *table.columns.numerical,
            }
            if odd:
                raise DataError(
                    f"{table.path}: only this table or {first.path} has column "
                    f"{', '.join(sorted(odd))}; source and target need the same columns."
                )
            if table.converts != first.converts:
                raise DataError(
                    f"{table.path}: only this table or {first.path} has column "
                    f"{options.conversion_column}; give it to all or to none."
                )
        options.check_field_sizes(len(first.columns.categorical))
        self.columns = first.columns
        self.field_sizes = options.field_sizes
        self.labels = TASKS if first.converts else TASKS[:1]
        self.least_count = options.least_count
        if options.least_count:
            self.vocabularies = tuple(GrowingVocabulary() for _ in first.columns.categorical)
        self._options = options
        self._tables = tables
        self.domains = tuple(dict.fromkeys(table.entry.domain for table in tables))
        if first.entry.domain:
            check_domain_names(self.domains)
        else:
            self.domains = ()  # The rows tell.

    def chunks(self, scratch: Path) -> Iterator[Chunk]:
        """Reads the tables, one after the other."""
        del scratch
        known = set(self.domains)
        for table in self._tables:
            for block in table.blocks(self.columns, self.bad_lines):
                if block.missing:
                    filled = f"missing numbers, read as {self._options.missing_numbers}"
                    self.remarks[filled] += block.missing
                block = self._checked(self._without_line_breaks(block))
                for chunk in table.chunks(block, self.columns, self.vocabularies):
                    if chunk.domain not in known:
                        _check_name(chunk.domain, table)
                        known.add(chunk.domain)
                    yield chunk

    def _checked(self, block: Numbers) -> Numbers:
        """Takes the rows with fields that contradict each other out of a block."""
        if len(self.labels) == 1:
            return self._with_known_parts(block)
        click, conversion = block.whole[:, -2], block.whole[:, -1]
        bad = conversion > click
        if bad.any():
            self.bad_lines.add(
                int(bad.sum()),
                lambda: (
                    f"{block.locate(int(np.argmax(bad)))}: column "
                    f"{self._options.conversion_column}: 1 in a row without a click; it needs a 1 "
                    f"in column {self._options.click_column}."
                ),
            )
        return self._with_known_parts(block.without(bad))

    def _without_line_breaks(self, block: Numbers) -> Numbers:
        """Takes the rows out whose values would be two lines of a vocabulary."""
        for name in self.columns.categorical if self.vocabularies else ():
            texts = block.texts[_VALUES + name]
            broken = [text for text in pd.unique(texts) if "\n" in text or "\r" in text]
            if broken:
                bad = np.isin(texts, broken)
                row = int(np.argmax(bad))
                where = f"{block.locate(row)}: column {name}: {shown(texts[row])}"
                problem = f"{where} has a line break."
                self.bad_lines.add(int(bad.sum()), functools.partial(str, problem))
                block = block.without(bad)
        return block

    def _with_known_parts(self, block: Numbers) -> Numbers:
        if "part" not in block.texts:
            return block
        parts = block.texts["part"]
        unknown = ~np.isin(parts, PARTS)
        if unknown.any():
            row = int(np.argmax(unknown))
            self.bad_lines.add(
                int(unknown.sum()),
                lambda: (
                    f"{block.locate(row)}: column {self._options.part_column}: {parts[row]!r} is "
                    f"not one of {', '.join(PARTS)}."
                ),
            )
        return block.without(unknown)


class _Table:
    """One file.

    Attributes:
      entry: its entry of --input.
      path: the file.
      columns: of impressions.
      converts: whether it says what was bought.
    """

    def __init__(self, entry: Input, options: ImpressionCsvOptions) -> None:
        """Reads the header.

        Raises:
          DataError: the file is missing, or lacks a column or has one twice.
        """
        self.entry = entry
        self.path = entry.path
        require_file(entry.path)
        self._options = options
        self._text = None if self._is_parquet() else self._csv_text()
        self._header = self._parquet_header() if self._text is None else self._text.header
        self.columns = Columns(
            options.categorical_columns or self._numbered("categorical"),
            options.numerical_columns or self._numbered("numerical"),
        )
        if not self.columns.categorical:
            raise DataError(
                f"{self.path}: has no column categorical_1; name the columns by "
                "--impression_read.categorical_columns and, if there are any, "
                "--impression_read.numerical_columns."
            )
        named = options.conversion_column != ImpressionCsvOptions.conversion_column
        self.converts = named or options.conversion_column in self._header
        # The file's name of a column of texts, by its canonical name.
        self._texts: dict[str, str] = {}
        if not entry.domain:
            self._texts["domain"] = options.domain_column
        if options.part_column in self._header:
            if entry.part:
                raise DataError(
                    f"{self.path}: has a column {options.part_column!r}, so its --input must not "
                    "end in @PART."
                )
            self._texts["part"] = options.part_column
        elif options.part_column not in ("", ImpressionCsvOptions.part_column):
            raise DataError(
                f"{self.path}: has no column {options.part_column!r}, which "
                "--impression_read.part_column names."
            )
        wanted = [*self.columns.categorical, *self.columns.numerical, *self._texts.values()]
        self._labels = [options.click_column, options.conversion_column][: 1 + self.converts]
        wanted += self._labels
        for name in wanted:
            if wanted.count(name) > 1 or self._header.count(name) != 1:
                raise DataError(
                    f"{self.path}: column {name!r} is missing, comes twice or is named by two "
                    f"flags; the header is {', '.join(self._header)}. Names of columns of text "
                    "that has no header: --impression_read.header."
                )

    def blocks(self, columns: Columns, bad_lines: BadLines) -> Iterator[Numbers]:
        """Reads the table; whole numbers are the categorical columns, if not texts, and labels."""
        options, whole = self._options, {}
        texts = list(self._texts.values())
        if options.least_count:
            texts += columns.categorical
        else:
            for place, name in enumerate(columns.categorical):
                size = options.field_sizes[place] if options.field_sizes else 0
                whole[name] = category(size)._replace(not_whole=_ANY_VALUES, below=_BELOW)
        whole.update(dict.fromkeys(self._labels, _LABEL))
        wanted = NumberColumns(whole, columns.numerical, texts, options.fill(), _MISSING)
        if self._text is None:
            blocks = parquet_numbers(self.path, wanted, bad_lines)
        else:
            blocks = csv_numbers(self._text, wanted, bad_lines)
        canonical = {name: role for role, name in self._texts.items()}
        for block in blocks:
            # Whatever a categorical column is called, it is not taken for the domain or part.
            by_role = {
                canonical.get(name, _VALUES + name): values for name, values in block.texts.items()
            }
            yield block._replace(texts=by_role)

    def chunks(
        self, block: Numbers, columns: Columns, vocabularies: Sequence[GrowingVocabulary]
    ) -> Iterator[Chunk]:
        """Divides a block into chunks of one domain and part, which keep the order of rows."""
        rows = np.zeros(len(block.whole), columns.row_type())
        labels = len(self._labels)
        rows["categorical"] = block.whole[:, :-labels] if not vocabularies else 0
        for place, (name, growing) in enumerate(
            zip(columns.categorical, vocabularies, strict=False)
        ):
            rows["categorical"][:, place] = growing.numbers(block.texts[_VALUES + name])
        rows["numerical"] = block.real
        for place, name in enumerate(TASKS[:labels]):
            rows[name] = block.whole[:, place - labels]
        domains = block.texts.get("domain", np.full(len(rows), self.entry.domain))
        parts = block.texts.get("part", np.full(len(rows), self.entry.part or "train"))
        for domain in dict.fromkeys(domains):
            for part in PARTS:
                chosen = (domains == domain) & (parts == part)
                if chosen.any():
                    yield Chunk(str(domain), part, rows[chosen])

    def _is_parquet(self) -> bool:
        return self.path.suffix.lower() in (".parquet", ".pq")

    def _csv_text(self) -> CsvText:
        path = self.path
        plain = path.with_suffix("") if path.suffix in (".gz", ".bz2", ".zst") else path
        separator = self._options.separator or ("," if plain.suffix.lower() == ".csv" else "\t")
        if len(separator) != 1:
            raise DataError(f"--impression_read.separator={separator!r}: it is one sign.")
        text = csv_file(path, separator, separator != "\t")
        if self._options.header:
            return text._replace(header=list(self._options.header), header_rows=0)
        return text._replace(header=csv_header(text))

    def _parquet_header(self) -> list[str]:
        try:
            if self._options.header:
                raise DataError(f"{self.path}: a parquet table has names: leave header out.")
            with pa.parquet.ParquetFile(self.path) as file:
                return list(file.schema_arrow.names)
        except (pa.ArrowException, OSError) as error:
            raise DataError(
                f"{self.path}: cannot be read: {' '.join(str(error).split())}"
            ) from error

    def _numbered(self, kind: str) -> tuple[str, ...]:
        """The columns `kind`_1, `kind`_2 and so on, by number."""
        pattern = re.compile(rf"{kind}_(\d+)")
        found = [(int(m[1]), name) for name in self._header if (m := pattern.fullmatch(name))]
        return tuple(name for _, name in sorted(found))


def _check_name(domain: str, table: _Table) -> None:
    try:
        check_domain_names([domain])
    except DataError as error:
        raise DataError(f"{table.path}: {error}") from error
