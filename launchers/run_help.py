"""What `train.py --help` prints: the flags of the system that is asked for, the most used first."""

import textwrap
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from absl import flags

from launchers import data_flags
from launchers.log_kinds import LogKind
from tfcdr.system import System
from tfcdr.systems.registry import SYSTEMS

_WIDTH = 100
# Flags of absl, which defines them when it parses.
_OWN = {
    "flagfile": "Reads flags from a file; those that come behind it win.",
    "help": "This.",
    "helpfull": "All flags of all systems.",
}


class Group(NamedTuple):
    """Flags that belong together.

    Attributes:
      title: what they are about.
      names: of the flags, as `--name` without the dashes.
    """

    title: str
    names: Sequence[str]


def text() -> str:
    """Returns the help for the flags that have been parsed."""
    values = flags.FLAGS
    system = SYSTEMS[str(values["system"].value)]
    others = ", ".join(name for name in SYSTEMS if name != system.name)
    lines = [
        f"Trains a system on a data set and evaluates it. Flags of --system={system.name}",
        f"(the others are {others}); --helpfull has those of all.",
        "",
        "  python launchers/train.py --flagfile=launchers/flagfiles/demo.cfg --workdir=runs/demo",
        "  python launchers/train.py --reader=csv --input=log.csv --target=toys --workdir=runs/me",
    ]
    for group in groups(system):
        lines += ["", f"{group.title}:"]
        for name in group.names:
            lines += _described(name)
    return "\n".join(lines)


def groups(system: System) -> Iterator[Group]:
    """Gives the groups of flags that have a meaning for a system, the most used first."""
    ranks = system.log == "interactions"
    roles = ("target", "sources") if ranks else ()
    asked = ("compare_no_transfer", "report", "export", "export_dir", "pretrained")
    yield Group("The run", ("system", "workdir", *roles, *asked, "seed", "seeds"))
    yield Group(f"{system.name}, its hyperparameters", _of_prefix(system.name))
    yield Group("Evaluation", _of_prefix(system.evaluation_group))
    if ranks:
        yield Group("Examples that are cut of users' histories", _of_prefix("examples"))
    yield Group("The data set", ("data_dir", "reader", "input", "raw_dir"))
    kind = next(kind for kind in data_flags.KINDS if kind.name == system.log)
    yield from _reading(kind)
    yield Group("The page of --report", _of_prefix("titles"))
    conversion = ("num_shards", "engine", *(("beam_options",) if ranks else ()))
    devices = ("strategy", "cluster_timeout", "cpu_devices")
    speed = ("jit_compile", "mixed_precision", "read_losses_every", "deterministic")
    yield Group("Devices and speed", (*devices, *speed, *conversion))
    yield Group("This program", ("flagfile", "tensorflow_log", "help", "helpfull"))


def _reading(kind: LogKind) -> Iterator[Group]:
    """Gives the flags of the reader that is asked for, or says how to ask, and of the split."""
    reader = flags.FLAGS["reader"].value
    if reader in kind.readers:
        yield Group(f"--reader={reader}, how it reads", kind.reading_flags(reader))
    else:
        yield Group(f"Add --reader=... ({', '.join(kind.readers)}) for how it reads", ())
    yield Group("How the log is split", _of_prefix(kind.groups[-1]))


def _of_prefix(prefix: str) -> list[str]:
    """Returns the flags `--<prefix>.<field>`, in the order of the dataclass."""
    return [name for name in flags.FLAGS if name.startswith(f"{prefix}.")]


def _described(name: str) -> list[str]:
    indent = " " * 6
    if name in _OWN:
        return [f"  --{name}", f"{indent}{_OWN[name]}"]
    flag = flags.FLAGS[name]
    shown = f"--[no]{name}" if flag.boolean else f"--{name}"
    default = flag.default
    said = " ".join((flag.help or "").split())
    if not flag.boolean and default not in (None, "", [], ()):
        value = ",".join(map(str, default)) if isinstance(default, (list, tuple)) else default
        said += f" (default: {value})"
    elif flag.boolean and default:
        said += " (default: true)"
    lines = textwrap.wrap(said, _WIDTH, initial_indent=indent, subsequent_indent=indent)
    return [f"  {shown}", *lines]
