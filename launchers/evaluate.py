r"""Evaluates a finished run again: prints its tables and its verdict, and writes them to a file.

    python launchers/evaluate.py --workdir=runs/demo
    python launchers/evaluate.py --workdir=runs/demo --metrics=NDCG,coverage,popularity --ks=5,50 \
        --groups=all,cold --output=tables.csv

Besides the metrics of training there are, of systems that rank, coverage@k, the share of the
catalogue that is among the best k of anybody, and popularity@k, the mean number of training
interactions of what is recommended.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from absl import flags

from data_pipelines.errors import DataError
from launchers import finished_run, program
from launchers.finished_run import FinishedRun
from launchers.target_runs import transfer_lines
from tfcdr import bar_gain
from tfcdr.ranking import beyond_accuracy

_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run.")
_DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "The prepared data set, if it has moved since training."
)
_METRICS = flags.DEFINE_list(
    "metrics",
    [],
    "Metrics to show, such as HR,NDCG,MRR,Recall,AUC, and coverage,popularity, which cost a pass "
    "more; by default those of training.",
)
_KS = flags.DEFINE_list("ks", [], "Cut-offs k to show, such as 5,50; by default the monitor's.")
_GROUPS = flags.DEFINE_list(
    "groups", [], "Groups of test rows to show, such as all,cold; by default all that there are."
)
_OUTPUT = flags.DEFINE_string(
    "output", None, "File for the tables of both splits, .csv, .json or .parquet."
)
# What a row is about, as against its figures.
_ABOUT = ("target", "split", "protocol", "task", "group", "scorer", "interactions", "rows")


def main(argv: Sequence[str]) -> None:
    """Prints validation and test tables."""
    del argv
    if not _WORKDIR.value:
        raise program.FlagError("--workdir is missing: name the folder of a run.")
    output = _checked_output()
    ks = _cutoffs()
    workdir = Path(_WORKDIR.value)
    changes = _changes(workdir, ks)
    tables = []
    for target, finished in finished_run.load(workdir, _DATA_DIR.value, changes).items():
        with finished.source.prepared.naming_corrupt_shards():
            metrics = finished.experiment.evaluate(finished.model)
            if set(_METRICS.value) & set(beyond_accuracy.NAMES):
                _add_beyond_accuracy(finished, metrics["tables"])
        if target:
            print(f"\ntarget {target}")
        chosen = {
            split: _chosen(pd.DataFrame(rows), ks) for split, rows in metrics["tables"].items()
        }
        if _METRICS.value or ks or _GROUPS.value:
            for split, table in chosen.items():
                print(f"\n{split}\n{_text(table)}")
            print("", *bar_gain.lines(metrics.get("bars", {})), sep="\n")
        else:
            finished.experiment.print_tables(metrics)
        # As it was found in training, beside the runs that were trained for it.
        for line in transfer_lines(finished.folder.metrics() or {}):
            print(line)
        for split, table in chosen.items():
            table.insert(0, "split", split)
            if target:
                table.insert(0, "target", target)
            tables.append(table)
    if output:
        _write(pd.concat(tables, ignore_index=True), output)
        print(f"\nwrote {output}")


def _checked_output() -> Path | None:
    if not _OUTPUT.value:
        return None
    path = Path(_OUTPUT.value)
    if path.suffix not in _WRITERS:
        raise program.FlagError(
            f"--output={path}: the name ends with none of {', '.join(_WRITERS)}."
        )
    return path


def _cutoffs() -> list[int]:
    if all(text.isdecimal() and int(text) for text in _KS.value):
        return [int(text) for text in _KS.value]
    raise program.FlagError(f"--ks={','.join(_KS.value)}: cut-offs are whole numbers from 1.")


def _changes(workdir: Path, ks: Sequence[int]) -> dict[str, Any]:
    """Returns what differs from the evaluation in training: the cut-offs, the monitor's among them.

    Raises:
      FlagError: the system has no cut-offs.
      RunError: there is no run.
    """
    if not ks:
        return {}
    (folder, *_) = finished_run.folders(workdir).values()
    evaluation = folder.config().get("evaluation", {})
    if "ks" not in evaluation:
        raise program.FlagError(f"--ks has no meaning for a run of {folder.config()['system']}.")
    cutoff = str(evaluation.get("monitor", "")).partition("@")[2]
    return {"ks": tuple(sorted({*ks, *([int(cutoff)] if cutoff else [])}))}


def _add_beyond_accuracy(finished: FinishedRun, tables: Mapping[str, list[dict[str, Any]]]) -> None:
    """Adds figures to the rows of both splits; those of other protocols have none."""
    for split, rows in tables.items():
        found = finished.experiment.beyond_accuracy(finished.model, split)
        if not found:
            raise program.FlagError(
                f"--metrics={','.join(_METRICS.value)}: {finished.system.name} ranks no "
                f"catalogue, so that it has no {' and no '.join(beyond_accuracy.NAMES)}."
            )
        nothing = dict.fromkeys(next(iter(found.values())), math.nan)
        for row in rows:
            key = (row["group"], row["scorer"])
            row |= found[key] if row["protocol"] == "full" and key in found else nothing


def _chosen(table: pd.DataFrame, ks: Sequence[int]) -> pd.DataFrame:
    """Keeps the groups, metrics and cut-offs that the flags name.

    Raises:
      FlagError: there is no such group or metric.
    """
    groups, wanted = list(dict.fromkeys(table["group"])), _METRICS.value
    figures = [name for name in table if name not in _ABOUT]
    names = list(dict.fromkeys(name.partition("@")[0] for name in figures))
    for flag, chosen, known in (("groups", _GROUPS.value, groups), ("metrics", wanted, names)):
        for name in chosen:
            if name not in known:
                raise program.FlagError(f"--{flag}={name}: there are {', '.join(known)}.")
    if _GROUPS.value:
        table = table[table["group"].isin(_GROUPS.value)]
    kept = [
        name
        for name in figures
        if (not wanted or name.partition("@")[0] in wanted)
        and (not ks or "@" not in name or int(name.partition("@")[2]) in ks)
    ]
    return table[[name for name in table if name in _ABOUT or name in kept]].reset_index(drop=True)


def _text(table: pd.DataFrame) -> str:
    return table.to_string(index=False, float_format=lambda value: f"{value:.4f}", na_rep="-")


_WRITERS = {
    ".csv": lambda table, path: table.to_csv(path, index=False),
    ".json": lambda table, path: table.to_json(path, orient="records", indent=1),
    ".parquet": lambda table, path: table.to_parquet(path, index=False),
}


def _write(table: pd.DataFrame, path: Path) -> None:
    try:
        _WRITERS[path.suffix](table, path)
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror or error}).") from error


def run() -> None:
    """Console entry point."""
    program.run(main)


if __name__ == "__main__":
    run()
