"""Reader `peterrec`: the csv files of PeterRec's release (SIGIR 2020), one user a line.

    s1,s2,s3,,t1,t2      fine-tuning: source ids, a double comma, target ids
    i1,i2,i3             pre-training: source ids only

Lines are users, named by their line number (and the file's name, if there are several files).
The padding token is dropped; ids keep their text. There are no times: the position in the line is
the rank, source and target are not comparable.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from data_pipelines.errors import DataError
from data_pipelines.logs import InteractionLog
from data_pipelines.readers.assembly import LogAssembly, line_locator, read_bad_lines
from data_pipelines.readers.options import FileOptions, Input, parse_inputs
from data_pipelines.readers.reader import Reader
from data_pipelines.readers.text_files import Lines, read_lines, split_lines

_BOUNDARY = ",,"


@dataclasses.dataclass(frozen=True)
class PeterRecOptions(FileOptions):
    """How PeterRec's files are understood.

    Attributes:
      domains: what the source and the target domain are called.
      padding: a token that only fills lines up and is dropped; empty for none.
      max_bad_lines: number of bad lines that may be skipped, in all files together; of a line with
        bad ids only these are skipped and counted.
    """

    domains: tuple[str, ...] = ("source", "target")
    padding: str = "0"

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.domains) != 2:
            raise DataError(
                f"domains are {','.join(self.domains) or 'empty'}: the peterrec reader takes two "
                "names, source,target."
            )


def read(inputs: Sequence[str], options: PeterRecOptions) -> InteractionLog:
    """Reads PeterRec's files.

    Args:
      inputs: paths.
      options: `--read.*`.

    Raises:
      DataError: names the file, line and field, or the flag.
    """
    domains = options.domains
    entries = parse_inputs(inputs, named=False)
    assembly = LogAssembly(domains, read_bad_lines(options))
    for entry in entries:
        if entry.part:
            raise DataError(f"--input={entry.path}@{entry.part}: this reader takes no @PART.")
        _add_file(entry, f"{entry.path.stem}:" if len(entries) > 1 else "", options, assembly)
    log = assembly.log(comparable_times=False)
    if log.interactions["domain"].eq(domains[1]).any():
        return log
    # Pre-training files have no target: a domain without rows would only confuse.
    return InteractionLog(log.interactions, domains[:1], False, log.skipped_lines, log.left_out)


READER = Reader("peterrec", PeterRecOptions, read)


def _add_file(entry: Input, prefix: str, options: PeterRecOptions, assembly: LogAssembly) -> None:
    lines = read_lines(entry.path)
    halves = pc.split_pattern(lines.texts, _BOUNDARY)
    counts = pc.list_value_length(halves).to_numpy(zero_copy_only=False)
    # A file has the target in every line or in none; its first line says which.
    expected = 2 if counts[0] > 1 else 1
    good = counts == expected
    if not good.all():
        first = int(np.argmin(good))
        assembly.bad_lines.add(
            int((~good).sum()),
            lambda: (
                f"{entry.path}, line {lines.numbers[first]}: {counts[first] - 1} double "
                f"commas, expected {expected - 1} as in the file's first line."
            ),
        )
        lines, halves = lines.keep(good), halves.filter(pa.array(good))
    texts = halves.flatten()
    frames, numbers = [], []
    for k in range(expected):
        half = Lines(
            texts.take(pa.array(np.arange(len(lines.numbers)) * expected + k)), lines.numbers
        )
        fields = split_lines(half.texts, ",")
        # An empty half gives one empty id, which the check of ids then reports with its line.
        line = half.numbers[fields.line_of_token()]
        rows = pd.DataFrame(
            {
                "user_id": prefix + pd.Series(line).astype("str"),
                "item_id": pd.Series(fields.tokens.to_pandas(), dtype="str"),
                "timestamp": fields.position_in_line(),
            }
        )
        rows["domain"] = options.domains[k]
        if options.padding:
            kept = (rows["item_id"] != options.padding).to_numpy()
            rows, line = rows[kept], line[kept]
        frames.append(rows)
        numbers.append(line)
    rows = pd.concat(frames, ignore_index=True)
    assembly.add(rows, line_locator(entry.path, np.concatenate(numbers)))
