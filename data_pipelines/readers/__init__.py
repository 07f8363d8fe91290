"""Readers: raw files of many formats in, the canonical interaction log out.

A new format is one module with a `read(inputs, options)` and one line in `READERS`.
"""

from collections.abc import Callable, Sequence

from data_pipelines.errors import DataError
from data_pipelines.logs import InteractionLog
from data_pipelines.readers import delimited, movielens, pairs, peterrec, rechorus, sequences
from data_pipelines.readers.options import ReadOptions
from data_pipelines.readers.synthetic import SyntheticOptions, draw

READERS: dict[str, Callable[[Sequence[str], ReadOptions], InteractionLog]] = {
    "csv": delimited.read,
    "movielens": movielens.read,
    "pairs": pairs.read,
    "peterrec": peterrec.read,
    "rechorus": rechorus.read,
    "sequences": sequences.read,
}
SYNTHETIC = "synthetic"
READER_NAMES = (*READERS, SYNTHETIC)


def read(
    reader: str,
    inputs: Sequence[str] = (),
    options: ReadOptions | None = None,
    synthetic: SyntheticOptions | None = None,
) -> InteractionLog:
    """Reads the files with one of the readers, or draws the demo log.

    Args:
      reader: one of `READER_NAMES`.
      inputs: paths, DOMAIN=PATH or DOMAIN=PATH@PART, as the reader's module says; none for
        `synthetic`.
      options: `--read.*`, for readers of files.
      synthetic: `--synthetic.*`, for the reader `synthetic`.

    Raises:
      DataError: bad input; the message names the file, line and field, or the flag.
    """
    options = options or ReadOptions()
    if reader == SYNTHETIC:
        options.require_only(reader, ())
        if inputs:
            raise DataError("--input has no meaning for --reader=synthetic: leave it out.")
        return draw(synthetic or SyntheticOptions())
    if reader not in READERS:
        raise DataError(f"--reader={reader}: the readers are {', '.join(READER_NAMES)}.")
    if synthetic not in (None, SyntheticOptions()):
        raise DataError(f"--synthetic.* has no meaning for --reader={reader}: leave it out.")
    return READERS[reader](inputs, options)


__all__ = ["READERS", "READER_NAMES", "SYNTHETIC", "ReadOptions", "SyntheticOptions", "read"]
