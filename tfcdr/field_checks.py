"""What the configurations' fields have in common: choices, and numbers above a bound."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def check_choices(config: Any, choices: Mapping[str, Sequence[str]]) -> None:
    """Refuses a field whose value is not among its choices.

    Args:
      config: a dataclass.
      choices: by field.

    Raises:
      ValueError: naming the field.
    """
    for name, allowed in choices.items():
        value = getattr(config, name)
        if value not in allowed:
            raise ValueError(f"{name} must be one of {', '.join(allowed)}. Received: {value!r}.")


def check_positive(config: Any, names: Iterable[str]) -> None:
    """Raises ValueError if one of these fields is not above 0."""
    for name in names:
        if not getattr(config, name) > 0:  # also refuses what is not a number
            raise ValueError(f"{name} must be positive. Received: {getattr(config, name)}.")


def check_not_negative(config: Any, names: Iterable[str]) -> None:
    """Raises ValueError if one of these fields is not at least 0."""
    for name in names:
        if not getattr(config, name) >= 0:
            raise ValueError(f"{name} must be at least 0. Received: {getattr(config, name)}.")
