"""How every launcher starts and how it fails: one line for a person's mistake, never a trace."""

import difflib
import errno
import functools
import io
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from typing import NoReturn

import tensorflow as tf
from absl import app, flags, logging

from data_pipelines.errors import DataError, shown
from launchers import folder_lock
from tfcdr.errors import RunError

_LONGEST_MESSAGE = 600
_ENDING = (signal.SIGTERM, signal.SIGHUP)
_HELP = ("--help", "-help", "-h", "-?", "--helpshort")
_LEVEL = "TF_CPP_MIN_LOG_LEVEL"
_TENSORFLOW_LOG = flags.DEFINE_bool(
    "tensorflow_log",
    False,
    "Shows TensorFlow's own messages, too: what it finds of devices, what XLA compiles.",
)


class FlagError(ValueError):
    """A flag's value is wrong, alone or beside the other flags. Exit status 2."""


def run(main: Callable[[Sequence[str]], None], help_text: Callable[[], str] | None = None) -> None:
    """Runs an absl program; exits 1 on bad data or a failed run, 2 on a bad flag.

    Args:
      main: the program; its argument is what the command line holds besides flags.
      help_text: gives what --help prints, once the other flags are parsed; absl's by default.
    """

    def guarded(argv: Sequence[str]) -> None:
        if _TENSORFLOW_LOG.value:
            _show_tensorflow_log()
        elif not flags.FLAGS["verbosity"].present:
            logging.set_verbosity(logging.WARNING)  # TensorFlow's and TFDS' progress reports
        try:
            if len(argv) > 1:
                raise FlagError(f"unexpected argument {argv[1]!r}: every option is a --flag.")
            main(argv)
        except (FlagError, flags.Error) as error:
            _fail(error, 2)
        except (DataError, RunError, folder_lock.HeldError) as error:
            _fail(error, 1)
        except KeyboardInterrupt:
            _end(signal.SIGINT, "interrupted")
        except _Terminated as end:
            _end(end.number, f"ended by {signal.Signals(end.number).name}")
        except BrokenPipeError:  # Whoever read the output, such as `head`, has gone.
            _end_unheard()
        except (MemoryError, tf.errors.ResourceExhaustedError) as error:
            if os.strerror(errno.ENOSPC) in str(error):  # TensorFlow has one class for both.
                _fail(f"{error}; make room and run the same command again.", 1)
            _fail(f"memory does not suffice ({error}); lower sizes or batch sizes.", 1)
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            _fail(f"{where}{error.strerror or error}; mend that and run the same command again.", 1)

    if main.__module__ != "__main__":
        # Started by a console script: `--help` looks for the flags of the program that was called.
        for flag in flags.FLAGS.get_key_flags_for_module(main.__module__):
            flags.FLAGS.register_key_flag_for_module(sys.argv[0], flag)
    flags.FLAGS.register_key_flag_for_module(sys.argv[0], flags.FLAGS["tensorflow_log"])
    # absl's handler would say again what TensorFlow's own has said.
    tf.get_logger().propagate = False
    # Into a file or a pipe, too, a line appears when it is printed.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True, errors="backslashreplace")
    if isinstance(sys.stderr, io.TextIOWrapper):
        sys.stderr.reconfigure(errors="backslashreplace")
    _end_at_signals()
    app.run(guarded, flags_parser=functools.partial(_parse, help_text))


def _show_tensorflow_log() -> None:
    """Starts the program anew if TensorFlow, which reads its level once, has been told to be quiet.

    Flags are read when TensorFlow has long been imported.
    """
    if os.environ.get(_LEVEL) != "0":
        os.environ[_LEVEL] = "0"
        sys.stdout.flush()
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


class _Terminated(BaseException):
    """A scheduler, or a terminal that closes, ends this process."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def _end_at_signals() -> None:
    """Makes SIGTERM and SIGHUP end a program as Ctrl-C does: with a line, at the next step."""
    if threading.current_thread() is not threading.main_thread():
        return

    def end(number: int, frame: object) -> None:
        del frame
        raise _Terminated(number)

    for number in _ENDING:
        if signal.getsignal(number) == signal.SIG_DFL:  # What nohup ignores stays ignored.
            signal.signal(number, end)


def _end(number: int, how: str) -> NoReturn:
    """Ends the program as shells report a signal; another one, meanwhile, ends it at once."""
    for other in (signal.SIGINT, *_ENDING):
        in_main = threading.current_thread() is threading.main_thread()
        if in_main and callable(signal.getsignal(other)):  # What is ignored stays so.
            signal.signal(other, signal.SIG_DFL)
    print(f"{how}: run the same command again, which goes on from what is done.", file=sys.stderr)
    sys.exit(128 + number)


def _parse(help_text: Callable[[], str] | None, argv: Sequence[str]) -> list[str]:
    """Parses flags; a bad one is a single line instead of absl's usage text."""
    asks = [word for word in argv if word in _HELP]
    try:
        if help_text and asks:
            # It depends on flags that may come behind.
            flags.FLAGS([word for word in argv if word not in _HELP])
            try:
                print(help_text(), flush=True)
            except BrokenPipeError:
                _end_unheard()
            sys.exit(0)
        return flags.FLAGS(argv)
    except flags.UnrecognizedFlagError as error:
        _fail(_unknown_flag(error.flagname), 2)
    except UnicodeDecodeError as error:
        _fail(FlagError(f"a flagfile is no text ({error})."), 2)
    except flags.Error as error:
        _fail(error, 2)


def _end_unheard() -> NoReturn:
    """Ends the program where nobody reads what it prints."""
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115 (Python flushes it at the end)
    sys.exit(128 + signal.SIGPIPE)


def _unknown_flag(name: str) -> str:
    """Names the flags that may be meant: those of the same group alone."""
    group, dot, _ = name.partition(".")
    known = [other for other in flags.FLAGS if other.partition(".")[:2] == (group, dot)]
    if not dot:
        known = [other for other in flags.FLAGS if "." not in other]
    close = difflib.get_close_matches(name, known, cutoff=0.8)
    meant = f" Did you mean {' or '.join(f'--{other}' for other in close)}?" if close else ""
    return f"Unknown command line flag {shown(name)}.{meant}"


def _fail(error: object, status: int) -> NoReturn:
    print(f"error: {_one_line(str(error))}", file=sys.stderr)
    sys.exit(status)


def _one_line(text: str) -> str:
    """A message without control signs, and no longer than a person reads.

    What it is about stands at its beginning, what to do at its end.
    """
    text = "".join(sign if sign.isprintable() else "?" for sign in " ".join(text.split()))
    if len(text) <= _LONGEST_MESSAGE:
        return text
    return f"{text[: _LONGEST_MESSAGE // 2]} ... {text[-_LONGEST_MESSAGE // 2 :]}"
