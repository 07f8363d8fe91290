"""Trains a model for each target of a run.

A run with one target has all its files in its folder; one with several has a folder for each, and
metrics.json with the figures of all.
"""

import dataclasses
import importlib.metadata
import math
import pathlib
import platform
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from data_pipelines.errors import DataError
from data_pipelines.prepared.interaction_source import InteractionSource
from data_pipelines.prepared.reading import Source
from launchers import lengthening, pretraining
from launchers.run_folders import target_folder
from tfcdr import bar_gain, row_groups
from tfcdr.distribution.one_device import Distribution
from tfcdr.errors import RunError
from tfcdr.runs.experiment import Experiment
from tfcdr.runs.pretrained_run import PretrainedRun
from tfcdr.runs.run_folder import RunFolder
from tfcdr.runs.stage_screen import clock
from tfcdr.system import System
from tfcdr.transfer_gain import TransferGain

SPLITS = ("validation", "test")
# The whole transfer, beside parts such as pre-training.
TRANSFER = "transfer"


class Wish(NamedTuple):
    """What a run is asked for.

    Attributes:
      system: to train.
      config: its configuration.
      options: how it is evaluated.
      baseline_config: of the run without transfer that it is compared with, or None. What the
        parts of the transfer add is then measured as well.
      workdir: the run's folder.
      data_dir: the data set's.
      pretrained: the folder of the run that it takes over, or "".
      seed: of weights, batches and draws.
      deterministic: whether the run gives the same bits again.
      jit_compile: whether train steps are compiled by XLA.
      mixed_precision: whether layers compute in float16.
      read_losses_every: steps between two readings of the losses.
    """

    system: System
    config: Any
    options: Any
    baseline_config: Any
    workdir: pathlib.Path
    data_dir: pathlib.Path
    pretrained: str
    seed: int
    deterministic: bool
    jit_compile: bool
    mixed_precision: bool
    read_losses_every: int


def run(wish: Wish, sources: dict[str, Source], distribution: Distribution) -> None:
    """Trains and evaluates, and compares with the run without transfer if that is asked for.

    Args:
      wish: what is asked for.
      sources: what is read for each target, by their names.
      distribution: the devices and processes that train.

    Raises:
      RunError: something does not fit; see `Experiment`.
      DataError: the data cannot give what is asked for.
    """
    if len(sources) == 1:
        ((target, source),) = sources.items()
        pretrained = _pretrained(wish, target, source)
        _run_target(wish, source, wish.workdir, distribution, pretrained)
        return
    folder = RunFolder(wish.workdir, distribution.is_chief)
    settings = run_config(wish, wish.config, distribution)
    settings |= {"targets": list(sources), "pretrained": wish.pretrained and _path(wish.pretrained)}
    if not is_finished(folder, settings, distribution):
        check_all(wish, sources, distribution)
    claim(wish, wish.config, folder, settings, distribution)
    stages = wish.system.stages(wish.config)
    metrics, shared = {}, None
    for target, source in sources.items():
        print(f"\ntarget {target}")
        of_target = target_folder(wish.workdir, target)
        pretrained = shared or _pretrained(wish, target, source)
        metrics[target] = _run_target(wish, source, of_target, distribution, pretrained)
        trained_first = pretrained is None or pretrained.data is not None
        if trained_first and stages[0].shared and len(stages) > 1:
            shared = PretrainedRun(RunFolder(of_target, False))
    folder.finish(_summary(metrics))


def check_all(wish: Wish, sources: dict[str, Source], distribution: Distribution) -> None:
    """Checks every target before anything is written; says which could be trained without others.

    Args:
      wish: what is asked for.
      sources: what is read for each target, by their names.
      distribution: the devices and processes that train.

    Raises:
      RunError: one does not fit.
    """
    errors = {}
    for target, source in sources.items():
        folder = RunFolder(target_folder(wish.workdir, target), distribution.is_chief)
        try:
            pretrained = _pretrained(wish, target, source)
            _checked(wish, wish.config, source, folder, distribution, pretrained)
        except (DataError, RunError) as error:
            errors[target] = error
    if errors:
        fitting = ",".join(target for target in sources if target not in errors)
        advice = f" These targets can be trained: --target={fitting}." if fitting else ""
        raise RunError(f"{' '.join(map(str, errors.values()))}{advice}")


