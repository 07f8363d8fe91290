"""Ctrl-C during imports is one line; what else goes wrong there keeps its trace."""

import sys

import pytest

from launchers import early_interrupts


@pytest.fixture
def shown(monkeypatch):
    """Errors that the hook which was there before has shown."""
    errors = []
    monkeypatch.setattr(sys, "excepthook", lambda kind, error, trace: errors.append(error))
    early_interrupts.install()
    return errors


def as_import_error():
    try:
        raise KeyboardInterrupt
    except KeyboardInterrupt as interrupt:
        error = ImportError("half imported")
        error.__cause__ = interrupt
        return error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), as_import_error()])
def test_an_interrupt_is_one_line(shown, capsys, error):
    sys.excepthook(type(error), error, None)
    assert capsys.readouterr().err == "interrupted before anything was done.\n"
    assert shown == []


def test_other_errors_are_shown_as_before(shown, capsys):
    error = ValueError("a fault of ours")
    sys.excepthook(ValueError, error, None)
    assert shown == [error]
    assert capsys.readouterr().err == ""
