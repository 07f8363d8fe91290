"""Exports a run's model for TensorFlow Serving, as the next version in WORKDIR/export.

    python launchers/export.py --workdir=runs/demo

It answers raw item ids with scores (signature `serving_default`) and a raw history with the best
items that the user has not seen (`recommend`); see tfcdr/serving/signatures.py.
"""

from collections.abc import Sequence

from absl import flags

from launchers import finished_run, program
from tfcdr.serving import retrieval

_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run.")
_DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "The prepared data set, if it has moved since training."
)
_TOP_K = flags.DEFINE_integer(
    "top_k", finished_run.DEFAULT_TOP_K, "Items in a recommendation.", lower_bound=1
)
_RETRIEVAL = flags.DEFINE_enum(
    "retrieval",
    finished_run.DEFAULT_RETRIEVAL,
    retrieval.KINDS,
    "brute_force: exact; scann: approximate, for millions of items, and the server must know "
    "ScaNN's operators.",
)


def main(argv: Sequence[str]) -> None:
    """Writes one version."""
    del argv
    if not _WORKDIR.value:
        raise program.FlagError("--workdir is missing: name the folder of a run.")
    run_to_export = finished_run.load(_WORKDIR.value, _DATA_DIR.value)
    version = run_to_export.export(_TOP_K.value, _RETRIEVAL.value)
    print(f"{version}: signatures serving_default and recommend (top {_TOP_K.value}).")


def run() -> None:
    """Console entry point."""
    program.run(main)


if __name__ == "__main__":
    run()
