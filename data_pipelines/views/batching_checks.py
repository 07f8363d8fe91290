"""What the views' batching options have in common: choices, and how many items are drawn."""

from collections.abc import Mapping, Sequence
from typing import Any


def check_choices(batching: Any, choices: Mapping[str, Sequence[str]]) -> None:
    """Refuses an option whose value is not among its choices.

    Args:
      batching: a dataclass.
      choices: by field.

    Raises:
      ValueError: naming the field.
    """
    for name, allowed in choices.items():
        value = getattr(batching, name)
        if value not in allowed:
            raise ValueError(f"{name} must be one of {', '.join(allowed)}. Received: {value!r}.")


def check_not_negative(batching: Any, fields: Sequence[str]) -> None:
    """Raises ValueError, naming the field, if a number of items is below 0."""
    for name in fields:
        value = getattr(batching, name)
        if value < 0:
            raise ValueError(f"{name} must not be negative. Received: {value}.")
