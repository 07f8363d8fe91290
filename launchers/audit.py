"""Says whom the other domains help and whom they hurt: the transfer audit of finished runs.

    python launchers/train.py ... --workdir=RUN --seeds=3 --compare_no_transfer
    python launchers/audit.py --workdir=RUN --output=RUN/audit

Each training stands beside that on the target alone, by domain and by how much of a user trains
there and elsewhere. The audit also looks whether anything that a model reads of a user comes after
what it is asked for. Writes a table (audit.csv) and a page (index.html) to --output.

    python launchers/audit.py --trials=40

says instead how often an audit is right, on logs of which the truth is known.
"""

import pathlib
from collections.abc import Sequence

import pandas as pd
from absl import flags

from launchers import program
from launchers.auditing import findings, trials
from launchers.auditing.trials import Trial
from launchers.comparing import page
from launchers.comparing.page import Part
from tfcdr.errors import RunError

_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Folder of a finished run with --compare_no_transfer, of one or several seeds."
)
_OUTPUT = flags.DEFINE_string(
    "output", None, "Folder for the table and the page; WORKDIR/audit by default."
)
_DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "The prepared data set, if it has moved since training."
)
_TRIALS = flags.DEFINE_integer(
    "trials",
    0,
    "Instead of a run, audits so many trainings on demo logs whose transfer helps, does nothing or "
    "hurts, and says how often it is right; writes trials.csv to --output, if there is one.",
    lower_bound=0,
)


def main(argv: Sequence[str]) -> None:
    """Audits, prints a table and what to do for each target, and writes the page."""
    del argv
    if _TRIALS.value:
        for name in ("workdir", "data_dir"):
            if flags.FLAGS[name].value:
                raise program.FlagError(f"--trials audits no run: leave --{name} out.")
        _try(_TRIALS.value)
        return
    if not _WORKDIR.value:
        raise program.FlagError("--workdir is missing: name the folder of a finished run.")
    workdir = pathlib.Path(_WORKDIR.value)
    output = pathlib.Path(_OUTPUT.value) if _OUTPUT.value else workdir / "audit"
    found = findings.of_run(workdir, _DATA_DIR.value)
    parts = []
    for target, finding in found.items():
        table, advice = finding.table(), finding.advice()
        shown, about = _shown(table), [finding.about_intervals(), finding.about_times()]
        print(f"\n{target}\n{shown.to_string(index=False)}\n")
        print("\n".join([*about, *advice]))
        metric, verdict = finding.audit.whole.metric, " ".join([*advice, *about[::-1]])
        standings = finding.standings()
        parts.append(Part(target, metric, standings, table, shown, verdict, counted="test rows"))
    page.write(output, "audit", parts)


def _try(number: int) -> None:
    path = pathlib.Path(_OUTPUT.value) / "trials.csv" if _OUTPUT.value else None
    made: list[Trial] = []
    _write_trials(path, made)  # what cannot be written is known before the trials
    for trial in trials.run(number):
        made.append(trial)
        print(
            f"{len(made)} of {number}: {trial.truth}, seed {trial.seed}: {trial.said} "
            f"({trial.gain:+.4f}, {trial.low:+.4f} to {trial.high:+.4f})"
            + ("" if trial.is_right else ", WRONG")
        )
    print(f"\n{trials.table(made).to_string(index=False, float_format='{:+.4f}'.format)}")
    _write_trials(path, made)
    if path:
        print(f"\nwrote {path}")


def _write_trials(path: pathlib.Path | None, made: Sequence[Trial]) -> None:
    if path is None:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        pd.DataFrame(made, columns=Trial._fields).to_csv(path, index=False)
    except OSError as error:
        raise RunError(f"{path}: cannot be written ({error.strerror}).") from error


def _shown(table: pd.DataFrame) -> pd.DataFrame:
    """Returns the table as people read it: an interval in one column, nothing as -."""
    signed = {name: [f"{value:+.4f}" for value in table[name]] for name in ("gain", "low", "high")}
    interval = [f"{low} to {high}" for low, high in zip(signed["low"], signed["high"], strict=True)]
    plain = table.drop(columns=["low", "high", "verdict"])
    figures = {name: [f"{value:.4f}" for value in table[name]] for name in plain.columns[2:4]}
    shown = plain.assign(
        **figures, gain=signed["gain"], interval=interval, verdict=table["verdict"]
    )
    return shown.replace({"nan": "-", "+nan": "-", "+nan to +nan": "-"})


def run() -> None:
    """Console entry point."""
    program.run(main)


if __name__ == "__main__":
    run()
