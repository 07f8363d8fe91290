"""The flags that say how impressions are read, split and drawn, for view `impression`.

Importing this module defines the groups `--impression_read.*`, `--impression_split.*` and
`--synthetic_impressions.*`.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import flags

from data_pipelines import impressions
from data_pipelines.impressions import build as impression_build
from launchers import config_flags, program

VIEW = "impression"

_GROUPS = {
    "impression_read": impressions.ImpressionReadOptions,
    "impression_split": impressions.ImpressionSplitOptions,
    "synthetic_impressions": impressions.SyntheticImpressionOptions,
}
_OPTIONS = {name: config_flags.define(name, group) for name, group in _GROUPS.items()}


def provenance() -> dict[str, Any]:
    """How impressions are prepared, for the metadata, by group and field."""
    return {name: dataclasses.asdict(options()) for name, options in _OPTIONS.items()}


def build(folder: Path, reader: str, inputs: Sequence[str], **common: Any) -> dict[str, Any]:
    """Writes a data set of impressions as the flags say.

    Args:
      folder: where it goes.
      reader: one of `impressions.READER_NAMES`.
      inputs: of the reader.
      **common: further arguments of `impressions.build.build`.

    Returns:
      The metadata, as in `prepared.json`.

    Raises:
      FlagError: a flag has a bad value.
      DataError: bad input or an unwilling folder; nothing has been written.
    """
    if reader not in impressions.READER_NAMES:
        raise program.FlagError(
            f"--reader={reader} reads no impressions: view {VIEW} takes "
            f"{', '.join(impressions.READER_NAMES)}."
        )
    read, split, synthetic = (_OPTIONS[name]() for name in _GROUPS)
    log = impressions.read(reader, inputs, read, synthetic)
    return impression_build.build(log, split, folder, field_sizes=read.field_sizes, **common)


def refuse() -> None:
    """Raises FlagError if a flag of this module is given, for views of interactions."""
    for name in flags.FLAGS:
        if name.partition(".")[0] in _GROUPS and flags.FLAGS[name].present:
            raise program.FlagError(f"--{name} has no meaning without --view={VIEW}.")
