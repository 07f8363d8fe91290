"""Ctrl-C while a program is still being imported, which takes seconds: one line, no trace."""

import sys
import types


def install() -> None:
    """Shows a KeyboardInterrupt that nothing catches as one line; its exit status stays.

    Once a program runs, `launchers.program` catches it before.
    """
    before = sys.excepthook

    def show(
        kind: type[BaseException], error: BaseException, trace: types.TracebackType | None
    ) -> None:
        if _is_interrupted(error):
            print("interrupted before anything was done.", file=sys.stderr)
        else:
            before(kind, error, trace)

    sys.excepthook = show


def _is_interrupted(error: BaseException | None) -> bool:
    """Whether an error is an interrupt, or what an import made of one."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__cause__ or error.__context__
    return False
