"""Trains a system on a data set, evaluates it, and leaves everything in --workdir.

    python launchers/train.py --flagfile=launchers/flagfiles/demo.cfg --workdir=runs/demo

Run again with the same flags, it resumes where it stopped; a finished run says so. With --reader
and its flags, a data set that --data_dir lacks is prepared first.
"""

import contextlib
import os
from collections.abc import Iterator, Sequence
from typing import Any

from absl import flags

import launchers  # noqa: F401  (from here on Ctrl-C gives no trace)

# isort: split
from data_pipelines.prepared import item_titles
from data_pipelines.prepared.dataset import PreparedData
from data_pipelines.prepared.reading import Source
from launchers import (
    config_flags,
    data_flags,
    finished_run,
    folder_lock,
    program,
    reading_flags,
    run_flags,
    target_runs,
)
from launchers.target_runs import Wish
from tfcdr.distribution import strategies
from tfcdr.distribution.one_device import Distribution
from tfcdr.runs import report
from tfcdr.runs.experiment import enable_determinism
from tfcdr.runs.run_folder import RunFolder
from tfcdr.serving import saved_model

_COMPARE = flags.DEFINE_bool(
    "compare_no_transfer",
    False,
    "Also trains the same model on the target alone, in WORKDIR/no_transfer, and says whether the "
    "transfer helped.",
)
_PRETRAINED = flags.DEFINE_string(
    "pretrained",
    "",
    "Folder of a run of the same system on the same data: its best epochs stand for all stages but "
    "the last, which alone is trained. It may be of another target, where targets share what is "
    "pre-trained.",
)
_EXPORT = flags.DEFINE_bool(
    "export",
    False,
    "Also exports the model to WORKDIR/export, unless a version is there; see launchers/export.py "
    "for other settings.",
)
_REPORT = flags.DEFINE_bool(
    "report",
    False,
    "Also draws the run, or a finished one again: WORKDIR/report/index.html with curves, tables "
    "and the system's own pictures.",
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
_NOTHING_HELD = contextlib.nullcontext()
_TITLES = config_flags.define("titles", item_titles.TitleOptions)
flags.adopt_module_key_flags(run_flags)


def main(argv: Sequence[str]) -> None:
    """Runs what the flags describe."""
    del argv
    wish = _wish()
    if wish.deterministic:
        enable_determinism()
    distribution = strategies.start(_STRATEGY.value, _CLUSTER_TIMEOUT.value, _CPU_DEVICES.value)
    if distribution is None:
        return
    with (
        distribution.naming_lost_tasks(),
        _only_chief_prints(distribution),
        folder_lock.held(wish.workdir, "trains") if distribution.is_chief else _NOTHING_HELD,
    ):
        titles = _titles() if distribution.is_chief else {}
        data = _prepare(wish, distribution)
        with data.naming_corrupt_shards():
            target_runs.run(wish, _sources(wish, data), distribution)
        if distribution.is_chief:
            _present(wish, titles)


def _wish() -> Wish:
    """Reads the flags and refuses, before any work, what cannot be done."""
    wish = run_flags.wish()
    RunFolder(wish.workdir).check_free()
    _refuse_unused_flags()
    if _CPU_DEVICES.value > 1 and _STRATEGY.value != "mirrored":
        raise program.FlagError("--cpu_devices is for --strategy=mirrored alone; leave it out.")
    if wish.mixed_precision and _STRATEGY.value == "parameter_server":
        # Keras' loss scaling needs every replica to see every gradient.
        raise program.FlagError(
            "--mixed_precision: TensorFlow cannot scale losses with --strategy=parameter_server; "
            "leave one of the two out."
        )
    baseline_config = _without_transfer(wish) if _COMPARE.value else None
    return wish._replace(baseline_config=baseline_config, pretrained=_PRETRAINED.value)


def _refuse_unused_flags() -> None:
    """Raises FlagError for a flag on the command line that this run would not read."""
    if flags.FLAGS["cluster_timeout"].present and _STRATEGY.value in ("default", "mirrored"):
        raise program.FlagError(
            f"--cluster_timeout has no meaning for --strategy={_STRATEGY.value}; leave it out."
        )
    data_flags.refuse_unused(titles=bool(_TITLES().path))


def _prepare(wish: Wish, distribution: Distribution) -> PreparedData:
    """Opens the data set, which it prepares first if it is not there."""
    with distribution.chief_first():
        data = data_flags.open_or_build(wish.data_dir, wish.system.log)
    for line in data_flags.few_files(data, distribution.num_workers):
        print(line)
    return data


def _sources(wish: Wish, data: PreparedData) -> dict[str, Source]:
    """Returns what is read for each target, and says what it holds."""
    sources = reading_flags.sources(data, wish.system, wish.config)
    for target, source in sources.items():
        if wish.baseline_config is not None and not source.transfers:
            raise program.FlagError(
                f"--compare_no_transfer: nothing is read besides the target {target}, so that "
                "nothing is transferred; leave it out."
            )
        print("\n".join(source.summary()))
    return sources


def _present(wish: Wish, titles: dict[str, str]) -> None:
    """Draws and exports the finished run, as the flags ask for."""
    export = _EXPORT.value and not saved_model.versions(wish.workdir / "export")
    if not (_REPORT.value or export):
        return
    # Not the models that were trained: those may be spread over processes.
    finished = finished_run.load(wish.workdir, str(wish.data_dir))
    for run_of_target in finished.values() if _REPORT.value else ():
        names = item_titles.ShownNames(run_of_target.source, titles)
        sections = run_of_target.experiment.report_sections(run_of_target.model, names)
        page = report.write(run_of_target.folder, wish.options.monitor, sections)
        print(f"\nreport {page}")
    if export:
        print(f"\nexported {finished_run.export(wish.workdir, finished)}")


def _titles() -> dict[str, str]:
    """Returns what `--titles.*` call the items; nothing without a report."""
    options = _TITLES()
    if not (_REPORT.value and options.path):
        return {}
    return item_titles.read_titles(data_flags.under_raw_dir(options.path), options)


def _without_transfer(wish: Wish) -> Any:
    """Returns the baseline's configuration; refuses, before any work, what cannot be compared."""
    system = wish.system
    try:
        wish.options.check_comparable()
    except ValueError as error:
        flag = f"--{system.evaluation_group}.monitor"
        raise program.FlagError(f"--compare_no_transfer: {flag}: {error}") from error
    baseline = system.without_transfer(wish.config)
    if baseline == wish.config:
        raise program.FlagError(
            f"--compare_no_transfer: --{system.name}.* transfers nothing already; leave it out."
        )
    return baseline


@contextlib.contextmanager
def _only_chief_prints(distribution: Distribution) -> Iterator[None]:
    """Silences the other processes, which would print the same; errors come out everywhere."""
    if distribution.is_chief:
        yield
        return
    print(f"worker {distribution.worker} of {distribution.num_workers}: the chief prints the run.")
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        yield


def run() -> None:
    """Console entry point."""
    program.run(main)


if __name__ == "__main__":
    run()
