"""A run with several seeds: a whole run of each, and what they say together.

WORKDIR/seed-K   the run of seed K, as if it had been trained alone
WORKDIR          config.json; metrics.json with means, spreads, and intervals over rows and seeds
"""

import contextlib
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from data_pipelines.prepared.dataset import PreparedData
from data_pipelines.prepared.reading import Source
from launchers import finished_run, folder_lock, result_box, target_runs, whole_run
from launchers.run_folders import seed_folder
from launchers.target_runs import SPLITS, Wish
from launchers.whole_run import Presentation
from tfcdr import bar_gain
from tfcdr.bar_gain import BarGain
from tfcdr.distribution.one_device import Distribution
from tfcdr.runs.run_folder import RunFolder
from tfcdr.transfer_gain import TransferGain


def carry_out(
    wish: Wish,
    count: int,
    prepare: Callable[[], PreparedData],
    read: Callable[[PreparedData], dict[str, Source]],
    presentation: Presentation,
    distribution: Distribution,
) -> None:
    """Does what `whole_run.carry_out` does for each seed from the wish's on, and sums up.

    A command with more seeds than before trains those that are missing.

    Args:
      wish: what is asked for.
      count: how many seeds.
      prepare: see `whole_run.carry_out`.
      read: see there.
      presentation: what becomes of each finished run.
      distribution: the devices and processes that train.

    Raises:
      HeldError: another process trains in the folder.
      FlagError: there is nothing to compare with.
      RunError: something does not fit; see `target_runs.run`.
      DataError: the data are missing, damaged or do not give what is asked for.
    """
    folder = RunFolder(wish.workdir, distribution.is_chief)
    settings = target_runs.run_config(wish, wish.config, distribution) | {"several_seeds": True}
    seeds = range(wish.seed, wish.seed + count)

    def read_and_claim(data: PreparedData) -> dict[str, Source]:
        sources = read(data)
        folders = [RunFolder(seed_folder(wish.workdir, seed)) for seed in seeds]
        trained = all(of_seed.metrics() is not None for of_seed in folders)
        if not (trained and target_runs.is_finished(folder, settings, distribution)):
            # Before anything is written.
            target_runs.check_all(wish, sources, distribution)
        target_runs.claim(wish, wish.config, folder, settings, distribution)
        return sources

    lock = folder_lock.held(wish.workdir, "trains")
    with lock if distribution.is_chief else contextlib.nullcontext():
        for seed in seeds:
            if distribution.is_chief:
                print(f"\nseed {seed}, {1 + seed - seeds[0]} of {count}")
            of_seed = wish._replace(seed=seed, workdir=seed_folder(wish.workdir, seed))
            first = seed == seeds[0]
            whole_run.carry_out(
                of_seed, prepare, read_and_claim if first else read, presentation, distribution
            )
        if distribution.is_chief:
            by_target = _metrics(wish.workdir, seeds)
            folder.finish(by_target.get("", {"targets": by_target}))
            for target, metrics in by_target.items():
                _print(target, metrics, wish.options.monitor)
            result_box.show_seeds(wish.workdir, wish.system, wish.options.monitor, by_target)


def over_seeds(runs: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    """Returns what the runs of several seeds say together.

    Args:
      runs: what metrics.json of each holds, by seed.

    Returns:
      "seeds"; "validation" and "test", the means, and "by_seed", those splits of each seed; and, as
      far as the runs have them, "transfer", "transfer_groups", "transfer_parts" and "bars" as
      metrics.json of one run has them, with intervals over rows and seeds.
    """
    every = list(runs.values())
    by_seed = {split: {str(seed): of[split] for seed, of in runs.items()} for split in SPLITS}
    found: dict[str, Any] = {"seeds": list(runs), "by_seed": by_seed}
    for split in SPLITS:
        table = pd.DataFrame([of[split] for of in every], dtype=float)
        found[split] = table.mean(skipna=False).to_dict()
    if all("transfer" in of for of in every):
        found["transfer"] = _joined(TransferGain, [of["transfer"] for of in every])
        for name in ("transfer_groups", "transfer_parts"):
            found[name] = {
                key: _joined(TransferGain, [of[name][key] for of in every])
                for key in every[0][name]
            }
        found["baseline_bars"] = _bars([of["baseline_bars"] for of in every])
    found["bars"] = _bars([of.get("bars", {}) for of in every])
    return found


def _metrics(workdir: pathlib.Path, seeds: Sequence[int]) -> dict[str, dict[str, Any]]:
    """Returns `over_seeds` of each target by its name, of a single one by ""."""
    of_seeds: dict[str, dict[int, Any]] = {}
    for seed in seeds:
        for target, folder in finished_run.folders(seed_folder(workdir, seed)).items():
            of_seeds.setdefault(target, {})[seed] = folder.metrics()
    return {target: over_seeds(runs) for target, runs in of_seeds.items()}


def _joined(kind: Any, entries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return kind.over_trainings([kind.from_json(entry) for entry in entries])._asdict()


def _bars(of_runs: Sequence[Mapping[str, Mapping[str, Any]]]) -> dict[str, Any]:
    return {
        bar: {
            group: _joined(BarGain, [of[bar][group] for of in of_runs]) for group in of_runs[0][bar]
        }
        for bar in of_runs[0]
    }


def _print(target: str, metrics: Mapping[str, Any], monitor: str) -> None:
    """Prints figures of each seed, their mean and spread, and the verdicts over all."""
    print(f"\n{target or 'all seeds'}")
    rows = [
        {"seed": seed, **{split: metrics["by_seed"][split][seed].get(monitor) for split in SPLITS}}
        for seed in metrics["by_seed"]["test"]
    ]
    table = pd.DataFrame(rows).set_index("seed").astype(float)
    table.loc["mean"], table.loc["spread"] = table.mean(), table.std(ddof=1)
    table.columns = [f"{split} {monitor}" for split in SPLITS]
    print(table.to_string(float_format=lambda value: f"{value:.4f}", na_rep="-"))
    lines = bar_gain.lines(metrics["bars"])
    over = f"rows and {len(rows)} trainings"
    for line in [*lines, *target_runs.transfer_lines(metrics, over)]:
        print(line)
