"""Logs of impressions: the flags that say how they are read, drawn and split.

Importing this module defines the groups `--impression_read.*`, `--synthetic_impressions.*` and
`--impression_split.*`.
"""

from typing import Any

from data_pipelines import impressions
from data_pipelines.impressions import build, synthetic
from data_pipelines.impressions.options import ImpressionSplitOptions
from launchers import config_flags, program
from launchers.log_kinds import Conversion, LogKind

_OPTIONS = {name: reader.options for name, reader in impressions.READERS.items()}
# The demo log is drawn rather than read: its flags have a prefix of their own.
_SYNTHETIC = {synthetic.READER.name: _OPTIONS.pop(synthetic.READER.name)}
_READ = config_flags.define_chosen(
    "reader", {"impression_read": _OPTIONS, "synthetic_impressions": _SYNTHETIC}
)
_SPLIT = config_flags.define("impression_split", ImpressionSplitOptions)


class ImpressionLogs(LogKind):
    """Rows of shown items with a click and a conversion."""

    name = "impressions"
    readers = tuple(impressions.READERS)
    groups = ("impression_read", "synthetic_impressions", "impression_split")

    def refuse_flags(self, log: str) -> None:
        """Raises FlagError if a flag of this module is given."""
        for flag in config_flags.given_flags(self.groups):
            raise program.FlagError(f"--{flag} has no meaning for a log of {log}.")

    def reading_flags(self, reader: str) -> list[str]:
        """Returns the names of the flags that one of the readers takes."""
        return _READ.names(reader)

    def options(self, reader: str) -> dict[str, Any]:
        """Returns how to read and to split."""
        return {_READ.prefix(reader): _READ(reader), "impression_split": _SPLIT()}

    def build(self, conversion: Conversion) -> dict[str, Any]:
        """Streams the log into a data set."""
        if conversion.engine != "local":
            raise program.FlagError(
                f"--engine={conversion.engine} has no meaning for impressions, which are streamed "
                "by this process."
            )
        read, split = self.options(conversion.reader).values()
        log = impressions.read(conversion.reader, conversion.inputs, read)
        return build.build(
            log,
            split,
            conversion.data_dir,
            field_sizes=log.field_sizes,
            overwrite=conversion.overwrite,
            num_shards=conversion.num_shards,
            provenance=conversion.provenance,
            progress=conversion.progress,
        )


KIND = ImpressionLogs()
