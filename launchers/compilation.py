"""The flag `--jit_compile`, whose default is the system's."""

from absl import flags

from tfcdr.system import System

_JIT_COMPILE = flags.DEFINE_bool(
    "jit_compile",
    None,
    "Compiles train steps with XLA; by default where the system gains from it. False helps "
    "debugging.",
)


def jit_compile(system: System) -> bool:
    """Whether a system's train steps are to be compiled by XLA."""
    return system.gains_from_xla() if _JIT_COMPILE.value is None else _JIT_COMPILE.value
