"""Flags from dataclasses: `--<prefix>.<field>`, declared nowhere but in the dataclass.

The help text of a flag is the field's entry in the dataclass docstring (`Attributes:`), so that
`--helpfull` documents every field.
"""

import dataclasses
import functools
import typing
from collections.abc import Callable, Sequence
from typing import Any

import docstring_parser
import fancyflags as ff
from absl import flags

from launchers import program

# The flags belong to the launcher that defines them, so that plain `--help` shows them there.
flags.disclaim_key_flags()


class _CommaSeparated(flags.ArgumentParser):
    """Parses `a,b,c`; fancyflags' own parser wants Python literals, with quotes and brackets."""

    def __init__(self, element_type: type) -> None:
        self._element_type = element_type

    def parse(self, argument: Any) -> tuple:
        if not isinstance(argument, str):
            return tuple(argument)
        parts = [part.strip() for part in argument.strip("()[]").split(",")]
        return tuple(self._element_type(part.strip("'\"")) for part in parts if part)

    def flag_type(self) -> str:
        return f"comma-separated list of {self._element_type.__name__}"


def field_documentation(config_class: type) -> dict[str, str]:
    """Returns the docstring's text for every field of a dataclass.

    Raises:
      TypeError: a field has no entry under `Attributes:`.
    """
    documented = {
        entry.arg_name: " ".join((entry.description or "").split())
        for entry in docstring_parser.parse(config_class.__doc__ or "").params
    }
    names = [field.name for field in dataclasses.fields(config_class)]
    missing = [name for name in names if not documented.get(name)]
    if missing:
        raise TypeError(f"{config_class.__name__} has undocumented fields: {', '.join(missing)}.")
    return {name: documented[name] for name in names}


def define(prefix: str, config_class: type) -> Callable[[], Any]:
    """Defines one flag `--<prefix>.<field>` for each field of a frozen dataclass.

    Args:
      prefix: the part of the flag's name before the dot, such as "peterrec".
      config_class: a dataclass whose fields have defaults and are bool, int, float, str or a
        `tuple[..., ...]` or `typing.Sequence` of these.

    Returns:
      A function without arguments that gives the dataclass with the values from the command
      line. It raises `program.FlagError`, naming the prefix, if the dataclass refuses a value.
    """
    holder = ff.DEFINE_auto(prefix, config_class, f"Holds the flags --{prefix}.<field>.")
    types = typing.get_type_hints(config_class)
    for name, text in field_documentation(config_class).items():
        flag = flags.FLAGS[f"{prefix}.{name}"]
        flag.help = text
        if typing.get_origin(types[name]) in (tuple, Sequence):
            flag.parser = _CommaSeparated(typing.get_args(types[name])[0])
    return functools.partial(_instance, prefix, holder)


def _instance(prefix: str, holder: flags.FlagHolder) -> Any:
    try:
        return holder.value()
    except (TypeError, ValueError) as error:
        raise program.FlagError(f"--{prefix}.*: {error}") from error
