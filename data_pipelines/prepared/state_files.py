"""Small JSON files of a data set, read in one guarded way."""

import json
from pathlib import Path
from typing import Any

from data_pipelines.errors import DataError


def read_object(path: Path, remedy: str) -> dict[str, Any]:
    """Reads a JSON file that holds an object.

    Args:
      path: the file.
      remedy: what to do if it cannot be read, as "convert the data again".

    Raises:
      DataError: the file is missing, cannot be read, is no text, no JSON or no object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(f"{path}: the file is missing; {remedy}.") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); {remedy}.") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: damaged ({error}); {remedy}.") from error
    if not isinstance(value, dict):
        raise DataError(f"{path}: damaged (it holds no object); {remedy}.")
    return value
