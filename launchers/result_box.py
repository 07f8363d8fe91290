"""What a run ends with: the model, what it is compared with, its files and what to do next."""

import math
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from launchers import finished_run
from tfcdr.bar_gain import BarGain
from tfcdr.ranking.signatures import RECOMMEND
from tfcdr.runs.run_folder import RunFolder
from tfcdr.system import System
from tfcdr.transfer_gain import TransferGain

# Where the output is no terminal.
_WIDTH = 100
_FIGURE = "{:.4f}"


def show(workdir: Path, system: System, monitor: str) -> None:
    """Prints the box of a finished run.

    Args:
      workdir: the run's folder.
      system: what was trained.
      monitor: the figure that is compared.
    """
    folders = finished_run.folders(workdir)
    by_target = {target: folder.metrics() or {} for target, folder in folders.items()}
    files = [*_files(workdir, list(folders.values())), ("next", _next(workdir, system))]
    _print(f"{system.name} in {workdir}", by_target, monitor, files)


def show_seeds(
    workdir: Path, system: System, monitor: str, by_target: Mapping[str, Mapping[str, Any]]
) -> None:
    """Prints the box of finished runs of several seeds.

    Args:
      workdir: the folder of them all.
      system: what was trained.
      monitor: the figure that is compared.
      by_target: what metrics.json of the folder holds, by target; of a single one by "".
    """
    runs = shlex.quote(f"{workdir}/") + "seed-*"
    following = f"python launchers/compare.py --runs={runs} --output=comparison"
    if RECOMMEND not in system.signatures:
        following = f"python launchers/evaluate.py --workdir={runs.removesuffix('*')}0"
    files = [("figures", str(workdir / "metrics.json")), ("next", following)]
    seeds = len(next(iter(by_target.values()))["seeds"])
    _print(f"{system.name}, mean of {seeds} seeds in {workdir}", by_target, monitor, files)


def _print(
    title: str,
    by_target: Mapping[str, Mapping[str, Any]],
    monitor: str,
    said_of_files: Sequence[tuple[str, str]],
) -> None:
    figures, files = Table.grid(padding=(0, 2)), Table.grid(padding=(0, 2))
    for target, metrics in by_target.items():
        if target:
            figures.add_row(f"target {target}")
        for row in _rows(metrics, monitor):
            figures.add_row(*row)
    files.add_column(no_wrap=True)
    files.add_column(overflow="fold")
    for row in said_of_files:
        files.add_row(*row)
    width = None if sys.stdout.isatty() else _WIDTH
    console = Console(file=sys.stdout, width=width, highlight=False, markup=False)
    content = Group(figures, "", files)
    console.print()
    console.print(Panel(content, title=Text(title), box=box.ROUNDED, expand=False))


def _rows(metrics: Mapping[str, Any], monitor: str) -> Iterator[tuple[str, ...]]:
    """Gives name, figure and verdict of the model and of each that it is compared with."""
    bars = [
        BarGain.from_json(next(iter(of_groups.values())))
        for of_groups in metrics.get("bars", {}).values()
    ]
    gains = {"transfer": metrics["transfer"]} if "transfer" in metrics else {}
    gains |= metrics.get("transfer_parts", {})
    parts = {part: TransferGain.from_json(entry) for part, entry in gains.items()}
    figure = metrics.get("test", {}).get(monitor)
    own, by = figure, monitor
    if bars and math.isfinite(bars[0].gain):
        # The tables' are means over interactions.
        own, by = bars[0].model, f"{bars[0].metric}, mean over users"
    yield "the model", "-" if own is None else _FIGURE.format(own), f"test {by}"
    for bar in bars:
        yield bar.bar, _FIGURE.format(bar.of_bar), f"the model is {bar.word()} it"
    for part, gain in parts.items():
        yield f"without {part}", _FIGURE.format(gain.no_transfer), f"{part} {gain.word()}"


def _files(workdir: Path, folders: list[RunFolder]) -> Iterator[tuple[str, str]]:
    yield "figures", str(workdir / "metrics.json")
    for folder in folders:
        page = folder.path / "report" / "index.html"
        if page.exists():
            yield "report", str(page)
    if version := RunFolder(workdir).exported():
        yield "export", str(version)


def _next(workdir: Path, system: System) -> str:
    where = shlex.quote(str(workdir))
    if RECOMMEND in system.signatures:
        return f"python launchers/recommend.py --workdir={where} --output=recommendations.csv"
    if RunFolder(workdir).exported() is None:
        return f"python launchers/export.py --workdir={where}"
    return f"python launchers/evaluate.py --workdir={where}"
