"""Exports a run's model for TensorFlow Serving, as the next version in WORKDIR/export or elsewhere.

    python launchers/export.py --workdir=runs/demo

Systems that rank items answer raw item ids with scores (signature `serving_default`) and a raw
history with the best items that the user has not seen (`recommend`); see
tfcdr/ranking/signatures.py. What other systems' signatures take and give stands in their folders.
"""

from collections.abc import Sequence

from absl import flags

from launchers import finished_run, program
from tfcdr.ranking import retrieval
from tfcdr.ranking.signatures import RECOMMEND
from tfcdr.system import Serving

_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run.")
_DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "The prepared data set, if it has moved since training."
)
_EXPORT_DIR = flags.DEFINE_string(
    "export_dir", "", "The folder that the server watches, WORKDIR/export by default."
)
_TOP_K = flags.DEFINE_integer("top_k", Serving().top_k, "Items in a recommendation.", lower_bound=1)
_RETRIEVAL = flags.DEFINE_enum(
    "retrieval",
    Serving().retrieval,
    retrieval.KINDS,
    "brute_force: exact; scann: approximate, for millions of items, and the server must know "
    "ScaNN's operators.",
)


def main(argv: Sequence[str]) -> None:
    """Writes one version."""
    del argv
    if not _WORKDIR.value:
        raise program.FlagError("--workdir is missing: name the folder of a run.")
    runs = finished_run.load(_WORKDIR.value, _DATA_DIR.value)
    system = next(iter(runs.values())).system
    signatures = system.signatures
    for flag in (_TOP_K, _RETRIEVAL):
        if flag.present and RECOMMEND not in signatures:
            raise program.FlagError(
                f"--{flag.name} has no meaning for {system.name}, which recommends "
                "nothing; leave it out."
            )
    serving = Serving(_TOP_K.value, _RETRIEVAL.value)
    version = finished_run.export(_WORKDIR.value, runs, serving, _EXPORT_DIR.value or None)
    recommends = f" (top {_TOP_K.value})" if RECOMMEND in signatures else ""
    plural = "s" if len(signatures) > 1 else ""
    print(f"{version}: signature{plural} {' and '.join(signatures)}{recommends}.")


def run() -> None:
    """Console entry point."""
    program.run(main)


if __name__ == "__main__":
    run()
