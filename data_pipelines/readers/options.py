"""How raw files are read: the flags `--read.*` and the form of `--input`."""

import dataclasses
import pathlib

# fancyflags makes a comma-separated flag of typing.Sequence only, not of collections.abc.Sequence.
from typing import Sequence  # noqa: UP035

from data_pipelines.errors import DataError
from data_pipelines.logs import PARTS, check_domain_names

DOMAIN_BY = ("", "column", "file", "category", "item_range")


@dataclasses.dataclass(frozen=True)
class ReadOptions:
    """How a reader understands its files. A reader refuses an option that it does not use.

    Attributes:
      user_column: csv reader: name of the column with the user id.
      item_column: csv reader: name of the column with the item id.
      timestamp_column: csv reader: name of the column with Unix seconds (or any whole number that
        rises with time); empty if the files have no times, then the order of lines counts.
      rating_column: csv reader: name of the column with the rating; read if the file has it.
      category_column: csv reader: name of the column with the item's categories; read if the
        file has it.
      domain_column: csv reader: name of the column with the domain, for domain_by=column.
      part_column: csv reader: name of the column with train, validation or test, for
        --split.kind=given; read if the file has it.
      separator: csv reader: sign between fields, empty for a comma in .csv and a tab in any other
        file. sequences reader: sign between ids, empty for blanks and tabs.
      domains: names of the domains. With domain_by=category these categories are the domains and
        other items are left out. Readers peterrec (default source,target) and csv (default: every
        name in the column) take them in this order.
      domain_by: where an interaction's domain stands: column (csv), file (any reader but
        peterrec; inputs are DOMAIN=PATH), category (csv, movielens) or item_range (csv,
        sequences). Empty for the reader's own: csv column, movielens category, others file.
      item_ranges: for domain_by=item_range, DOMAIN:FIRST:LAST for each domain, both ends
        included, for item ids that are whole numbers.
      category_separator: csv reader: sign between the categories of one item; the first of them
        that is a named domain counts.
      shared_users_below: pairs reader: user ids below this number are the same person in every
        domain, the others belong to one domain and get its name as prefix. 0: every id is shared.
      lines_start_with_user: sequences reader: whether the first id of a line is the user; if not,
        every line is a user of its own, named by its line number.
      padding: sequences and peterrec readers: a token that only fills lines up and is dropped;
        empty for none (sequences) or 0 (peterrec).
      max_bad_lines: number of bad lines that may be skipped, in all files together. Of a line
        with several ids (sequences, peterrec) only the bad ids are skipped and counted.
    """

    user_column: str = "user_id"
    item_column: str = "item_id"
    timestamp_column: str = "timestamp"
    rating_column: str = "rating"
    category_column: str = "category"
    domain_column: str = "domain"
    part_column: str = "part"
    separator: str = ""
    domains: Sequence[str] = ()
    domain_by: str = ""
    item_ranges: Sequence[str] = ()
    category_separator: str = "|"
    shared_users_below: int = 0
    lines_start_with_user: bool = True
    padding: str = ""
    max_bad_lines: int = 0

    def __post_init__(self) -> None:
        for name in ("domains", "item_ranges"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if self.domain_by not in DOMAIN_BY:
            raise DataError(f"domain_by {self.domain_by!r}: use {', '.join(DOMAIN_BY[1:])}.")
        for name in ("shared_users_below", "max_bad_lines"):
            if getattr(self, name) < 0:
                raise DataError(f"{name} is {getattr(self, name)}: it must not be negative.")
        for name in ("user_column", "item_column", "category_separator"):
            if not getattr(self, name):
                raise DataError(f"{name} is empty: give a value.")
        if self.domains:
            check_domain_names(self.domains)
        parse_item_ranges(self.item_ranges)

    def require_only(self, reader: str, used: Sequence[str]) -> None:
        """Raises a DataError if an option has a value but no meaning for this reader."""
        for field in dataclasses.fields(self):
            if field.name in used or getattr(self, field.name) == field.default:
                continue
            raise DataError(
                f"--read.{field.name} has no meaning for --reader={reader}: leave it out."
            )


@dataclasses.dataclass(frozen=True)
class Input:
    """One entry of `--input`: `PATH`, `DOMAIN=PATH` or `DOMAIN=PATH@PART`.

    Attributes:
      path: the file or folder.
      location: the same as it was written; it may be a URL for engines that read such.
      domain: the domain that all its interactions belong to, or "".
      part: train, validation or test for a file of a given split, or "".
    """

    path: pathlib.Path
    location: str
    domain: str = ""
    part: str = ""


def parse_inputs(texts: Sequence[str], *, named: bool) -> list[Input]:
    """Splits `--input` entries.

    Args:
      texts: the entries.
      named: whether each must name its domain (domain_by=file) or must not.

    Raises:
      DataError: no entry, or one in the wrong form.
    """
    if not texts:
        raise DataError("--input is missing: name the file or folder to read.")
    inputs = []
    for text in texts:
        domain, _, path = text.partition("=") if named else ("", "", text)
        if named and not (domain and path):
            raise DataError(f"--input={text}: name the file's domain, as in DOMAIN=PATH.")
        part = ""
        stem, at, suffix = path.rpartition("@")
        if at and suffix in PARTS:
            path, part = stem, suffix
        if not path:
            raise DataError(f"--input={text}: the path is empty.")
        inputs.append(Input(pathlib.Path(path), path, domain, part))
    if named and len({bool(entry.part) for entry in inputs}) > 1:
        raise DataError("--input: give @train, @validation or @test to every file or to none.")
    return inputs


def input_domains(inputs: Sequence[Input], options: ReadOptions) -> tuple[str, ...]:
    """Domains in the order of their first file, which --read.domains may set in another order.

    Raises:
      DataError: the names given by --read.domains are not those of the files.
    """
    named = tuple(dict.fromkeys(entry.domain for entry in inputs))
    check_domain_names(named)
    if options.domains and set(options.domains) != set(named):
        raise DataError(
            f"--read.domains names {', '.join(options.domains)} but --input names "
            f"{', '.join(named)}: use the same names, or leave --read.domains out."
        )
    return tuple(options.domains) or named


def parse_item_ranges(texts: Sequence[str]) -> dict[str, tuple[int, int]]:
    """`DOMAIN:FIRST:LAST` entries as domain -> (first, last), both included.

    Raises:
      DataError: an entry in another form, an empty range, or two ranges that overlap.
    """
    ranges: dict[str, tuple[int, int]] = {}
    for text in texts:
        parts = text.split(":")
        if len(parts) != 3 or not all(part.strip().isdecimal() for part in parts[1:]):
            raise DataError(f"item_ranges {text!r}: write DOMAIN:FIRST:LAST, as in Toys:1:37868.")
        first, last = int(parts[1]), int(parts[2])
        if last < first or parts[0] in ranges:
            raise DataError(f"item_ranges {text!r}: the range is empty or its domain comes twice.")
        for other, (other_first, other_last) in ranges.items():
            if first <= other_last and other_first <= last:
                raise DataError(f"item_ranges {text!r}: overlaps the range of {other}.")
        ranges[parts[0]] = (first, last)
    if ranges:
        check_domain_names(tuple(ranges))
    return ranges
