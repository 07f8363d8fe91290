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


def check_drawn(batching: Any) -> None:
    """Raises ValueError unless `negatives` is at least 1 and `candidates` at least 0."""
    if batching.negatives < 1:
        raise ValueError(f"negatives must be at least 1. Received: {batching.negatives}.")
    if batching.candidates < 0:
        raise ValueError(f"candidates must not be negative. Received: {batching.candidates}.")