def _run_target(
    wish: Wish,
    source: Source,
    workdir: pathlib.Path,
    distribution: Distribution,
    pretrained: PretrainedRun | None,
) -> dict[str, Any]:
    """Trains and evaluates for one target, and returns what metrics.json holds."""
    folder = RunFolder(workdir, distribution.is_chief)
    main_run = claimed(wish, wish.config, source, folder, distribution, pretrained)
    if pretrained is not None:
        for line in pretraining.what_was_read(pretrained, source):
            print(line)
    if isinstance(source, InteractionSource):
        for line in (*source.left_out(), *_about_weights(wish.system, wish.config, source)):
            print(line)
    metrics = _finish(main_run, folder)
    if wish.baseline_config is not None:
        # The model's own tables come last: what it is compared with says a line each.
        monitor = wish.options.monitor
        _print_figure("the model", metrics, monitor)
        alone = workdir / "no_transfer"
        without = {TRANSFER: (wish.baseline_config, alone)}
        for part, config in wish.system.ablations(wish.config).items():
            without[part] = config, workdir / f"no_{part.replace('-', '').replace(' ', '_')}"
        left = [config for config, path in without.values() if RunFolder(path).metrics() is None]
        for line in _time_left(wish.system, left, metrics):
            print(line)
        baselines = {}
        for part, (config, path) in without.items():
            print(
                "\nThe same model, which knows of the target alone:"
                if part == TRANSFER
                else f"\nThe same model without {part}:"
            )
            before = pretraining.beside(pretrained, path.name) if pretrained else None
            baselines[part] = _baseline(wish, config, source, path, distribution, before)
        bars = RunFolder(alone).finished_metrics().get("bars", {})
        metrics = {**metrics, **_compare(metrics, main_run, baselines, bars, folder)}
    main_run.print_tables(metrics)
    for line in transfer_lines(metrics):
        print(line)
    return metrics


def transfer_lines(metrics: Mapping[str, Any], over: str = "users of one training") -> list[str]:
    """Says what metrics.json has of the transfer and its parts, by group; nothing if it has none.

    Where the run without transfer is below a bar itself, that is said, too.

    Args:
      metrics: of a run.
      over: what the interval is over.
    """
    if "transfer" not in metrics:
        return []
    verdict = TransferGain.from_json(metrics["transfer"]).verdict()
    lines = ["", f"{verdict}, over {over}"]
    warning = bar_gain.baseline_line(metrics.get("baseline_bars", {}))
    lines += [warning] if warning else []
    for group, entry in metrics.get("transfer_groups", {}).items():
        lines.append(TransferGain.from_json(entry).group_line(group))
    for part, entry in metrics.get("transfer_parts", {}).items():
        lines.append(TransferGain.from_json(entry).verdict(part))
    return lines


def _time_left(system: System, configs: Sequence[Any], metrics: Mapping[str, Any]) -> Iterator[str]:
    """Says how long the runs to compare with last at most, at the pace of the run itself.

    Args:
      system: of all.
      configs: of the runs that are not finished.
      metrics: of the run; nothing is said if it lacks a stage of theirs.
    """
    paces = {name: of["seconds"] / of["epochs"] for name, of in metrics["stages"].items()}
    stages = [stage for config in configs for stage in system.stages(config)]
    if stages and all(stage.name in paces for stage in stages):
        seconds = sum(paces[stage.name] * stage.epochs for stage in stages)
        runs = "run" if len(configs) == 1 else "runs"
        yield (
            f"{len(configs)} {runs} to compare with: at most {clock(seconds)} at the pace of this "
            "one, evaluation not counted"
        )


