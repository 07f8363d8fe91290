"""Small files of a run, read and written in one guarded way."""

import contextlib
import json
import pathlib
import re
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from tfcdr.errors import RunError

# How TensorFlow names the operation that failed.
_OPERATION = re.compile(r"\{\{function_node [^}]*\}\}|\[Op:\w+\](\s*name:\s*)?")


def read_text(path: pathlib.Path, remedy: str) -> str:
    """Reads a text file.

    Args:
      path: the file.
      remedy: what to do if it cannot be read.

    Raises:
      RunError: the file is missing, cannot be read or is no text.
    """
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise RunError(f"{path}: cannot be read ({error.strerror}); {remedy}.") from error
    except ValueError as error:
        raise RunError(f"{path}: damaged ({error}); {remedy}.") from error


def read_object(path: pathlib.Path, remedy: str) -> dict[str, Any]:
    """Reads a JSON file that holds an object; see `read_text`."""
    try:
        value = json.loads(read_text(path, remedy))
    except (ValueError, RecursionError) as error:
        if isinstance(error, RunError):
            raise
        raise RunError(f"{path}: damaged ({error}); {remedy}.") from error
    if not isinstance(value, dict):
        raise RunError(f"{path}: damaged (it holds no object); {remedy}.")
    return value


def _plain(message: str) -> str:
    """TensorFlow's message without what it says of itself; its lines, the reason among them."""
    return " ".join(_OPERATION.sub("", message).split())


@contextlib.contextmanager
def naming_unwritable(path: object) -> Iterator[None]:
    """A body that writes; what hinders it, such as a full disk, becomes a RunError."""
    try:
        yield
    except (OSError, tf.errors.OpError) as error:
        reason = getattr(error, "strerror", None) or _plain(str(error))
        raise RunError(
            f"{path}: cannot be written ({reason}); mend that and run the same command again, "
            "which goes on from the last checkpoint."
        ) from error
