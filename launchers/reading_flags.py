"""The flags that say what a run reads of a data set: its domains' roles, how examples are cut.

Importing this module defines `--target`, `--sources` and the group `--examples.*`.
"""

from absl import flags

from data_pipelines.prepared.dataset import PreparedData
from data_pipelines.prepared.reading import Source
from data_pipelines.views.example_options import ExampleOptions
from launchers import config_flags, program, run_sources
from tfcdr.system import System
from tfcdr.systems.registry import SYSTEMS

_TARGET = flags.DEFINE_list(
    "target",
    [],
    "Domains whose held-out interactions are predicted, comma-separated, or all; each gets figures "
    "and a model of its own, or all share one, as in --system=syncrec. Empty: every domain is a "
    "source, for pre-training alone, as by --peterrec.stages=pretrain.",
)
_SOURCES = flags.DEFINE_list(
    "sources",
    [],
    "Domains whose histories are read besides, comma-separated. Empty: all others; where targets "
    "share what is pre-trained, all that are no targets.",
)
EXAMPLES = "examples"
examples = config_flags.define(EXAMPLES, ExampleOptions)


def check(system: System) -> None:
    """Raises FlagError if a flag has a bad value, or no meaning for the system."""
    examples()
    if system.log == "interactions":
        return
    several = [name for name, other in SYSTEMS.items() if other.log == "interactions"]
    given = [flag.name for flag in (_TARGET, _SOURCES) if flag.present]
    for flag in [*given, *config_flags.given_flags((EXAMPLES,))]:
        raise program.FlagError(
            f"--{flag} has no meaning for --system={system.name}, whose only target "
            "--impression_split.target names when the data are converted; "
            f"{', '.join(sorted(several))} take any domains."
        )


def sources(
    prepared: PreparedData,
    system: System,
    config: object,
    options: ExampleOptions | None = None,
) -> dict[str, Source]:
    """Returns what the run reads for each of its targets; see `run_sources.sources`.

    Args:
      prepared: the data set.
      system: what is trained.
      config: its configuration.
      options: how examples are cut; None for what the flags say.

    Raises:
      FlagError: a flag has a bad value.
    """
    options = options or examples()
    named = _TARGET.value, _SOURCES.value
    return run_sources.sources(prepared, system, config, *named, options)
