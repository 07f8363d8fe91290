"""Impression logs: rows of shown items with a click and a conversion, streamed, never all held.

Readers make the canonical log of raw files. A new format is one module with a
`read(inputs, options)` and one line in `READERS`.
"""

from collections.abc import Callable, Sequence

from data_pipelines.errors import DataError
from data_pipelines.impressions import aliexpress, tables
from data_pipelines.impressions.log import ImpressionLog
from data_pipelines.impressions.options import ImpressionReadOptions, ImpressionSplitOptions
from data_pipelines.impressions.synthetic import SyntheticImpressionOptions, SyntheticLog

READERS: dict[str, Callable[[Sequence[str], ImpressionReadOptions], ImpressionLog]] = {
    "aliexpress": aliexpress.read,
    "csv": tables.read,
}
SYNTHETIC = "synthetic"
READER_NAMES = (*READERS, SYNTHETIC)


def read(
    reader: str,
    inputs: Sequence[str] = (),
    options: ImpressionReadOptions | None = None,
    synthetic: SyntheticImpressionOptions | None = None,
) -> ImpressionLog:
    """Opens the files with one of the readers, or the demo log; rows are read later.

    Args:
      reader: one of `READER_NAMES`.
      inputs: DOMAIN=PATH, optionally @PART, as the reader's module says; none for `synthetic`.
      options: `--impression_read.*`, for readers of files.
      synthetic: `--synthetic_impressions.*`, for the reader `synthetic`.

    Raises:
      DataError: bad input; the message names the file, line and column, or the flag.
    """
    options = options or ImpressionReadOptions()
    if reader == SYNTHETIC:
        options.require_only(reader, ())
        if inputs:
            raise DataError("--input has no meaning for --reader=synthetic: leave it out.")
        return SyntheticLog(synthetic or SyntheticImpressionOptions())
    if reader not in READERS:
        raise DataError(
            f"--reader={reader}: the readers of impressions are {', '.join(READER_NAMES)}."
        )
    if synthetic not in (None, SyntheticImpressionOptions()):
        raise DataError(
            f"--synthetic_impressions.* has no meaning for --reader={reader}: leave it out."
        )
    return READERS[reader](inputs, options)


__all__ = [
    "READERS",
    "READER_NAMES",
    "SYNTHETIC",
    "ImpressionReadOptions",
    "ImpressionSplitOptions",
    "SyntheticImpressionOptions",
    "read",
]
