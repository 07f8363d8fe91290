"""Trains a system on a data set, evaluates it, and leaves everything in --workdir.

    python launchers/train.py --flagfile=launchers/flagfiles/demo.cfg --workdir=runs/demo

Run again with the same flags, it resumes where it stopped; a finished run says so, or goes on if
it is asked for more epochs or patience. With --reader and its flags, a data set that --data_dir
lacks is prepared first.
"""

import shlex
import sys
from collections.abc import Sequence

from absl import flags

import launchers  # noqa: F401  (from here on Ctrl-C gives no trace)

# isort: split
from data_pipelines.prepared.dataset import PreparedData
from data_pipelines.prepared.reading import Source
from launchers import (
    data_flags,
    presentation_flags,
    program,
    reading_flags,
    run_flags,
    run_help,
    several_seeds,
    whole_run,
)
from launchers.target_runs import Wish
from tfcdr.distribution import strategies
from tfcdr.runs.experiment import enable_determinism
from tfcdr.runs.run_folder import RunFolder

_SEEDS = flags.DEFINE_integer(
    "seeds",
    1,
    "Trains so many times, with --seed and the seeds that follow, each in WORKDIR/seed-K, and says "
    "means, spreads, and intervals over rows and trainings.",
    lower_bound=1,
)
_PRETRAINED = flags.DEFINE_string(
    "pretrained",
    "",
    "Folder of a run of the same system. On the same data, its best epochs stand for all stages "
    "but the last, which alone is trained; it may be of another target, where targets share what "
    "is pre-trained. On other data, such as the log of the day before, each stage starts from its "
    "best epoch there, items and users by their names, and is trained. Where the last stage takes "
    "the models of several seeds, the folder of their runs.",
)
_STRATEGY = flags.DEFINE_enum(
    "strategy",
    "default",
    strategies.STRATEGIES,
    "Devices that train: one; all of this machine (mirrored); those of all processes in TF_CONFIG, "
    "with a copy of the model each (multi_worker) or with variables on servers "
    "(parameter_server, which runs without XLA). Batch sizes are global: the result is the same.",
)
_CLUSTER_TIMEOUT = flags.DEFINE_float(
    "cluster_timeout", 300, "Seconds to wait for the other processes to come up.", lower_bound=0
)
_CPU_DEVICES = flags.DEFINE_integer(
    "cpu_devices",
    1,
    "Logical devices into which --strategy=mirrored splits the CPU of a machine without a GPU, to "
    "try it out.",
    lower_bound=1,
)
flags.adopt_module_key_flags(run_flags)
flags.adopt_module_key_flags(presentation_flags)


def main(argv: Sequence[str]) -> None:
    """Runs what the flags describe."""
    del argv
    wish = _wish()
    if wish.deterministic:
        enable_determinism()
    distribution = strategies.start(_STRATEGY.value, _CLUSTER_TIMEOUT.value, _CPU_DEVICES.value)
    if distribution is None:
        return

    def prepare() -> PreparedData:
        data = data_flags.open_or_build(wish.data_dir, wish.system.log)
        for line in data_flags.few_files(data, distribution.num_workers):
            print(line)
        return data

    def read(data: PreparedData) -> dict[str, Source]:
        return reading_flags.sources(data, wish.system, wish.config)

    presentation = presentation_flags.presentation(shlex.join(["python", *sys.argv]))
    if _SEEDS.value == 1:
        whole_run.carry_out(wish, prepare, read, presentation, distribution)
    else:
        several_seeds.carry_out(wish, _SEEDS.value, prepare, read, presentation, distribution)


def _wish() -> Wish:
    """Reads the flags and refuses, before any work, what cannot be done."""
    wish = run_flags.wish()
    RunFolder(wish.workdir).check_free()
    presentation_flags.refuse_unused()
    _refuse_unused_flags()
    if _CPU_DEVICES.value > 1 and _STRATEGY.value != "mirrored":
        raise program.FlagError("--cpu_devices is for --strategy=mirrored alone; leave it out.")
    if wish.mixed_precision and _STRATEGY.value == "parameter_server":
        # Keras' loss scaling needs every replica to see every gradient.
        raise program.FlagError(
            "--mixed_precision: TensorFlow cannot scale losses with --strategy=parameter_server; "
            "leave one of the two out."
        )
    if _SEEDS.value > 1 and wish.system.stages(wish.config)[-1].takes > 1:
        raise program.FlagError(
            "--seeds: the models are those of the seeds that --pretrained names, and their mean "
            "is the same with each; leave it out."
        )
    baseline_config = whole_run.without_transfer(wish) if presentation_flags.compares() else None
    return wish._replace(baseline_config=baseline_config, pretrained=_PRETRAINED.value)


def _refuse_unused_flags() -> None:
    """Raises FlagError for a flag on the command line that this run would not read."""
    if flags.FLAGS["cluster_timeout"].present and _STRATEGY.value in ("default", "mirrored"):
        raise program.FlagError(
            f"--cluster_timeout has no meaning for --strategy={_STRATEGY.value}; leave it out."
        )
    if flags.FLAGS["export_dir"].value and _SEEDS.value > 1:
        raise program.FlagError(
            "--export_dir would hold the models of several --seeds as versions of one; export the "
            "one to serve by launchers/export.py."
        )


def run() -> None:
    """Console entry point."""
    program.run(main, run_help.text)


if __name__ == "__main__":
    run()
