"""Reader `aliexpress`: the AliExpress search logs as published, one archive a country.

    --reader=aliexpress --input=RU=aliexpress_RU_datasets.zip,NL=aliexpress_NL_datasets.zip

An archive holds `<cc>_user_train.zip`, `<cc>_item_train.zip`, `<cc>_user_test.zip` and
`<cc>_item_test.zip` in a folder, each with one csv file without a header:

- user, 33 columns, a row a result page: 1 search id; 2-8 and 32-33 categorical; 9-31 numerical;
- item, 49 columns, a row a shown item: 1 search id; 19, 34, 35, 36, 40, 41 and 42 categorical;
  the others up to 48 numerical; 49 label, 0 shown, 1 clicked, 2 bought.

They are joined by search id; an id on one side only is counted and dropped. The columns are called
categorical_1 to categorical_16 and numerical_1 to numerical_63, the user's before the item's, as
in the processed files of MTReclib.
"""

import contextlib
import dataclasses
import io
import re
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np

from data_pipelines.errors import DataError
from data_pipelines.impressions.archives import UnpackLimit, checked_archive, unpack
from data_pipelines.impressions.joining import Matches, Pieces, TooManyMatchesError, match
from data_pipelines.impressions.log import Chunk, Columns, ImpressionLog
from data_pipelines.impressions.number_tables import NumberColumns, Whole, category, csv_numbers
from data_pipelines.impressions.options import ImpressionFileOptions
from data_pipelines.logs import BadLines, check_domain_names
from data_pipelines.readers.csv_text import CsvText
from data_pipelines.readers.options import Input, parse_inputs
from data_pipelines.readers.reader import Reader

# Names with a dot in front are what macOS adds.
_MEMBER = re.compile(r"(?:.*/)?[^/.][^/]*_(user|item)_(train|test)\.zip", re.IGNORECASE)
_CSV = re.compile(r"(?:.*/)?[^/.][^/]*\.csv", re.IGNORECASE)
_PARTS = ("train", "test")
_INT64 = np.iinfo(np.int64)
# Bytes of csv text, of both sides together, behind one pair of pieces of the join.
_PIECE_BYTES = 1 << 27
_MAX_PIECES = 400  # files open at once
# A join has a row for each shown item; of archives with some repeated search ids, a few more.
_MATCHES_A_ROW = 2
_FEWEST_ALLOWED_MATCHES = 1000


class Side(NamedTuple):
    """The columns of one of the two files, by number from 1; the first is the search id.

    Attributes:
      name: "user" or "item".
      categorical, numerical: numbers of the columns, in the order of the log.
      label: number of the column with the label, 0 for none.
    """

    name: str
    categorical: tuple[int, ...]
    numerical: tuple[int, ...]
    label: int = 0

    @property
    def width(self) -> int:
        """Number of columns."""
        return 1 + len(self.categorical) + len(self.numerical) + bool(self.label)

    def row_type(self) -> np.dtype:
        """The dtype of the file's rows; a user row's label is 0."""
        return np.dtype(
            [
                ("key", np.int64),
                ("categorical", np.int32, (len(self.categorical),)),
                ("numerical", np.float32, (len(self.numerical),)),
                ("label", np.uint8),
            ]
        )

    def columns(self, sizes: Sequence[int]) -> NumberColumns:
        """What to read, given the field sizes of the categorical columns; none for any size."""
        whole = {"1": Whole(_INT64.min, _INT64.max, "is not a search id.")}
        for place, number in enumerate(self.categorical):
            whole[str(number)] = category(sizes[place] if sizes else 0)
        if self.label:
            whole[str(self.label)] = Whole(0, 2, "is not 0 (shown), 1 (clicked) or 2 (bought).")
        return NumberColumns(whole, [str(number) for number in self.numerical])


_ITEM_CATEGORICAL = (19, 34, 35, 36, 40, 41, 42)
USER = Side("user", (*range(2, 9), 32, 33), tuple(range(9, 32)))
ITEM = Side(
    "item",
    _ITEM_CATEGORICAL,
    tuple(number for number in range(2, 49) if number not in _ITEM_CATEGORICAL),
    label=49,
)
_FIELDS = len(USER.categorical) + len(ITEM.categorical)
_NUMBERS = len(USER.numerical) + len(ITEM.numerical)
COLUMNS = Columns(
    tuple(f"categorical_{k + 1}" for k in range(_FIELDS)),
    tuple(f"numerical_{k + 1}" for k in range(_NUMBERS)),
)


