"""What several readers of files take: the common part of their options, the form of `--input`."""

import dataclasses
import math
import pathlib
from collections.abc import Sequence

from data_pipelines.errors import DataError
from data_pipelines.logs import PARTS, check_domain_names


@dataclasses.dataclass(frozen=True)
class FileOptions:
    """What every reader of files takes.

    Attributes:
      domains: names of the domains, in the order that they are to have; empty for the names in
        --input, in its order.
      max_bad_lines: number of bad lines that may be skipped, in all files together.
    """

    domains: tuple[str, ...] = ()
    max_bad_lines: int = 0

    def __post_init__(self) -> None:
        if self.domains:
            check_domain_names(self.domains)
        if self.max_bad_lines < 0:
            raise DataError(f"max_bad_lines is {self.max_bad_lines}: it must not be negative.")


@dataclasses.dataclass(frozen=True)
class DomainByOptions(FileOptions):
    """What readers take whose users say where the domain of an interaction stands.

    Attributes:
      domain_by: where an interaction's domain stands: file (inputs are DOMAIN=PATH).
    """

    domain_by: str = "file"

    def _require_domain_by(self, reader: str, *places: str) -> None:
        """Raises a DataError unless the domain stands in one of the reader's places."""
        if self.domain_by not in places:
            raise DataError(
                f"domain_by is {self.domain_by!r}: the {reader} reader takes {' or '.join(places)}."
            )


@dataclasses.dataclass(frozen=True)
class ItemRangeOptions(DomainByOptions):
    """What readers take that can tell domains by ranges of item ids.

    Attributes:
      item_ranges: for domain_by=item_range, DOMAIN:FIRST:LAST for each domain, both ends
        included, for item ids that are whole numbers.
    """

    item_ranges: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        parse_item_ranges(self.item_ranges)

    def ranges(self) -> dict[str, tuple[int, int]]:
        """Domain -> (first, last) item, both included; empty unless domain_by=item_range.

        Raises:
          DataError: there are ranges and domain_by is another, or none and it is item_range.
        """
        ranges = parse_item_ranges(self.item_ranges)
        if bool(ranges) != (self.domain_by == "item_range"):
            raise DataError("--read.domain_by=item_range and --read.item_ranges go together.")
        return ranges


def finite_number(name: str, text: str) -> float | None:
    """Returns the number that an option's text says; None if it is empty.

    Raises:
      DataError: it says none, or none that is finite; `name` is the option's.
    """
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise DataError(f"{name} is {text!r}: it must be a number.")
    return number


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


def domain_values(text: str) -> dict[str, str]:
    """Splits `VALUE`, or `DOMAIN=VALUE,DOMAIN=VALUE`: domain -> value, "" for every domain."""
    entries = [entry.strip() for entry in text.split(",")]
    if not all("=" in entry for entry in entries):
        return {"": text}
    return {domain: value for domain, _, value in (entry.partition("=") for entry in entries)}


def by_domain(text: str, domain: str) -> str:
    """Returns what an option of the form of `domain_values` says for a domain.

    Raises:
      DataError: it names domains, but not this one.
    """
    values = domain_values(text)
    if "" in values:
        return values[""]
    if domain not in values:
        raise DataError(
            f"{text!r} has no entry for {domain or 'a log whose domains are in one file'}: write "
            "DOMAIN=NAME for each domain of --input, or one name for all."
        )
    return values[domain]


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


def require_no_inputs(inputs: Sequence[str], reader: str) -> None:
    """Raises a DataError if there are inputs, for a reader that draws its log."""
    if inputs:
        raise DataError(f"--input has no meaning for --reader={reader}: leave it out.")


def input_domains(inputs: Sequence[Input], options: FileOptions) -> tuple[str, ...]:
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
