"""Impression logs: rows of shown items with a click and a conversion, streamed, never all held.

Readers make the canonical log of raw files. A new format is one module with its options and a
`READER`, and one line in `READERS`.
"""

from collections.abc import Sequence
from typing import Any

from data_pipelines.errors import DataError
from data_pipelines.impressions import aliexpress, synthetic, tables
from data_pipelines.impressions.log import ImpressionLog
from data_pipelines.readers.reader import Reader

READERS: dict[str, Reader[Any, ImpressionLog]] = {
    module.READER.name: module.READER for module in (aliexpress, tables, synthetic)
}


def read(reader: str, inputs: Sequence[str] = (), options: Any = None) -> ImpressionLog:
    """Opens the files with one of the readers, or the demo log; rows are read later.

    Args:
      reader: a name of `READERS`.
      inputs: DOMAIN=PATH, optionally @PART, as the reader's module says; none for `synthetic`.
      options: an instance of the reader's `options`; None for its defaults.

    Raises:
      DataError: bad input; the message names the file, line and column, or the flag.
      TypeError: the options are another reader's.
    """
    if reader not in READERS:
        raise DataError(f"--reader={reader}: the readers of impressions are {', '.join(READERS)}.")
    return READERS[reader](inputs, options)


__all__ = ["READERS", "read"]
