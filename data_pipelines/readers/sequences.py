"""Reader `sequences`: a user's items in the order of time, one user a line.

    1 8648 5218 5532          user, then items (lines_start_with_user, the default)
    -1,-1,661,2918            items only: separator=",", padding=-1, lines_start_with_user=false

With one file for each domain (`--input=DOMAIN=PATH`), positions of different files are not
comparable. One file with the items of all domains in their joint order, told apart by
`--read.domain_by=item_range --read.item_ranges=Toys:1:37868,Games:37869:49603`, gives timestamps
(places in the file) that are comparable within each user.
"""

import dataclasses
import pathlib
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow as pa

from data_pipelines.errors import DataError
from data_pipelines.logs import BadLines, InteractionLog
from data_pipelines.readers.assembly import LogAssembly, line_locator, read_bad_lines
from data_pipelines.readers.options import ItemRangeOptions, input_domains, parse_inputs
from data_pipelines.readers.reader import Reader
from data_pipelines.readers.text_files import read_lines, split_lines


@dataclasses.dataclass(frozen=True)
class SequencesOptions(ItemRangeOptions):
    """How sequence files are understood.

    Attributes:
      domain_by: where an interaction's domain stands: file (inputs are DOMAIN=PATH) or item_range.
      separator: sign between ids, empty for blanks and tabs.
      lines_start_with_user: whether the first id of a line is the user; if not, every line is a
        user of its own, named by its line number.
      padding: a token that only fills lines up and is dropped; empty for none.
      max_bad_lines: number of bad lines that may be skipped, in all files together; of a line with
        bad ids only these are skipped and counted.
    """

    separator: str = ""
    lines_start_with_user: bool = True
    padding: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_domain_by("sequences", "file", "item_range")


def read(inputs: Sequence[str], options: SequencesOptions) -> InteractionLog:
    """Reads sequence files.

    Args:
      inputs: DOMAIN=PATH, or PATH with domain_by=item_range.
      options: `--read.*`.

    Raises:
      DataError: names the file, line and field, or the flag.
    """
    domain_by, ranges = options.domain_by, options.ranges()
    entries = parse_inputs(inputs, named=domain_by == "file")
    if domain_by == "file":
        domains = input_domains(entries, options)
    elif len(entries) > 1 or options.domains:
        raise DataError("--read.domain_by=item_range: give one --input and no --read.domains.")
    else:
        domains = tuple(ranges)
    if not options.lines_start_with_user and len({entry.domain for entry in entries}) > 1:
        raise DataError(
            "--read.lines_start_with_user=false: lines of different domains have no common users."
        )

    assembly = LogAssembly(domains, read_bad_lines(options))
    start = 0
    for entry in entries:
        if entry.part:
            raise DataError(f"--input={entry.path}@{entry.part}: this reader takes no @PART.")
        # Lines of several files with the same number are different users.
        user_prefix = f"{entry.path.stem}:" if len(entries) > 1 else ""
        rows, numbers = _read_file(entry.path, user_prefix, start, options, assembly.bad_lines)
        start += len(rows)
        locate = line_locator(entry.path, numbers)
        if domain_by == "file":
            rows["domain"] = entry.domain
        else:
            rows, locate = assembly.by_item_range(rows, ranges, locate)
        assembly.add(rows, locate)
    return assembly.log(comparable_times=domain_by == "item_range")


READER = Reader("sequences", SequencesOptions, read)


def _read_file(
    path: pathlib.Path,
    user_prefix: str,
    start: int,
    options: SequencesOptions,
    bad_lines: BadLines,
) -> tuple[pd.DataFrame, np.ndarray]:
    """A file's user_id, item_id and timestamp (from `start` on); and each row's line number."""
    lines = read_lines(path)
    fields = split_lines(lines.texts, options.separator)
    line = fields.line_of_token()
    items = _texts(fields.tokens)
    if options.lines_start_with_user:
        lonely = fields.lengths < 2
        if lonely.any():
            first = int(np.argmax(lonely))
            bad_lines.add(
                int(lonely.sum()),
                lambda: (
                    f"{path}, line {lines.numbers[first]}: a user and no item; is "
                    "--read.separator right?"
                ),
            )
        is_user = fields.position_in_line() == 0
        users = items[is_user].reset_index(drop=True).take(line[~is_user])
        items, line = items[~is_user], line[~is_user]
    else:
        users = user_prefix + pd.Series(lines.numbers[line]).astype("str")
    rows = pd.DataFrame(
        {
            "user_id": users.array,
            "item_id": items.array,
            "timestamp": np.arange(start, start + len(items)),
        }
    )
    numbers = lines.numbers[line]
    if options.padding:
        kept = (rows["item_id"] != options.padding).to_numpy()
        rows, numbers = rows[kept], numbers[kept]
    return rows, numbers


def _texts(values: pa.Array) -> pd.Series:
    return pd.Series(values.to_pandas(), dtype="str")
