"""Readers: raw files of many formats in, the canonical interaction log out.

A new format is one module with its options and a `READER`, and one line in `READERS`.
"""

from collections.abc import Sequence
from typing import Any

from data_pipelines.errors import DataError
from data_pipelines.logs import InteractionLog
from data_pipelines.readers import (
    amazon,
    delimited,
    movielens,
    pairs,
    peterrec,
    rechorus,
    sequences,
    syncrec,
    synthetic,
)
from data_pipelines.readers.reader import Reader

READERS: dict[str, Reader[Any, InteractionLog]] = {
    module.READER.name: module.READER
    for module in (
        amazon,
        delimited,
        movielens,
        pairs,
        peterrec,
        rechorus,
        sequences,
        syncrec,
        synthetic,
    )
}


def read(reader: str, inputs: Sequence[str] = (), options: Any = None) -> InteractionLog:
    """Reads the files with one of the readers, or draws the demo log.

    Args:
      reader: a name of `READERS`.
      inputs: paths, DOMAIN=PATH or DOMAIN=PATH@PART, as the reader's module says; none for
        `synthetic`.
      options: an instance of the reader's `options`; None for its defaults.

    Raises:
      DataError: bad input; the message names the file, line and field, or the flag.
      TypeError: the options are another reader's.
    """
    if reader not in READERS:
        raise DataError(f"--reader={reader}: the readers are {', '.join(READERS)}.")
    return READERS[reader](inputs, options)


__all__ = ["READERS", "read"]
