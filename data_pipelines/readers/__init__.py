"""Readers: raw files of many formats in, the canonical interaction log out.

A new format is one module with its options and a `READER`, and one line in `READERS`.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from data_pipelines.errors import DataError
from data_pipelines.logs import InteractionLog
from data_pipelines.readers import (
    delimited,
    movielens,
    pairs,
    peterrec,
    rechorus,
    sequences,
    synthetic,
)
from data_pipelines.readers.reader import Reader

READERS: dict[str, Reader[Any, InteractionLog]] = {
    module.READER.name: module.READER
    for module in (delimited, movielens, pairs, peterrec, rechorus, sequences, synthetic)
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


def recorded_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what the metadata of a data set say of its making, as they say it today.

    Data sets used to hold the options of all readers, `read` beside `synthetic`. Where an
    interaction's domain stands, the names of the domains and the padding could be empty there for
    the reader's own default, which the reader's options now name.

    Args:
      options: the entry `options` of the metadata, of this version or of an older one.
    """
    reader = READERS.get(options.get("reader", ""))
    if reader is None or not {"read", "synthetic"} <= options.keys():
        return dict(options)
    defaults = dataclasses.asdict(reader.options())
    read = dict(options["read"])
    for name in ("domain_by", "domains", "padding"):
        if name in defaults:
            read[name] = read[name] or defaults[name]
    return {**options, "read": read}


__all__ = ["READERS", "read", "recorded_options"]
