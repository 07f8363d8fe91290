r"""Reader `pairs`: one `user item` or `user item rating` a line, blanks or tabs between.

Every file belongs to one domain, and may be one part of a split that came with the data:
`--input=DOMAIN=PATH` or `--input=DOMAIN=PATH@PART`, PART being train, validation or test. The order
of lines (and of a domain's files) is all that is known about time.

Benchmarks for users who are cold in the target often number the shared users first and the users
of one domain after them, anew in each domain. `--read.shared_users_below=N` keeps those apart: ids
from N on get their domain's name as prefix. Amazon Game and Video as published with CDRIB
(ICDE 2022, github.com/cjx96/CDRIB) is such a set. Its folder `game_video` holds the Game domain,
the folder `video_game` the Video domain; user ids below 2,179 are shared. `train.txt` are the
interactions for training; `valid.txt` and `test.txt` are the random halves of all interactions of
one tenth of the shared users, who are absent from that domain's `train.txt` and present in the
other's. The direction Video to Game reads, with `--split.kind=given`,

    --input=Video=video_game/train.txt@train,Game=game_video/train.txt@train,\
    Game=game_video/valid.txt@validation,Game=game_video/test.txt@test

and leaves Video's `valid.txt` and `test.txt` out, which are the answers of the other direction.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pandas as pd

from data_pipelines.errors import DataError
from data_pipelines.logs import InteractionLog
from data_pipelines.readers.assembly import LogAssembly, line_locator, read_bad_lines
from data_pipelines.readers.cells import whole_numbers
from data_pipelines.readers.options import DomainByOptions, input_domains, parse_inputs
from data_pipelines.readers.reader import Reader
from data_pipelines.readers.text_files import read_lines, split_columns


@dataclasses.dataclass(frozen=True)
class PairsOptions(DomainByOptions):
    """How pair files are understood.

    Attributes:
      shared_users_below: user ids below this number are the same person in every domain, the others
        belong to one domain and get its name as prefix. 0: every id is shared.
    """

    shared_users_below: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_domain_by("pairs", "file")
        if self.shared_users_below < 0:
            raise DataError(
                f"shared_users_below is {self.shared_users_below}: it must not be negative."
            )


def read(inputs: Sequence[str], options: PairsOptions) -> InteractionLog:
    """Reads pair files.

    Args:
      inputs: DOMAIN=PATH or DOMAIN=PATH@PART.
      options: `--read.*`.

    Raises:
      DataError: names the file, line and field, or the flag.
    """
    entries = parse_inputs(inputs, named=True)
    domains = input_domains(entries, options)
    assembly = LogAssembly(domains, read_bad_lines(options))
    next_rank = dict.fromkeys(domains, 0)
    for entry in entries:
        lines = read_lines(entry.path)
        columns, numbers = split_columns(entry.path, lines, (2, 3), "", assembly.bad_lines)
        names = ("user_id", "item_id", "rating")[: len(columns)]
        rows = pd.DataFrame(
            {
                name: pd.Series(column.to_pandas(), dtype="str")
                for name, column in zip(names, columns, strict=True)
            }
        )
        rows["domain"] = entry.domain
        start = next_rank[entry.domain]
        rows["timestamp"] = np.arange(start, start + len(rows))
        next_rank[entry.domain] += len(rows)
        if entry.part:
            rows["part"] = entry.part
        locate = line_locator(entry.path, numbers)
        if options.shared_users_below:
            users, numeric = whole_numbers(rows["user_id"])
            rows, locate = assembly.reject(
                rows,
                ~numeric,
                locate,
                "user_id",
                "is not a whole number, which --read.shared_users_below needs.",
            )
            private = pd.Series(users[numeric] >= options.shared_users_below, index=rows.index)
            prefixed = f"{entry.domain}:" + rows["user_id"]
            rows = rows.assign(user_id=rows["user_id"].where(~private, prefixed))
        assembly.add(rows, locate)
    return assembly.log(comparable_times=False)


READER = Reader("pairs", PairsOptions, read)
