"""Trains a system on a data set, evaluates it, and leaves everything in --workdir.

    python launchers/train.py --flagfile=launchers/flagfiles/demo.cfg --workdir=runs/demo

Run again with the same flags, it resumes where it stopped; a finished run says so. With --reader
and its flags, a data set that --data_dir lacks is prepared first.
"""

import contextlib
import dataclasses
import importlib.metadata
import os
import pathlib
import platform
from collections.abc import Iterator, Sequence
from typing import Any

from absl import flags

from data_pipelines.prepared import item_titles
from launchers import compilation, config_flags, data_flags, finished_run, program
from tfcdr.distribution import strategies
from tfcdr.distribution.one_device import Distribution
from tfcdr.runs import report
from tfcdr.runs.experiment import Experiment, enable_determinism
from tfcdr.runs.run_folder import RunFolder
from tfcdr.system import System
from tfcdr.systems.registry import EVALUATION_OPTIONS, SYSTEMS
from tfcdr.transfer_gain import TransferGain

_SYSTEM = flags.DEFINE_enum("system", "peterrec", sorted(SYSTEMS), "The system to train.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run: checkpoints, metrics.")
_SEED = flags.DEFINE_integer(
    "seed",
    0,
    "Decides weights, order of the data and every draw.",
    lower_bound=0,
    upper_bound=2**30,
)
_DETERMINISTIC = flags.DEFINE_bool(
    "deterministic", False, "Two runs give the same bits, at some cost in speed."
)
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
    "the last, which alone is trained.",
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
_MIXED_PRECISION = flags.DEFINE_bool(
    "mixed_precision",
    False,
    "Computes in float16 with float32 weights and a loss scale that adapts itself: faster on GPUs "
    "of compute capability 7.0 and above. What is exported computes in float32.",
)
_CONFIGS = {
    name: config_flags.define(name, system.config_class) for name, system in SYSTEMS.items()
}
_EVALUATION = {
    name: config_flags.define(name, options) for name, options in EVALUATION_OPTIONS.items()
}
_TITLES = config_flags.define("titles", item_titles.TitleOptions)
flags.adopt_module_key_flags(data_flags)
flags.adopt_module_key_flags(compilation)


def main(argv: Sequence[str]) -> None:
    """Runs what the flags describe."""
    del argv
    if not _WORKDIR.value:
        raise program.FlagError("--workdir is missing: name the folder of the run.")
    workdir = pathlib.Path(_WORKDIR.value)
    RunFolder(workdir).check_free()
    system, config = SYSTEMS[_SYSTEM.value], _CONFIGS[_SYSTEM.value]()
    options = _evaluation_options(system)
    baseline_config = _without_transfer(system, config, options) if _COMPARE.value else None
    if _CPU_DEVICES.value > 1 and _STRATEGY.value != "mirrored":
        raise program.FlagError("--cpu_devices is for --strategy=mirrored alone; leave it out.")
    if _MIXED_PRECISION.value and _STRATEGY.value == "parameter_server":
        # Keras' loss scaling needs every replica to see every gradient.
        raise program.FlagError(
            "--mixed_precision: TensorFlow cannot scale losses with --strategy=parameter_server; "
            "leave one of the two out."
        )
    if _DETERMINISTIC.value:
        enable_determinism()
    distribution = strategies.start(_STRATEGY.value, _CLUSTER_TIMEOUT.value, _CPU_DEVICES.value)
    if distribution is None:
        return
    with distribution.naming_lost_tasks(), _only_chief_prints(distribution):
        _train(system, config, options, baseline_config, distribution)


