"""Logs of interactions: the flags that say how they are read, split and cut into examples.

Importing this module defines the groups `--read.*`, `--synthetic.*`, `--split.*` and
`--examples.*`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from data_pipelines import distributed, readers
from data_pipelines.prepared import build
from data_pipelines.prepared.view_table import view_table
from data_pipelines.readers import synthetic
from data_pipelines.splitting import splits
from data_pipelines.splitting.split_log import SplitOptions
from data_pipelines.views import VIEWS
from data_pipelines.views.view import ExampleOptions
from launchers import config_flags, program
from launchers.log_kinds import Conversion, LogKind

_OPTIONS = {name: reader.options for name, reader in readers.READERS.items()}
# The demo log is drawn rather than read: its flags have a prefix of their own.
_SYNTHETIC = {synthetic.READER.name: _OPTIONS.pop(synthetic.READER.name)}
_READ = config_flags.define_chosen("reader", {"read": _OPTIONS, "synthetic": _SYNTHETIC})
_SPLIT = config_flags.define("split", SplitOptions)
_EXAMPLES = config_flags.define("examples", ExampleOptions)


class InteractionLogs(LogKind):
    """What users did with items of several domains, and when."""

    name = "interactions"
    views = tuple(VIEWS)
    readers = tuple(readers.READERS)

    def refuse_flags(self, views: Sequence[str]) -> None:
        """Raises FlagError if a flag of this module is given."""
        for flag in config_flags.given_flags(("read", "synthetic", "split", "examples")):
            raise program.FlagError(f"--{flag} has no meaning for view {','.join(views)}.")

    def options(self, reader: str) -> dict[str, Any]:
        """Returns how to read, to split and to cut examples."""
        return {_READ.prefix(reader): _READ(reader), "split": _SPLIT(), "examples": _EXAMPLES()}

    def recorded(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Returns them with the reader's defaults where older versions left them empty."""
        return readers.recorded_options(options)

    def build(self, conversion: Conversion) -> dict[str, Any]:
        """Reads the log and converts it by the engine that was asked for."""
        read, split, examples = self.options(conversion.reader).values()
        # Before a long log is read.
        build.check_destination(conversion.data_dir, conversion.overwrite)
        source = (conversion.reader, conversion.inputs, read)
        views, data_dir = conversion.views, conversion.data_dir
        common = {
            "overwrite": conversion.overwrite,
            "num_shards": conversion.num_shards,
            "provenance": conversion.provenance,
            "progress": conversion.progress,
        }
        if conversion.engine == "beam":
            convert, beam_options = distributed.load_conversion().convert, conversion.beam_options
            return convert(
                *source, split, views, data_dir, examples, beam_options=beam_options, **common
            )
        log = splits.split(readers.read(*source), split)
        return build.build(log, views, data_dir, examples, **common)

    def summary(self, metadata: Mapping[str, Any]) -> list[str]:
        """Returns the table of domains and splits, and one of the views."""
        return [*metadata["summary"], "", *view_table(metadata["views"])]


KIND = InteractionLogs()