@dataclasses.dataclass(frozen=True)
class AliExpressOptions(ImpressionFileOptions):
    """How archives are understood.

    Attributes:
      max_unpacked_gb: an archive whose members take more, in gigabytes (1e9 bytes) once unpacked,
        is refused.
    """

    max_unpacked_gb: float = 100.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.max_unpacked_gb > 0:
            raise DataError(f"max_unpacked_gb is {self.max_unpacked_gb}: it must be positive.")


def read(inputs: Sequence[str], options: AliExpressOptions) -> "AliExpressLog":
    """Names the archives to read.

    Args:
      inputs: COUNTRY=ARCHIVE.
      options: `--impression_read.*`.

    Raises:
      DataError: a flag is wrong.
    """
    options.check_field_sizes(_FIELDS)
    entries = parse_inputs(inputs, named=True)
    for entry in entries:
        if entry.part:
            raise DataError(
                f"--input={entry.domain}={entry.path}@{entry.part}: an archive has both parts; "
                "leave the part out."
            )
        if not entry.path.is_file():
            raise DataError(f"{entry.path}: no such file; check --input.")
    check_domain_names([entry.domain for entry in entries])
    return AliExpressLog(entries, options)


READER = Reader("aliexpress", AliExpressOptions, read)


class AliExpressLog(ImpressionLog):
    """The archives of one or more countries."""

    columns = COLUMNS

    def __init__(self, entries: Sequence[Input], options: AliExpressOptions) -> None:
        """Reads nothing yet."""
        super().__init__(BadLines("--impression_read.max_bad_lines", options.max_bad_lines))
        self.domains = tuple(entry.domain for entry in entries)
        self.field_sizes = options.field_sizes
        self._entries = entries
        self._options = options

    def chunks(self, scratch: Path) -> Iterator[Chunk]:
        """Joins the archives' files, piece by piece."""
        for entry in self._entries:
            limit = UnpackLimit(self._options.max_unpacked_gb)
            with checked_archive(entry.path, str(entry.path), limit) as archive:
                members = _members(archive, entry.path)
                for part in _PARTS:
                    yield from self._joined(archive, entry, part, members, limit, scratch)

    def _joined(
        self,
        archive: zipfile.ZipFile,
        entry: Input,
        part: str,
        members: Mapping[tuple[str, str], zipfile.ZipInfo],
        limit: UnpackLimit,
        scratch: Path,
    ) -> Iterator[Chunk]:
        split = len(USER.categorical)
        sizes = {"user": self.field_sizes[:split], "item": self.field_sizes[split:]}
        with contextlib.ExitStack() as stack:
            # Both before one is opened, so that each archive's damage is reported as its own.
            paths = [scratch / f"{side.name}.zip" for side in (USER, ITEM)]
            for side, path in zip((USER, ITEM), paths, strict=True):
                stack.callback(path.unlink, missing_ok=True)
                unpack(archive, members[side.name, part], path)
            texts = []
            for side, path in zip((USER, ITEM), paths, strict=True):
                name = f"{entry.path}/{members[side.name, part].filename}"
                texts.append(stack.enter_context(_csv_text(path, name, side, limit)))
            number = min(_MAX_PIECES, 1 + sum(size for _, size in texts) // _PIECE_BYTES)
            pieces = [
                Pieces(
                    rows_of(side, text, sizes[side.name], self.bad_lines),
                    side.row_type(),
                    scratch / side.name,
                    number,
                )
                for side, (text, _) in zip((USER, ITEM), texts, strict=True)
            ]
        joined = 0
        for piece in range(number):
            user_rows, item_rows = (side.take(piece) for side in pieces)
            matches = _matched(user_rows["key"], item_rows["key"], entry.path, part)
            repeated = len(user_rows) - len(np.unique(user_rows["key"]))
            if repeated:
                what = f"{entry.domain} {part}: rows of the user file whose search id came before"
                self.remarks[what] += repeated
            joined += len(matches.left)
            count_unmatched(self.left_out, entry.domain, part, matches)
            yield Chunk(entry.domain, part, impressions(user_rows, item_rows, matches))
        for side in (USER, ITEM):
            (scratch / side.name).rmdir()
        if not joined:
            raise DataError(
                f"{entry.path}: no search id of the user file of {part} is in the item file of "
                f"{part}; give the archive as published."
            )


def _matched(users: np.ndarray, items: np.ndarray, path: Path, part: str) -> Matches:
    """Joins search ids, of which each is of one row of the user file in sound archives."""
    try:
        return match(users, items, _FEWEST_ALLOWED_MATCHES + _MATCHES_A_ROW * len(items))
    except TooManyMatchesError as error:
        raise DataError(
            f"{path}: search id {error.key} stands in {error.left:,} rows of the user file of "
            f"{part} and in {error.right:,} of its item file; joined, the rows whose search ids "
            f"repeat make {error.pairs:,}, of {len(items):,} shown items. The archive is not as "
            "published; fetch it again."
        ) from error


def rows_of(
    side: Side, text: CsvText, sizes: Sequence[int], bad_lines: BadLines
) -> Iterable[np.ndarray]:
    """Yields the rows of a user or item file, in blocks of `side.row_type()`."""
    for block in csv_numbers(text, side.columns(sizes), bad_lines):
        rows = np.zeros(len(block.whole), side.row_type())
        rows["key"] = block.whole[:, 0]
        rows["categorical"] = block.whole[:, 1 : 1 + len(side.categorical)]
        rows["numerical"] = block.real
        if side.label:
            rows["label"] = block.whole[:, -1]
        yield rows


def impressions(users: np.ndarray, items: np.ndarray, matches: Matches) -> np.ndarray:
    """Puts the matched rows of both files side by side.

    Args:
      users: rows of `USER.row_type()`.
      items: rows of `ITEM.row_type()`.
      matches: of their keys.

    Returns:
      [matches] of `COLUMNS.row_type()`.
    """
    rows = np.empty(len(matches.left), COLUMNS.row_type())
    for field in ("categorical", "numerical"):
        split = users[field].shape[1]
        rows[field][:, :split] = users[field][matches.left]
        rows[field][:, split:] = items[field][matches.right]
    label = items["label"][matches.right]
    rows["click"] = label > 0
    rows["conversion"] = label == 2
    return rows


def count_unmatched(left_out: Counter[str], domain: str, part: str, matches: Matches) -> None:
    """Adds the search ids that stand in one of a part's files only."""
    for side, count in (("user", matches.left_only), ("item", matches.right_only)):
        if count:
            left_out[f"{domain} {part}: search ids in the {side} file only"] += count


def _members(archive: zipfile.ZipFile, path: Path) -> Mapping[tuple[str, str], zipfile.ZipInfo]:
    """The four inner archives, by side and part."""
    found: dict[tuple[str, str], zipfile.ZipInfo] = {}
    for member in archive.infolist():
        if named := _MEMBER.fullmatch(member.filename):
            key = named[1].lower(), named[2].lower()
            if key in found:
                raise DataError(
                    f"{path}: {found[key].filename!r} and {member.filename!r} are both the "
                    f"{key[0]} file of {key[1]}; give one country an archive."
                )
            found[key] = member
    for side in (USER, ITEM):
        for part in _PARTS:
            if (side.name, part) not in found:
                raise DataError(
                    f"{path}: has no member <cc>_{side.name}_{part}.zip; give the archive as "
                    "published, and fetch it again if it was cut off."
                )
    return found


@contextlib.contextmanager
def _csv_text(
    path: Path, name: str, side: Side, limit: UnpackLimit
) -> Iterator[tuple[CsvText, int]]:
    """Opens the csv file in an inner archive and gives it with its size in bytes."""
    with checked_archive(path, name, limit) as archive:
        files = [member for member in archive.infolist() if _CSV.fullmatch(member.filename)]
        if len(files) != 1:
            raise DataError(f"{name}: holds {len(files)} csv files; it must hold one.")
        text = CsvText(
            open=lambda: cast(io.BufferedIOBase, archive.open(files[0])),
            at=lambda line: f"{name}/{files[0].filename}, line {line}",
            name=f"{name}/{files[0].filename}",
            separator=",",
            header=[str(k + 1) for k in range(side.width)],
            header_rows=0,
        )
        yield text, files[0].file_size