def _baseline(
    wish: Wish,
    config: Any,
    source: Source,
    path: pathlib.Path,
    distribution: Distribution,
    pretrained: PretrainedRun | None,
) -> Experiment:
    """Trains and evaluates what the run is compared with."""
    folder = RunFolder(path, distribution.is_chief)
    baseline = claimed(wish, config, source, folder, distribution, pretrained)
    _print_figure("without it", _finish(baseline, folder), wish.options.monitor)
    return baseline


def _checked(
    wish: Wish,
    config: Any,
    source: Source,
    folder: RunFolder,
    distribution: Distribution,
    pretrained: PretrainedRun | None,
) -> Experiment:
    """Returns a run with one configuration that fits the data; writes nothing.

    One that is finished trains no more, so that its data are not checked again.
    """
    experiment = Experiment(
        system=wish.system,
        config=config,
        data=source,
        folder=folder,
        options=wish.options,
        seed=wish.seed,
        jit_compile=wish.jit_compile,
        distribution=distribution,
        mixed_precision=wish.mixed_precision,
        read_losses_every=wish.read_losses_every,
        pretrained=pretrained,
    )
    settings = _settings(wish, config, source, distribution, pretrained)
    if not is_finished(folder, settings, distribution):
        experiment.check_data()
    return experiment


def claimed(
    wish: Wish,
    config: Any,
    source: Source,
    folder: RunFolder,
    distribution: Distribution,
    pretrained: PretrainedRun | None = None,
) -> Experiment:
    """Checks the data, unless the run is finished, and claims the folder of one configuration."""
    experiment = _checked(wish, config, source, folder, distribution, pretrained)
    settings = _settings(wish, config, source, distribution, pretrained)
    claim(wish, config, folder, settings, distribution)
    return experiment


def _settings(
    wish: Wish,
    config: Any,
    source: Source,
    distribution: Distribution,
    pretrained: PretrainedRun | None,
) -> dict[str, Any]:
    """Returns what config.json of a run with one configuration holds."""
    return {
        **run_config(wish, config, distribution),
        "data_fingerprint": source.fingerprint,
        "shared_fingerprint": source.shared_fingerprint,
        "reading": source.settings,
        "pretrained": _taken_from(pretrained),
    }


def is_finished(folder: RunFolder, settings: Mapping[str, Any], distribution: Distribution) -> bool:
    """Whether nothing is left to train there, which all processes of a run must find alike.

    Of several processes one may not see the chief's folder, as on a disk that is not shared.

    Args:
      folder: of the run, or of the runs of several targets or seeds.
      settings: what config.json holds.
      distribution: the processes.
    """
    return distribution.num_workers == 1 and folder.is_finished(settings)


def claim(
    wish: Wish,
    config: Any,
    folder: RunFolder,
    settings: Mapping[str, Any],
    distribution: Distribution,
) -> None:
    """Claims a folder; a run that is there and is to train longer goes on with these settings.

    Args:
      wish: what is asked for.
      config: of the run.
      folder: of the run, or of the runs of several targets or seeds.
      settings: what config.json holds.
      distribution: the processes that share the folder.

    Raises:
      RunError: see `RunFolder.claim` and `lengthening.is_longer`.
    """
    with distribution.chief_first():
        if lengthening.is_longer(wish.system, config, folder, settings, wish.options.monitor):
            print(f"{folder.path}: goes on with the run that is there, for longer")
            stages, monitor = wish.system.stages(config), wish.options.monitor
            folder.lengthen(settings, lengthening.fitted_again(stages, folder, monitor))
        folder.claim(settings)


def _finish(experiment: Experiment, folder: RunFolder) -> dict[str, Any]:
    """Runs what is left to run and returns what metrics.json holds."""
    metrics = folder.metrics()
    if metrics is None:
        return experiment.run()
    print(f"{folder.path}: this run is finished; nothing to do.")
    return metrics


def _print_figure(what: str, metrics: Mapping[str, Any], monitor: str) -> None:
    figure = metrics.get("test", {}).get(monitor)
    if figure is not None:
        print(f"{what}: test {monitor} {figure:.4f}")


