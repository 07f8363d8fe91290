"""What a search varies: a TOML file that names fields of the dataclasses behind the flags.

    [timirec]                                                # --timirec.<field>
    interests = [1, 2, 4]                                    # one of these
    pretrain_learning_rate = {low = 1e-4, high = 1e-2, log = true}
    dropout = {low = 0.0, high = 0.5, step = 0.1}

    [examples]                                               # --examples.<field>
    max_length = [20, 50]

A field of several values takes texts as on the command line: `dilations = ["1,4", "1,2,4"]`.
"""

import dataclasses
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from absl import flags
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import Trial

from launchers import program

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_RANGE_KEYS = {"low", "high", "log", "step"}


@dataclasses.dataclass(frozen=True)
class SearchSpace:
    """The fields that a search varies and the values that they may take.

    Attributes:
      fields: by flag, such as "timirec.interests", Optuna's distribution of its values.
    """

    fields: Mapping[str, BaseDistribution]

    def suggest(self, trial: Trial) -> dict[str, Any]:
        """Lets a trial choose a value for each field; as `trial.params` holds them."""
        return {name: _suggest(trial, name, values) for name, values in self.fields.items()}

    def known(self, groups: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the values that dataclasses have already, as far as the search may choose them.

        Args:
          groups: a dataclass by group of flags.
        """
        values = {}
        for name, distribution in self.fields.items():
            group, _, field = name.partition(".")
            value = getattr(groups[group], field)
            value = ",".join(map(str, value)) if isinstance(value, tuple) else value
            if _may_choose(distribution, value):
                values[name] = value
        return values


def read(path: str, groups: Mapping[str, Any]) -> SearchSpace:
    """Reads a search file.

    Args:
      path: of the file.
      groups: what may be searched: a dataclass instance by group of flags.

    Raises:
      FlagError: the file cannot be read, names an unknown field, or values that the field refuses.
    """
    try:
        tables = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise program.FlagError(f"--search={path}: cannot be read ({error.strerror}).") from error
    except ValueError as error:  # not UTF-8, or no TOML: says line and column
        raise program.FlagError(f"--search={path}: no TOML file: {error}.") from error
    fields = {}
    for group, table in tables.items():
        if group not in groups or not isinstance(table, dict):
            raise program.FlagError(
                f"--search={path}: {group!r} is none of the groups that can be searched: "
                f"{', '.join(f'[{name}]' for name in groups)}."
            )
        for field, values in table.items():
            where = f"--search={path}: [{group}] {field}"
            fields[f"{group}.{field}"] = _distribution(where, groups, group, field, values)
    if not fields:
        raise program.FlagError(f"--search={path}: names no field; nothing can be searched.")
    return SearchSpace(fields)


def with_values(groups: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns dataclasses in which fields have other values.

    Args:
      groups: a dataclass by group of flags.
      values: by flag, as `SearchSpace.suggest` gives them.

    Raises:
      ValueError: a dataclass refuses its values.
    """
    changed: dict[str, dict[str, Any]] = {group: {} for group in groups}
    for name, value in values.items():
        group, _, field = name.partition(".")
        changed[group][field] = flags.FLAGS[name].parser.parse(value)
    return {
        group: dataclasses.replace(options, **changed[group]) for group, options in groups.items()
    }


def _distribution(
    where: str, groups: Mapping[str, Any], group: str, field: str, values: Any
) -> BaseDistribution:
    """Returns Optuna's distribution of a field, all of whose bounds the dataclass accepts."""
    options = groups[group]
    known = [each.name for each in dataclasses.fields(options)]
    if field not in known:
        raise program.FlagError(f"{where}: no such field; there are {', '.join(known)}.")
    kind = type(getattr(options, field))
    distribution: BaseDistribution
    try:
        if isinstance(values, list) and values:
            distribution, bounds = CategoricalDistribution(values), values
        elif isinstance(values, dict):
            distribution = within = _range(kind, values)
            bounds = [within.low, within.high]
        else:
            raise ValueError("write a list of values, or {low = ..., high = ...}")
        for value in bounds:
            _check_kind(kind, value)
            with_values({group: options}, {f"{group}.{field}": value})
    except (TypeError, ValueError) as error:
        raise program.FlagError(f"{where}: {error}") from error
    return distribution


def _range(kind: type, values: Mapping[str, Any]) -> IntDistribution | FloatDistribution:
    """Returns the distribution of a numeric field between two bounds."""
    if kind not in (int, float):
        raise ValueError("only numbers have a range; write a list of values")
    unknown = values.keys() - _RANGE_KEYS
    if unknown or not {"low", "high"} <= values.keys():
        raise ValueError("a range has low and high, and may have log and step")
    numbers = [values[name] for name in ("low", "high", "step") if name in values]
    if kind is int and not all(type(number) is int for number in numbers):
        raise ValueError("the field takes integers")
    distribution = IntDistribution if kind is int else FloatDistribution
    return distribution(**values)


def _check_kind(kind: type, value: Any) -> None:
    """Raises TypeError unless a value of the file is of a field's kind."""
    if kind is tuple:
        if not isinstance(value, str):
            raise TypeError('a field of several values takes texts, as in ["1,2", "4"]')
    elif type(value) is not kind and not (kind is float and type(value) is int):
        raise TypeError(f"{value!r} is no {kind.__name__}")


def _may_choose(values: BaseDistribution, value: Any) -> bool:
    if isinstance(values, CategoricalDistribution):
        return value in values.choices
    if not isinstance(values, IntDistribution | FloatDistribution):
        return False
    on_grid = values.step is None or math.isclose((value - values.low) % values.step, 0)
    return values.low <= value <= values.high and on_grid


def _suggest(trial: Trial, name: str, values: BaseDistribution) -> Any:
    if isinstance(values, CategoricalDistribution):
        return trial.suggest_categorical(name, values.choices)
    if isinstance(values, IntDistribution):
        return trial.suggest_int(name, values.low, values.high, step=values.step, log=values.log)
    if isinstance(values, FloatDistribution):
        return trial.suggest_float(name, values.low, values.high, step=values.step, log=values.log)
    raise TypeError(f"{name} is drawn from no {type(values).__name__}.")
