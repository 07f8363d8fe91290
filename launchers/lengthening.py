"""A run that is to train longer than it was first asked for, finished or not.

The last stage goes on behind its last epoch, as if it had been asked for that many from the start.
One that is fitted as a whole, which takes seconds, is fitted again if one before it goes on.
"""

import dataclasses
import re
from collections.abc import Iterator, Mapping
from typing import Any

from launchers.stored_config import restored
from tfcdr.errors import RunError
from tfcdr.runs.run_folder import RunFolder, differences
from tfcdr.runs.stage_run import is_over
from tfcdr.stage import Stage
from tfcdr.system import System

# Fields of a configuration that can say how long a stage trains.
_LENGTH = re.compile(r"(\w+_)?(epochs|patience)")


def is_longer(
    system: System, config: Any, folder: RunFolder, settings: Mapping[str, Any], monitor: str
) -> bool:
    """Whether a folder holds the same run, asked for less training.

    Args:
      system: of the run.
      config: its configuration now.
      folder: of the run, or of the runs of several targets or seeds.
      settings: all that config.json is to hold.
      monitor: the validation metric that stops a stage.

    Raises:
      RunError: it is, but a stage would go on from which a later one has already started.
    """
    if not (folder.path / "config.json").exists():
        return False
    found = folder.config()
    if differences("", {**found, "config": None}, {**settings, "config": None}):
        return False
    try:
        before = restored(system.config_class, found["config"])
    except (TypeError, ValueError):
        return False
    now = system.stages(config)
    if not _asks_for_more(before, config, system.stages(before), now):
        return False
    for path in sorted(folder.path.rglob("config.json")):
        _refuse_other_start(now, RunFolder(path.parent, writable=False), monitor)
    return True


def _asks_for_more(
    before: Any, config: Any, stages: tuple[Stage, ...], now: tuple[Stage, ...]
) -> bool:
    names = [field.name for field in dataclasses.fields(config)]
    changed = [name for name in names if getattr(before, name) != getattr(config, name)]
    if not changed or not all(map(_LENGTH.fullmatch, changed)) or len(stages) != len(now):
        return False
    return all(
        dataclasses.replace(longer, epochs=shorter.epochs, patience=shorter.patience) == shorter
        and longer.epochs >= shorter.epochs
        and longer.patience >= shorter.patience
        for shorter, longer in zip(stages, now, strict=True)
    )


def _refuse_other_start(stages: tuple[Stage, ...], folder: RunFolder, monitor: str) -> None:
    """Raises RunError if a stage would go on from which one that trains has already started."""
    for stage, later in _started_from(stages, folder, monitor):
        if not later.is_fitted:
            raise RunError(
                f"{folder.path}: stage {stage.name} would go on, from whose best epoch "
                f"{later.name} has already started; leave its length, or give another --workdir."
            )


def fitted_again(stages: tuple[Stage, ...], folder: RunFolder, monitor: str) -> list[str]:
    """Returns the stages of a run that goes on whose model was fitted to what goes on.

    Args:
      stages: as they are asked for now.
      folder: of the run.
      monitor: the validation metric that stops a stage.
    """
    started = _started_from(stages, folder, monitor)
    return sorted({later.name for _, later in started if later.is_fitted})


def _started_from(
    stages: tuple[Stage, ...], folder: RunFolder, monitor: str
) -> Iterator[tuple[Stage, Stage]]:
    """Gives the stages that go on, each with every later one that has already started."""
    for place, stage in enumerate(stages[:-1]):
        if not is_over(stage, folder.epochs(stage.name), monitor):
            for later in stages[place + 1 :]:
                if folder.epochs(later.name):
                    yield stage, later