def _compare(
    metrics: dict[str, Any],
    main_run: Experiment,
    baselines: Mapping[str, Experiment],
    baseline_bars: dict[str, Any],
    folder: RunFolder,
) -> dict[str, Any]:
    """Measures whether the transfer helped: all test rows, each group of them, each of its parts.

    Args:
      metrics: of the main run.
      main_run: with the whole transfer.
      baselines: without it, and without each of its parts, by part.
      baseline_bars: how the run without transfer does beside the bars.
      folder: of the main run.

    Returns:
      The gains as metrics.json holds them.
    """
    if "transfer_groups" not in metrics:
        gains = {part: main_run.transfer_gains(of) for part, of in baselines.items()}
        entries = {
            part: {group: gain._asdict() for group, gain in of.items()}
            for part, of in gains.items()
        }
        groups = entries.pop(TRANSFER)
        metrics = {"transfer": groups.pop(row_groups.ALL), "transfer_groups": groups}
        metrics["transfer_parts"] = {part: of[row_groups.ALL] for part, of in entries.items()}
        metrics["baseline_bars"] = baseline_bars
        folder.add_to_metrics(metrics)
    names = ("transfer", "transfer_groups", "transfer_parts", "baseline_bars")
    return {name: metrics[name] for name in names if name in metrics}


def run_config(wish: Wish, config: Any, distribution: Distribution) -> dict[str, Any]:
    """Returns the settings that config.json of any run holds, whatever it reads."""
    packages = ("tensorflow", "tf-keras", "tensorflow-recommenders", "numpy", "tfcdr")
    versions = {package: importlib.metadata.version(package) for package in packages}
    return {
        "system": wish.system.name,
        "config": dataclasses.asdict(config),
        "evaluation": dataclasses.asdict(wish.options),
        "seed": wish.seed,
        "deterministic": wish.deterministic,
        "jit_compile": wish.jit_compile,
        "mixed_precision": wish.mixed_precision,
        "read_losses_every": wish.read_losses_every,
        "strategy": distribution.name,
        "replicas": distribution.num_replicas,
        "data_dir": str(wish.data_dir.absolute()),
        "versions": {"python": platform.python_version(), **versions},
    }


def _pretrained(wish: Wish, target: str, source: Source) -> PretrainedRun | None:
    if not wish.pretrained:
        return None
    stages = wish.system.stages(wish.config)
    return pretraining.of_target(pathlib.Path(wish.pretrained), stages, target, source)


def _taken_from(pretrained: PretrainedRun | None) -> str | list[str]:
    """Returns the path of the run that another takes over; of several seeds all of them."""
    paths = [_path(folder.path) for folder in pretrained.folders] if pretrained else [""]
    return paths if len(paths) > 1 else paths[0]


def _path(folder: str | pathlib.Path) -> str:
    return str(pathlib.Path(folder).absolute())


def _summary(metrics: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Returns what metrics.json of a run with several targets holds.

    Args:
      metrics: those of each target's run, by target.

    Returns:
      "validation" and "test": the means over targets; "targets": the metrics of each.
    """
    means = {split: _means([of[split] for of in metrics.values()]) for split in SPLITS}
    return {**means, "targets": dict(metrics)}


def _means(figures: list[Mapping[str, float | None]]) -> dict[str, float]:
    means = {}
    for name in dict.fromkeys(name for of in figures for name in of):
        # A target may lack a figure, or have one that is not finite, which JSON keeps as null.
        known = [value for of in figures if (value := of.get(name)) is not None]
        values = [value for value in known if math.isfinite(value)]
        means[name] = sum(values) / len(values) if values else math.nan
    return means


def _about_weights(system: System, config: Any, source: InteractionSource) -> list[str]:
    """Says so if the data give kinds of event a weight that the system makes no use of."""
    if not source.weighs_events or system.weighs_events(config):
        return []
    return [
        f"{system.name} makes no use of --read.event_weights: to it, all kinds of event count "
        "alike; item neighbours weigh them."
    ]
