"""The flags that say what becomes of a trained run: what it is compared with, its page, its export.

A search takes them, too: its trials do nothing with them, the flagfile of its best hands them on.
"""

from collections.abc import Mapping

from absl import flags

from data_pipelines.prepared import item_titles
from launchers import config_flags, data_flags, program
from launchers.whole_run import Presentation

_COMPARE = flags.DEFINE_bool(
    "compare_no_transfer",
    False,
    "Also trains the same model on the target alone, in WORKDIR/no_transfer, and says whether the "
    "transfer helped.",
)
_EXPORT = flags.DEFINE_bool(
    "export",
    False,
    "Also exports the model to --export_dir, unless it is exported; see launchers/export.py "
    "for other settings.",
)
_EXPORT_DIR = flags.DEFINE_string(
    "export_dir",
    "",
    "With --export, the folder that the server watches, WORKDIR/export by default: a new run's "
    "model becomes the next version of what is served.",
)
_REPORT = flags.DEFINE_bool(
    "report",
    False,
    "Also draws the run, or a finished one again: WORKDIR/report/index.html, one file with the "
    "verdict, pictures, some users' recommendations and all tables.",
)
_TITLES = config_flags.define("titles", item_titles.TitleOptions)


def compares() -> bool:
    """Whether the run is compared with one on the target alone."""
    return _COMPARE.value


def refuse_unused() -> None:
    """Raises FlagError for flags that nothing would read; see `data_flags.refuse_unused`."""
    if _EXPORT_DIR.value and not _EXPORT.value:
        raise program.FlagError("--export_dir is for --export alone; add it, or leave this out.")
    data_flags.refuse_unused(titles=bool(_TITLES().path))


def presentation(command: str) -> Presentation:
    """Reads the flags.

    Args:
      command: what was called.
    """
    return Presentation(
        report=_REPORT.value,
        export=_EXPORT.value,
        export_dir=_EXPORT_DIR.value,
        titles=_titles,
        command=command,
    )


def _titles() -> Mapping[str, str]:
    """Returns what `--titles.*` call the items; nothing without a report."""
    options = _TITLES()
    if not (_REPORT.value and options.path):
        return {}
    return item_titles.read_titles(data_flags.under_raw_dir(options.path), options)
