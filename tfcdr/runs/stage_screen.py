"""What a person sees of a stage while it trains: a bar with ETA on a terminal, a line an epoch."""

import sys
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


class StageScreen:
    """A body in which a stage trains; where the output is no terminal, no bar is drawn."""

    def __init__(
        self, name: str, place: str, epochs: int, done: int, steps: int, then: Sequence[str] = ()
    ) -> None:
        """Describes the stage.

        Args:
          name: the stage's.
          place: such as "stage 1 of 2"; "" for a single one.
          epochs: at most.
          done: epochs that another process has finished.
          steps: of an epoch, at least 1.
          then: names of the stages that follow, whose epochs nobody has timed yet.
        """
        self._name, self._epochs, self._steps = name, epochs, steps
        self._first = self._done = done
        self._then = f", then {' and '.join(then)}" if then else ""
        self._started = time.monotonic()
        self._progress = None
        if sys.stdout.isatty():
            self._progress = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TaskProgressColumn(),
                TextColumn("{task.fields[latest]}"),
                TimeElapsedColumn(),
                TextColumn("at most"),
                TimeRemainingColumn(),
                TextColumn(self._then.removeprefix(", ")),
                transient=True,
            )
            self._what = f"{place}, {name}" if place else name
            self._task = self._progress.add_task(
                self._what, total=epochs * steps, completed=done * steps, latest=""
            )

    def __enter__(self) -> "StageScreen":
        self._started = time.monotonic()
        if self._progress:
            self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._progress:
            self._progress.stop()

    def step(self, step: int, latest: Mapping[str, float]) -> None:
        """Shows how far an epoch is: steps made, and the losses that were read last."""
        if self._progress:
            self._progress.update(
                self._task,
                completed=self._done * self._steps + step,
                description=f"{self._what} epoch {self._done + 1}/{self._epochs}",
                latest=f"loss {latest['loss']:.4f}" if "loss" in latest else "",
            )

    def epoch_done(self, line: Mapping[str, Any], monitor: str, better: bool) -> None:
        """Shows a finished epoch in one line.

        Args:
          line: as in metrics.jsonl.
          monitor: the validation figure that selects the best epoch.
          better: whether this is the best so far.
        """
        self._done += 1
        if self._progress:
            self._progress.update(self._task, completed=self._done * self._steps)
        print(
            f"{self._name} epoch {self._done}/{self._epochs}: {_figures(line, monitor, better)}, "
            f"{line['seconds']:.1f} s{self._left()}"
        )

    def _left(self) -> str:
        """Says how long the stage lasts if no patience ends it, and what comes behind it."""
        left = self._epochs - self._done
        if not left:
            return self._then
        an_epoch = (time.monotonic() - self._started) / (self._done - self._first)
        return f", at most {clock(left * an_epoch)} left{self._then}"


def clock(seconds: float) -> str:
    """Writes a time as people read it: 0:07, 12:03, 1:02:03."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def _figures(line: Mapping[str, Any], monitor: str, better: bool) -> str:
    """Names the monitor, the other figures at its cut-off, and the losses."""
    validation = line["validation"]
    _, at, cutoff = monitor.partition("@")
    others = [name for name in validation if at and name.endswith(at + cutoff) and name != monitor]
    known = ("stage", "epoch", "figures", "validation", "seconds", "examples_per_second")
    losses = {name: value for name, value in line.items() if name not in known}
    shown = [f"{monitor} {validation[monitor]:.4f}{' (best)' if better else ''}"]
    shown += [f"{name} {validation[name]:.4f}" for name in others]
    shown += [f"{name} {value:.4g}" for name, value in {**losses, **line["figures"]}.items()]
    return ", ".join(shown)
