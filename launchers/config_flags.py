"""Flags from dataclasses: `--<prefix>.<field>`, declared nowhere but in the dataclass.

The help text of a flag is the field's entry in the dataclass docstring (`Attributes:`), so that
`--helpfull` documents every field.
"""

import csv
import dataclasses
import functools
import typing
from collections.abc import Callable, Container, Hashable, Mapping, Sequence
from typing import Any, NamedTuple

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
        # Double quotes around an entry hold its commas, as in csv.
        parts = next(csv.reader([argument.strip("()[]")], skipinitialspace=True), [])
        parts = [part.strip() for part in parts]
        return tuple(self._element_type(part.strip("'\"")) for part in parts if part)

    def flag_type(self) -> str:
        return f"comma-separated list of {self._element_type.__name__}"


def field_documentation(config_class: type) -> dict[str, str]:
    """Returns the docstring's text for every field of a dataclass.

    An inherited field may be documented where it is defined, or anew by the class that inherits it.

    Raises:
      TypeError: a field has no entry under `Attributes:`.
    """
    documented = {
        entry.arg_name: " ".join((entry.description or "").split())
        for base in reversed(config_class.__mro__)  # What is documented anew comes last.
        for entry in docstring_parser.parse(base.__doc__ or "").params
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
    holder = _define(prefix, config_class, field_documentation(config_class))
    return lambda: _instance(prefix, holder.value)


class ChosenFlags:
    """Flags of several dataclasses, one of which the value of another flag chooses.

    Dataclasses of one prefix share the flag of a field that has the same name. A flag that is not
    given leaves the field to the chosen dataclass, whose default may be another than its
    neighbour's.
    """

    def __init__(self, chooser: str, groups: Mapping[str, Mapping[str, type]]) -> None:
        """See `define_chosen`, which makes them."""
        self._chooser = chooser
        self._groups = groups

    def prefix(self, choice: str) -> str:
        """Returns the prefix of the flags for a value of the chooser."""
        return next(prefix for prefix, classes in self._groups.items() if choice in classes)

    def names(self, choice: str) -> list[str]:
        """Returns the names of the flags that a value of the chooser takes."""
        prefix = self.prefix(choice)
        return [
            f"{prefix}.{each.name}" for each in dataclasses.fields(self._groups[prefix][choice])
        ]

    def __call__(self, choice: str) -> Any:
        """Returns the dataclass of a value of the chooser with the values from the command line.

        Raises:
          FlagError: a flag is given that this dataclass lacks, or it refuses a value.
        """
        prefix = self.prefix(choice)
        config_class = self._groups[prefix][choice]
        own = {f"{prefix}.{field.name}": field.name for field in dataclasses.fields(config_class)}
        given = given_flags(self._groups)
        for name in given:
            if name not in own:
                raise program.FlagError(
                    f"--{name} has no meaning for --{self._chooser}={choice}: leave it out."
                )
        values = {own[name]: flags.FLAGS[name].value for name in given}
        return _instance(prefix, functools.partial(config_class, **values))


def define_chosen(chooser: str, groups: Mapping[str, Mapping[str, type]]) -> ChosenFlags:
    """Defines the flags of dataclasses, one of which another flag chooses.

    The help text of a flag says for which values of the chooser it has which meaning, if its prefix
    is that of several, and with which default, if these differ.

    Args:
      chooser: the name of that flag, such as "reader".
      groups: prefix -> value of the chooser -> dataclass, as `define` takes one. A field that
        several dataclasses of a prefix have is of one type.

    Returns:
      The flags; called with a value of the chooser, they give its dataclass.

    Raises:
      TypeError: a field has several types, or none of its dataclasses documents it.
    """
    for prefix, classes in groups.items():
        fields = {
            name: _SharedField.of(name, classes)
            for config_class in classes.values()
            for name in field_documentation(config_class)
        }
        merged = dataclasses.make_dataclass(
            prefix, [(name, field.kind, field.default) for name, field in fields.items()]
        )
        _define(prefix, merged, {name: field.help for name, field in fields.items()})
    return ChosenFlags(chooser, groups)


def given_flags(prefixes: Container[str]) -> list[str]:
    """Returns the names of the flags on the command line that have one of the prefixes."""
    return [
        name
        for name in flags.FLAGS
        if name.partition(".")[0] in prefixes and flags.FLAGS[name].present
    ]


class _SharedField(NamedTuple):
    """A field of several dataclasses as one flag.

    Attributes:
      kind: its type.
      default: its default, None where the dataclasses differ.
      help: what the flag means.
    """

    kind: Any
    default: Any
    help: str

    @classmethod
    def of(cls, name: str, classes: Mapping[str, type]) -> "_SharedField":
        """Joins what the dataclasses that have the field say about it."""
        having = {
            choice: config_class
            for choice, config_class in classes.items()
            if name in _defaults(config_class)
        }
        kinds = [typing.get_type_hints(config_class)[name] for config_class in having.values()]
        if any(kind != kinds[0] for kind in kinds):
            raise TypeError(f"field {name} has another type for each of {', '.join(having)}.")
        texts = _choices_by(lambda config_class: field_documentation(config_class)[name], having)
        defaults = _choices_by(lambda config_class: _defaults(config_class)[name], having)
        # A prefix of one choice alone names it already.
        parts = [f"{who}: {text}" for text, who in texts.items()] if len(classes) > 1 else [*texts]
        if len(defaults) == 1:
            return cls(kinds[0], next(iter(defaults)), " ".join(parts))
        values = "; ".join(f"{_as_typed(value)} for {who}" for value, who in defaults.items())
        return cls(kinds[0], None, f"{' '.join(parts)} Default: {values}.")


def _defaults(config_class: Any) -> dict[str, Any]:
    return {field.name: field.default for field in dataclasses.fields(config_class)}


def _choices_by(key: Callable[[type], Hashable], classes: Mapping[str, type]) -> dict[Any, str]:
    """Returns the choices, as a list for people, by what is the same for their dataclasses."""
    grouped: dict[Any, list[str]] = {}
    for choice, config_class in classes.items():
        grouped.setdefault(key(config_class), []).append(choice)
    return {value: ", ".join(choices) for value, choices in grouped.items()}


def _as_typed(value: Any) -> str:
    """Returns a value as a person types it behind `--flag=`, or a word for an empty one."""
    text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return text or "empty"


def _define(prefix: str, config_class: type, texts: Mapping[str, str]) -> flags.FlagHolder:
    """Defines the flags of a dataclass with these help texts."""
    holder = ff.DEFINE_auto(prefix, config_class, f"Holds the flags --{prefix}.<field>.")
    types = typing.get_type_hints(config_class)
    for name, text in texts.items():
        flag = flags.FLAGS[f"{prefix}.{name}"]
        flag.help = text
        if typing.get_origin(types[name]) in (tuple, Sequence):
            flag.parser = _CommaSeparated(typing.get_args(types[name])[0])
    return holder


def _instance(prefix: str, make: Callable[[], Any]) -> Any:
    try:
        return make()
    except (TypeError, ValueError) as error:
        raise program.FlagError(f"--{prefix}.*: {error}") from error
