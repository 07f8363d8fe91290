"""Evaluates a finished run again and prints its tables.

python launchers/evaluate.py --workdir=runs/demo
"""

from collections.abc import Sequence

from absl import flags

from launchers import finished_run, program

_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run.")
_DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "The prepared data set, if it has moved since training."
)


def main(argv: Sequence[str]) -> None:
    """Prints validation and test tables."""
    del argv
    if not _WORKDIR.value:
        raise program.FlagError("--workdir is missing: name the folder of a run.")
    for target, finished in finished_run.load(_WORKDIR.value, _DATA_DIR.value).items():
        with finished.source.prepared.naming_corrupt_shards():
            metrics = finished.experiment.evaluate(finished.model)
        if target:
            print(f"\ntarget {target}")
        finished.experiment.print_tables(metrics)


def run() -> None:
    """Console entry point."""
    program.run(main)


if __name__ == "__main__":
    run()
