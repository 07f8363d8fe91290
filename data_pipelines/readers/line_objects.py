"""Files with an object a line, as JSON or as a Python literal, read line by line."""

import ast
import json
import pathlib
import re
import warnings
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from data_pipelines.errors import shown
from data_pipelines.logs import BadLines
from data_pipelines.readers.line_stream import MAX_LINE_BYTES, numbered_lines

Value = TypeVar("Value")

# Python's texts may hold tabs, and nobody's are looked at here.
_JSON = json.JSONDecoder(strict=False)
# What differs between JSON and a literal of dicts, lists, texts and numbers: the quotes and escapes
# of texts (u'...' was written by Python 2), and three names. A text is matched as a whole, so that
# nothing inside one is taken for a name or a quote.
_LITERAL_TOKEN = re.compile(
    r"""
    ((?:[^'"A-Za-z]{0,8}'[^'"\\]*')+)  # plain texts and what stands between, as many as follow
    | u?('[^'\\]*(?:\\.[^'\\]*)*'|"[^"\\]*(?:\\.[^"\\]*)*")  # any other text
    | \b(?:None|True|False)\b
    | ['"]  # of a text that does not end
    """,
    re.DOTALL | re.VERBOSE,
)
_NAMES = {"None": "null", "True": "true", "False": "false"}


class BadLine(ValueError):
    """What is wrong with a line, as it follows "FILE, line N: " in a message."""


def good_lines(
    path: pathlib.Path, parse: Callable[[bytes], Value], bad_lines: BadLines
) -> Iterator[tuple[int, Value]]:
    """Yields (1-based number, what `parse` makes of the line) for the lines that it takes.

    Args:
      path: a text file, plain or compressed.
      parse: gets a line that is not blank; raises BadLine.
      bad_lines: takes the others.

    Raises:
      DataError: the file cannot be read, or more lines are bad than may be skipped.
    """
    for number, line in numbered_lines(path):
        try:
            if len(line) > MAX_LINE_BYTES:
                raise BadLine(f"longer than {MAX_LINE_BYTES:,} bytes.")
            value = parse(line)
        except BadLine as bad:
            _count(bad_lines, path, number, bad)
        else:
            yield number, value


def json_object(line: bytes) -> dict[str, Any]:
    """Parses a line of JSON.

    Raises:
      BadLine: it is none, or no object.
    """
    try:
        return _object(_JSON.decode(_text(line)))
    except json.JSONDecodeError as error:
        raise BadLine(f"not JSON: {error.msg} at sign {error.pos + 1}.") from error
    except RecursionError as error:
        raise BadLine("not JSON: nested too deep.") from error
    except BadLine:
        raise
    except ValueError as error:
        raise BadLine("not JSON: a number with too many digits.") from error


def json_or_literal_object(line: bytes) -> dict[str, Any]:
    """Parses a line of JSON, or one that Python's `print` wrote of a dict.

    Nothing is evaluated. A literal is made JSON text by text, and whatever is no text, number, list
    or dict is no JSON then, either. `ast.literal_eval` gets single texts only: a whole line such as
    1+1+1+... would end the process with a stack overflow before Python 3.11.

    Raises:
      BadLine: it is neither, or no object.
    """
    text = _text(line)
    try:
        return _object(_JSON.decode(text))
    except BadLine:
        raise
    except (ValueError, RecursionError):
        pass
    try:
        return _object(_JSON.decode(_LITERAL_TOKEN.sub(_as_json, text)))
    except BadLine:
        raise
    except (SyntaxError, ValueError, RecursionError) as error:
        raise BadLine(
            "neither JSON nor a Python literal of texts, numbers, lists and dicts."
        ) from error


def is_text(value: Any) -> bool:
    r"""Whether a value is a text that UTF-8 can hold, which half of a surrogate pair cannot."""
    if not isinstance(value, str):
        return False
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _count(bad_lines: BadLines, path: pathlib.Path, number: int, bad: BadLine) -> None:
    bad_lines.add(1, lambda: f"{path}, line {number}: {bad}")


def _text(line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise BadLine("not utf-8 text; convert the file to UTF-8.") from error


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadLine(f"{shown(value)} is not an object.")
    return value


def _as_json(token: re.Match[str]) -> str:
    plain, quoted = token[1], token[2]
    if plain:
        return plain.replace("'", '"')
    if not quoted:
        if token[0] not in _NAMES:
            raise ValueError("a text does not end")
        return _NAMES[token[0]]
    if "\\" not in quoted:
        return json.dumps(quoted[1:-1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python warns of \d, which is \ and d.
        return json.dumps(ast.literal_eval(quoted))
