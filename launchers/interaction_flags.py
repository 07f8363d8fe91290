"""Logs of interactions: the flags that say how they are read and split.

Importing this module defines the groups `--read.*`, `--synthetic.*` and `--split.*`.
"""

from typing import Any

from data_pipelines import distributed, readers
from data_pipelines.prepared import build
from data_pipelines.readers import synthetic
from data_pipelines.splitting import splits
from data_pipelines.splitting.split_log import SplitOptions
from launchers import config_flags, program
from launchers.log_kinds import Conversion, LogKind

_OPTIONS = {name: reader.options for name, reader in readers.READERS.items()}
# The demo log is drawn rather than read: its flags have a prefix of their own.
_SYNTHETIC = {synthetic.READER.name: _OPTIONS.pop(synthetic.READER.name)}
_READ = config_flags.define_chosen("reader", {"read": _OPTIONS, "synthetic": _SYNTHETIC})
_SPLIT = config_flags.define("split", SplitOptions)


class InteractionLogs(LogKind):
    """What users did with items of several domains, and when."""

    name = "interactions"
    readers = tuple(readers.READERS)
    groups = ("read", "synthetic", "split")

    def refuse_flags(self, log: str) -> None:
        """Raises FlagError if a flag of this module is given."""
        for flag in config_flags.given_flags(self.groups):
            raise program.FlagError(f"--{flag} has no meaning for a log of {log}.")

    def reading_flags(self, reader: str) -> list[str]:
        """Returns the names of the flags that one of the readers takes."""
        return _READ.names(reader)

    def options(self, reader: str) -> dict[str, Any]:
        """Returns how to read and to split."""
        return {_READ.prefix(reader): _READ(reader), "split": _SPLIT()}

    def build(self, conversion: Conversion) -> dict[str, Any]:
        """Reads the log and converts it by the engine that was asked for."""
        read, split = self.options(conversion.reader).values()
        # Before a long log is read.
        build.check_destination(conversion.data_dir, conversion.overwrite)
        source = (conversion.reader, conversion.inputs, read)
        common: dict[str, Any] = {
            "overwrite": conversion.overwrite,
            "num_shards": conversion.num_shards,
            "provenance": conversion.provenance,
            "progress": conversion.progress,
        }
        if conversion.engine == "beam":
            convert, beam_options = distributed.load_conversion().convert, conversion.beam_options
            return convert(*source, split, conversion.data_dir, beam_options=beam_options, **common)
        log = splits.split(readers.read(*source), split)
        return build.build(log, conversion.data_dir, **common)


KIND = InteractionLogs()
