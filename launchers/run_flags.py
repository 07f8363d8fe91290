"""The flags that say what a run trains: the system, its configuration, how it is evaluated.

Importing this module defines `--system`, `--workdir`, `--seed`, `--deterministic`,
`--mixed_precision`, `--read_losses_every` and a group of flags for each system and each kind of
evaluation, besides the flags of the modules that say what is read and how it is compiled.
"""

import pathlib
from typing import Any

from absl import flags

from launchers import compilation, config_flags, data_flags, program, reading_flags
from launchers.target_runs import Wish
from tfcdr.runs.step_log import READ_LOSSES_EVERY
from tfcdr.system import System
from tfcdr.systems.registry import SYSTEMS

_SYSTEM = flags.DEFINE_enum("system", "peterrec", sorted(SYSTEMS), "The system to train.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run: checkpoints, metrics.")
_SEED = flags.DEFINE_integer(
    "seed",
    0,
    "Decides weights, order of the data and every draw.",
    lower_bound=0,
    upper_bound=2**30,
)
_DETERMINISTIC = flags.DEFINE_bool(
    "deterministic", False, "Two runs give the same bits, at some cost in speed."
)
_MIXED_PRECISION = flags.DEFINE_bool(
    "mixed_precision",
    False,
    "Computes in float16 with float32 weights and a loss scale that adapts itself: faster on GPUs "
    "of compute capability 7.0 and above. What is exported computes in float32.",
)
_READ_LOSSES_EVERY = flags.DEFINE_integer(
    "read_losses_every",
    READ_LOSSES_EVERY,
    "Steps between two readings of the losses from the device, which waits for each.",
    lower_bound=1,
)
_CONFIGS = {
    name: config_flags.define(name, system.config_class) for name, system in SYSTEMS.items()
}
_EVALUATION = {
    group: config_flags.define(group, options)
    for group, options in {
        system.evaluation_group: system.evaluation_options for system in SYSTEMS.values()
    }.items()
}
flags.adopt_module_key_flags(data_flags)
flags.adopt_module_key_flags(reading_flags)
flags.adopt_module_key_flags(compilation)


def wish() -> Wish:
    """Reads the flags: a run without a baseline that starts from nothing.

    Raises:
      FlagError: a flag has a bad value, or no meaning for the system.
    """
    if not _WORKDIR.value:
        raise program.FlagError("--workdir is missing: name the folder of the run.")
    folder = pathlib.Path(_WORKDIR.value)
    system = SYSTEMS[_SYSTEM.value]
    config = _CONFIGS[system.name]()
    options = _evaluation_options(system)
    reading_flags.check(system)
    for flag in config_flags.given_flags(_CONFIGS.keys() - {system.name}):
        raise program.FlagError(
            f"--{flag} has no meaning for --system={system.name}; leave it out."
        )
    return Wish(
        system=system,
        config=config,
        options=options,
        baseline_config=None,
        workdir=folder,
        data_dir=data_flags.data_dir(default=folder / "data"),
        pretrained="",
        seed=_SEED.value,
        deterministic=_DETERMINISTIC.value,
        jit_compile=compilation.jit_compile(system),
        mixed_precision=_MIXED_PRECISION.value,
        read_losses_every=_READ_LOSSES_EVERY.value,
    )


def _evaluation_options(system: System) -> Any:
    """Reads the group of flags that the system's evaluation takes; refuses those of others."""
    own = system.evaluation_group
    for flag in config_flags.given_flags(_EVALUATION.keys() - {own}):
        raise program.FlagError(
            f"--{flag} has no meaning for --system={system.name}; leave it out."
        )
    options = _EVALUATION[own]()
    try:
        system.check_evaluation(options)
    except ValueError as error:
        raise program.FlagError(f"--{own}.*: {error}") from error
    return options