def _train(
    system: System,
    config: Any,
    options: Any,
    baseline_config: Any,
    distribution: Distribution,
) -> None:
    workdir = pathlib.Path(_WORKDIR.value)
    data_dir = data_flags.data_dir(default=workdir / "data")
    titles = _titles() if distribution.is_chief else {}
    with distribution.chief_first():
        data = data_flags.open_or_build(data_dir, system.views(config))
    if baseline_config is not None and not data.metadata["sources"]:
        raise program.FlagError(
            f"--compare_no_transfer: {data_dir} has the domain {data.metadata['target']} alone, so "
            "that nothing is transferred; leave it out."
        )
    print(data_flags.describe(data.metadata))
    for line in data_flags.few_shards(data, system.views(config), distribution.num_workers):
        print(line)

    def experiment(
        config: Any, folder: RunFolder, pretrained: RunFolder | None = None
    ) -> Experiment:
        new = Experiment(
            system,
            config,
            data,
            folder,
            options,
            _SEED.value,
            compilation.jit_compile(system),
            distribution,
            _MIXED_PRECISION.value,
            pretrained,
        )
        new.check_data()
        with distribution.chief_first():
            settings = _run_config(config, options, data.fingerprint, data_dir, distribution)
            settings["pretrained"] = str(pretrained.path.absolute()) if pretrained else ""
            folder.claim(settings)
        return new

    folder = RunFolder(workdir, distribution.is_chief)
    pretrained = RunFolder(pathlib.Path(_PRETRAINED.value), False) if _PRETRAINED.value else None
    with data.naming_corrupt_shards():
        main_run = experiment(config, folder, pretrained)
        metrics = _finish(main_run, folder)
        if baseline_config is not None:
            baseline_folder = RunFolder(workdir / "no_transfer", distribution.is_chief)
            baseline = experiment(baseline_config, baseline_folder)
            print("\nThe same model trained on the target alone:")
            _finish(baseline, baseline_folder)
            _compare(metrics, main_run, baseline, folder)
    if not distribution.is_chief:
        return
    if _REPORT.value:
        # Not the model that was trained: that one may be spread over processes.
        finished = finished_run.load(workdir, str(data_dir))
        names = item_titles.ShownNames(finished.data, titles)
        sections = finished.experiment.report_sections(finished.model, names)
        print(f"\nreport {report.write(folder, options.monitor, sections)}")
    if _EXPORT.value and not (workdir / "export").exists():
        print(f"\nexported {finished_run.load(workdir, str(data_dir)).export()}")


def _titles() -> dict[str, str]:
    """Returns what `--titles.*` call the items; nothing without a report."""
    options = _TITLES()
    if not (_REPORT.value and options.path):
        return {}
    return item_titles.read_titles(data_flags.under_raw_dir(options.path), options)


def _evaluation_options(system: System) -> Any:
    """Reads the group of flags that the system's evaluation takes; refuses those of others."""
    own = _evaluation_group(system)
    for flag in flags.FLAGS:
        group = flag.partition(".")[0]
        if group in _EVALUATION and group != own and flags.FLAGS[flag].present:
            raise program.FlagError(
                f"--{flag} has no meaning for --system={system.name}; leave it out."
            )
    return _EVALUATION[own]()


def _evaluation_group(system: System) -> str:
    """Names the group of flags that make the system's `evaluation_options`."""
    [name] = (n for n, kind in EVALUATION_OPTIONS.items() if kind is system.evaluation_options)
    return name


def _without_transfer(system: System, config: Any, options: Any) -> Any:
    """Returns the baseline's configuration; refuses, before any work, what cannot be compared."""
    try:
        options.check_comparable()
    except ValueError as error:
        group = _evaluation_group(system)
        raise program.FlagError(f"--compare_no_transfer: --{group}.monitor: {error}") from error
    baseline = system.without_transfer(config)
    if baseline == config:
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


def _finish(experiment: Experiment, folder: RunFolder) -> dict[str, Any]:
    """Runs what is left to run, prints the tables and returns what metrics.json holds."""
    metrics = folder.metrics()
    if metrics is not None:
        print(f"{folder.path}: this run is finished; nothing to do.")
    else:
        metrics = experiment.run()
    experiment.print_tables(metrics)
    return metrics


def _compare(
    metrics: dict[str, Any], main_run: Experiment, baseline: Experiment, folder: RunFolder
) -> None:
    stored = metrics.get("transfer")
    gain = TransferGain(**stored) if stored else main_run.transfer_gain(baseline)
    if not stored:
        folder.add_to_metrics({"transfer": gain._asdict()})
    print(f"\n{gain.verdict()}")


def _run_config(
    config: Any,
    options: Any,
    fingerprint: str,
    data_dir: pathlib.Path,
    distribution: Distribution,
) -> dict[str, Any]:
    packages = ("tensorflow", "tf-keras", "tensorflow-recommenders", "numpy", "tfcdr")
    versions = {package: importlib.metadata.version(package) for package in packages}
    return {
        "system": _SYSTEM.value,
        "config": dataclasses.asdict(config),
        "evaluation": dataclasses.asdict(options),
        "seed": _SEED.value,
        "deterministic": _DETERMINISTIC.value,
        "jit_compile": compilation.jit_compile(SYSTEMS[_SYSTEM.value]),
        "mixed_precision": _MIXED_PRECISION.value,
        "strategy": distribution.name,
        "replicas": distribution.num_replicas,
        "data_fingerprint": fingerprint,
        "data_dir": str(data_dir.absolute()),
        "versions": {"python": platform.python_version(), **versions},
    }


def run() -> None:
    """Console entry point."""
    program.run(main)


if __name__ == "__main__":
    run()
