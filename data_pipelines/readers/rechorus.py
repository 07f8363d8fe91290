"""Reader `rechorus`: a folder as ReChorus (github.com/THUwangcy/ReChorus) prepares its data.

`train.csv`, `dev.csv` and `test.csv` have tabs between fields and the columns `user_id`, `item_id`
and `time`; the last two also have `neg_items`, the items that each interaction is ranked among:

    user_id item_id time    neg_items
    1       10      1356998400      [1233, 7, 5310]

The three files are the parts of a split that came with the data, for `--split.kind=given`. The
folder is one domain, `--input=DOMAIN=FOLDER`.
"""

import dataclasses
import pathlib
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from data_pipelines.errors import DataError
from data_pipelines.logs import InteractionLog
from data_pipelines.readers.assembly import LogAssembly, read_bad_lines
from data_pipelines.readers.csv_text import exactly, read_columns
from data_pipelines.readers.options import DomainByOptions, input_domains, parse_inputs
from data_pipelines.readers.reader import Reader

_FILES = {"train": "train.csv", "validation": "dev.csv", "test": "test.csv"}
_COLUMNS = ("user_id", "item_id", "time")

_Table = tuple[pd.DataFrame, Callable[[int], str]]


@dataclasses.dataclass(frozen=True)
class ReChorusOptions(DomainByOptions):
    """How the folder is understood; its layout leaves nothing else to say."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_domain_by("rechorus", "file")


def read(inputs: Sequence[str], options: ReChorusOptions) -> InteractionLog:
    """Reads the three files of the folder.

    Args:
      inputs: DOMAIN=FOLDER, one entry.
      options: `--read.*`.

    Raises:
      DataError: names the file, line and field, or the flag. A line is bad, too, if one of its
        `neg_items` is in none of the three files or is its own `item_id`, or if their number is
        not that of the file's other lines.
    """
    entries = parse_inputs(inputs, named=True)
    # Each folder holds out interactions of its own, so that none could be another one's source.
    if len(entries) > 1:
        raise DataError(
            f"--input names {len(entries)} folders: the rechorus reader takes one, whose split "
            "cannot go with those of others."
        )
    (entry,) = entries
    if entry.part:
        raise DataError(
            f"--input={entry.domain}={entry.path}@{entry.part}: the rechorus reader takes a "
            "folder with all three parts; leave the part out."
        )
    if not entry.path.is_dir():
        raise DataError(f"{entry.path}: no such folder; check --input.")
    assembly = LogAssembly(input_domains(entries, options), read_bad_lines(options))
    tables = {part: _read_part(entry.path, part, assembly) for part in _FILES}
    known = pd.Index(np.concatenate([rows["item_id"].unique() for rows, _ in tables.values()]))
    for part, (rows, locate) in tables.items():
        rows = rows.rename(columns={"time": "timestamp"})
        rows = rows.assign(domain=entry.domain, part=part, negatives="")
        if part != "train":
            rows, locate = _with_negatives(rows, locate, known, assembly)
        assembly.add(rows, locate)
    log = assembly.log(comparable_times=True)
    if log.skipped_lines:
        _check_negatives_are_left(log, entry.path)
    return log


READER = Reader("rechorus", ReChorusOptions, read)


def _read_part(folder: pathlib.Path, part: str, assembly: LogAssembly) -> _Table:
    path = folder / _FILES[part]
    wanted = _COLUMNS if part == "train" else (*_COLUMNS, "neg_items")

    names = exactly(path, wanted, "with tabs between, the header is")
    return read_columns(path, names, "\t", assembly.bad_lines)


def _with_negatives(
    rows: pd.DataFrame, locate: Callable[[int], str], known: pd.Index, assembly: LogAssembly
) -> _Table:
    """Puts `neg_items` into the log's form and rejects lines whose items cannot be right.

    Args:
      rows: of a held-out part, with `item_id` and `neg_items`.
      locate: says "FILE, line N" for a row.
      known: every item of the log.
      assembly: counts the bad lines.
    """
    rows = rows.reset_index(drop=True)
    texts = rows["neg_items"].str.strip()
    lists = texts.str.removeprefix("[").str.removesuffix("]").str.split(",")
    items = lists.explode().str.strip().str.strip("'\"")
    problems = pd.Series("", index=rows.index, dtype=object)

    def note(found: pd.Series, text: str) -> None:
        """Describes the first bad value of each row."""
        for row, value in found[~found.index.duplicated()].items():
            problems[row] = f"neg_items: {value!r} {text}"

    note(items[~items.isin(known)], "is in none of the three files; remove it.")
    of_row = rows["item_id"].loc[items.index].to_numpy()
    note(items[items.to_numpy() == of_row], "is the line's own item_id; remove it.")
    counts = lists.str.len()
    usual = counts.mode().iloc[0]
    note(counts[counts != usual], f"items, most lines have {usual}; give each line as many.")
    note(texts[~texts.str.fullmatch(r"\[.*\]")], "is not a list like [12, 7].")
    rows["negatives"] = items.groupby(level=0).agg("\t".join)
    return assembly.without(
        rows, (problems != "").to_numpy(bool), locate, lambda row: str(problems.iloc[row])
    )


def _check_negatives_are_left(log: InteractionLog, folder: pathlib.Path) -> None:
    """Raises DataError if all lines of an item were skipped that others have as a negative."""
    rows = log.interactions
    items = rows["negatives"][rows["negatives"] != ""].str.split("\t").explode()
    lost = items[~items.isin(rows["item_id"])]
    if lost.empty:
        return
    row = rows.loc[lost.index[0]]
    raise DataError(
        f"{folder / _FILES[row['part']]}: neg_items of user_id {row['user_id']!r}, item_id "
        f"{row['item_id']!r} hold {lost.iloc[0]!r}, an item that is only in lines that were "
        "skipped as bad; mend those."
    )
