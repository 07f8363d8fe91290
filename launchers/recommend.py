"""Recommends to many users at once: those of the run's data set, or of a file of raw histories.

    python launchers/recommend.py --workdir=runs/demo --output=recommendations.parquet
    python launchers/recommend.py --workdir=runs/demo --histories=users.jsonl --output=best.csv

The table has a row for each recommended item: user_id, domain (of the item), rank from 1, item_id,
score, known (how many ids of the user's history training knew) and given (how many the history
holds). Whoever has none that is known gets the most popular items, with their training interactions
as scores; a user that training did not know is like any other.

Histories name items as domain:item, or by the bare id where one domain of the run alone has it; a
bare id that several have counts as unknown. A file of histories is, by its name,

  .jsonl    an object a line, {"user_id": "u1", "history": ["books:b17", "toys:t3"]}
  .csv      columns user_id, item_id and maybe domain, an interaction a row
  .parquet  the same columns, or user_id and history, a list of text

with the oldest interaction first and a user's rows behind each other. Neither users nor answers are
held in memory, and a killed command goes on where it was.
"""

import time
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from launchers import finished_run, folder_lock, program
from launchers.recommending import history_files, output_parts, writing
from launchers.recommending.output_parts import OutputParts
from launchers.recommending.target_scorer import SCHEMA, check_recommends, scorers_of
from tfcdr.ranking import retrieval
from tfcdr.runs.run_folder import RunFolder
from tfcdr.system import Serving

_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run.")
_DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "The prepared data set, if it has moved since training."
)
_HISTORIES = flags.DEFINE_string(
    "histories",
    None,
    "File of raw histories, .jsonl, .csv or .parquet; by default all users of the data set, with "
    "all that they did.",
)
_OUTPUT = flags.DEFINE_string("output", None, "The table to write, .parquet or .csv.")
_OVERWRITE = flags.DEFINE_bool("overwrite", False, "Replaces a table that is there.")
_TARGET = flags.DEFINE_list(
    "target", [], "Domains whose items are recommended; by default all targets of the run."
)
_TOP_K = flags.DEFINE_integer("top_k", Serving().top_k, "Items for each user.", lower_bound=1)
_LEAVE_OUT_SEEN = flags.DEFINE_bool(
    "leave_out_seen",
    None,
    "Recommends no item of the user's history; by default so where a user's repeated interactions "
    "with an item count once (--split.repeats).",
)
_RETRIEVAL = flags.DEFINE_enum(
    "retrieval",
    Serving().retrieval,
    retrieval.KINDS,
    "brute_force: exact; scann: approximate, for millions of items.",
)


def main(argv: Sequence[str]) -> None:
    """Writes one table."""
    del argv
    if not (_WORKDIR.value and _OUTPUT.value):
        name = "output" if _WORKDIR.value else "workdir"
        raise program.FlagError(f"--{name} is missing; see --help.")
    workdir, path = Path(_WORKDIR.value), Path(_OUTPUT.value)
    histories = Path(_HISTORIES.value) if _HISTORIES.value else None
    output_parts.check_destination(path, _OVERWRITE.value)
    if histories is not None:
        history_files.check(histories)
    check_recommends(_system(workdir))
    runs = finished_run.load(workdir, _DATA_DIR.value)
    serving = Serving(_TOP_K.value, _RETRIEVAL.value)
    scorers = scorers_of(runs, _TARGET.value, serving, _LEAVE_OUT_SEEN.value)
    settings = {
        "run": [[str(run.folder.path.absolute()), run.folder.metrics()] for run in runs.values()],
        "targets": [scorer.domain for scorer in scorers],
        "serving": serving._asdict(),
        "leave_out_seen": _LEAVE_OUT_SEEN.value,
        "histories": _identity(histories),
    }
    started = time.monotonic()
    with folder_lock.held(path, "recommends"):
        counts = writing.write(scorers, histories, OutputParts(path, settings, SCHEMA))
    unknown = counts["unknown"]
    popular = f"; {unknown:,} have no known id and got the most popular" if unknown else ""
    print(
        f"{path}: {counts['rows']:,} recommendations for {counts['users']:,} users in "
        f"{time.monotonic() - started:.0f} s{popular}."
    )


def _system(workdir: Path) -> str:
    """Returns the name of the run's system, before anything is loaded."""
    return str(RunFolder(workdir).config().get("system"))


def _identity(path: Path | None) -> list[str | int] | None:
    """What changes when a file does."""
    if path is None:
        return None
    state = path.stat()
    return [str(path.absolute()), state.st_size, state.st_mtime_ns]


def run() -> None:
    """Console entry point."""
    program.run(main)


if __name__ == "__main__":
    run()
