"""The error that a person can mend by changing their input or their flags."""

import reprlib
from typing import Any


class DataError(ValueError):
    """Bad input data or options; the message names the file, line and field and says what to do.

    Launchers print the message as one line and exit with status 1, without a stack trace.
    """


def shown(value: Any) -> str:
    """A value of the input as messages show it: short, and without control signs."""
    return _SHORT.repr(value.item() if hasattr(value, "item") else value)


_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 60
