"""Dataclasses of settings from what JSON keeps of them."""

from collections.abc import Mapping
from typing import Any


def restored(config_class: type, fields: Mapping[str, Any]) -> Any:
    """Makes a dataclass of `dataclasses.asdict`'s fields after a way through JSON.

    JSON knows no tuples; the dataclasses hold nothing else of several values.

    Raises:
      TypeError: a field is unknown.
      ValueError: the dataclass refuses a value.
    """
    return config_class(**{n: tuple(v) if isinstance(v, list) else v for n, v in fields.items()})
