"""Who takes part in a benchmark: what to start, with which settings."""

import dataclasses
import importlib.util
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, get_origin, get_type_hints

from launchers.benchmarking import generated
from launchers.benchmarking.generated.generator import DataSizes
from tfcdr.benchmark import Peer
from tfcdr.stage import Stage
from tfcdr.systems.registry import SYSTEMS

OURS = "tfcdr"


@dataclasses.dataclass(frozen=True)
class Plan:
    """What tfcdr is to train.

    Attributes:
      system: from the registry.
      stage: of the system.
      config: the system's configuration.
      sizes: of the generated data.
      jit_compile: whether XLA compiles the step.
    """

    system: str
    stage: str
    config: Any
    sizes: DataSizes
    jit_compile: bool

    def stage_to_train(self) -> Stage:
        """Returns the system's stage of that name.

        Raises:
          ValueError: the configuration has none.
        """
        stages = {stage.name: stage for stage in SYSTEMS[self.system].stages(self.config)}
        if self.stage not in stages:
            raise ValueError(
                f"its stages are {', '.join(stages)}; there is no {self.stage} among them."
            )
        return stages[self.stage]


class Entry(NamedTuple):
    """A contender that has not started yet.

    Attributes:
      start: takes a folder for data and the peers' interpreter, and gives what
        `ContenderProcess` takes: command, settings, environment.
    """

    start: Callable[[Path, str], tuple[list[str], Mapping[str, Any], Mapping[str, str]]]


def names() -> tuple[str, ...]:
    """Returns what `--against` takes: tfcdr and every system's peers."""
    return tuple(dict.fromkeys([OURS, *(peer.name for _, peer in _all_peers())]))


def settings_of_peers() -> dict[str, tuple[str, ...]]:
    """Returns what can be set of the peers of each name, for one system or another."""
    settings: dict[str, tuple[str, ...]] = {}
    for _, peer in _all_peers():
        known = settings.get(peer.name, ())
        settings[peer.name] = tuple(dict.fromkeys([*known, *peer.settings]))
    return settings


def tfcdr(plan: Plan) -> Entry:
    """Returns the stage as `launchers/train.py` trains it.

    Raises:
      ValueError: the configuration has no such stage.
    """
    plan.stage_to_train()  # Raises if there is none.

    def start(folder: Path, peer_python: str) -> tuple[list[str], dict, dict]:
        del peer_python
        system, sizes = SYSTEMS[plan.system], plan.sizes
        data_dir = folder / "-".join(map(str, (system.log, *dataclasses.astuple(sizes))))
        source = generated.generator_of(system).prepare(data_dir, sizes)
        settings = {
            "system": plan.system,
            "stage": plan.stage,
            "config": dataclasses.asdict(plan.config),
            "data_dir": str(data_dir),
            "reading": source.settings,
            "jit_compile": plan.jit_compile,
        }
        return [sys.executable, "-m", "launchers.benchmarking.training"], settings, {}

    return Entry(start)


def parse(ours: Plan, text: str) -> Entry:
    """Reads one value of `--against`.

    Args:
      ours: what the contender is compared with, and its defaults.
      text: a name, then settings KEY=VALUE behind blanks.

    Raises:
      ValueError: an unknown name or setting, a value that is refused, or a peer that does other
        work.
    """
    name, *words = text.split() or [""]
    if name not in names():
        raise ValueError(f"it takes one of {', '.join(names())}.")
    settings = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            raise ValueError(f"{word!r} is no setting KEY=VALUE.")
        settings[key] = value
    return _parse_tfcdr(ours, settings) if name == OURS else _parse_peer(ours, name, settings)


def _parse_tfcdr(ours: Plan, settings: dict[str, str]) -> Entry:
    prefix = f"{ours.system}."
    of_config = {
        key.removeprefix(prefix): settings.pop(key)
        for key in list(settings)
        if key.startswith(prefix)
    }
    of_sizes = {
        field.name: settings.pop(f"data.{field.name}")
        for field in dataclasses.fields(DataSizes)
        if f"data.{field.name}" in settings
    }
    plan = dataclasses.replace(
        ours,
        config=_replaced(ours.config, of_config),
        sizes=_replaced(ours.sizes, of_sizes),
        jit_compile=_boolean(settings.pop("jit_compile", str(ours.jit_compile))),
    )
    _refuse_others(OURS, settings)
    return tfcdr(plan)


def _parse_peer(ours: Plan, name: str, settings: dict[str, str]) -> Entry:
    peer = _peer_at_work(ours, name)
    chosen = {
        key: _choice(key, settings.pop(key, values[0]), values)
        for key, values in peer.settings.items()
    }
    _refuse_others(name, settings)
    stage = ours.stage_to_train()

    def start(folder: Path, peer_python: str) -> tuple[list[str], Mapping, Mapping]:
        del folder
        sizes = generated.generator_of(SYSTEMS[ours.system]).input_sizes(ours.sizes)
        told = peer.invoke(stage, ours.config, sizes, chosen)
        return _command(peer, peer_python), told.settings, told.environment

    return Entry(start)


def _all_peers() -> list[tuple[str, Peer]]:
    """Returns all systems' peers beside the system's name."""
    return [(name, peer) for name, system in SYSTEMS.items() for peer in system.benchmark.peers]


def _peer_at_work(ours: Plan, name: str) -> Peer:
    """Returns the one of that name that does the work.

    Raises:
      ValueError: none does; says which work peers of that name do.
    """
    for peer in SYSTEMS[ours.system].benchmark.peers:
        if peer.name == name and peer.does_work_of(ours.stage, ours.config):
            return peer
    works = [peer.work(system) for system, peer in _all_peers() if peer.name == name]
    raise ValueError(
        f"{name} does not do the work of this system, stage and configuration; it does that of "
        f"{', and of '.join(works)}."
    )


def _command(peer: Peer, peer_python: str) -> list[str]:
    if peer.needs_tensorflow:
        return [sys.executable, "-m", peer.program]
    # A script: as a module, it would need what the packages around it import.
    found = importlib.util.find_spec(peer.program)
    if found is None or found.origin is None:
        raise ValueError(f"{peer.program}: no such program.")
    return [peer_python, found.origin]


def _choice(key: str, text: str, values: tuple[str, ...]) -> str:
    """Returns the value that a text names in upper or lower case."""
    chosen = {value.lower(): value for value in values}.get(text.lower())
    if chosen is None:
        raise ValueError(f"{key} must be one of {', '.join(values)}, not {text!r}.")
    return chosen


def _refuse_others(name: str, settings: Mapping[str, str]) -> None:
    """Refuses settings that nobody has taken out."""
    if settings:
        raise ValueError(f"{name} has no setting {next(iter(settings))!r}.")


def _replaced(instance: Any, changes: Mapping[str, str]) -> Any:
    """Returns a dataclass with some fields read from text."""
    types = get_type_hints(type(instance))
    values: dict[str, Any] = {}
    for name, text in changes.items():
        if name not in types:
            raise ValueError(f"{type(instance).__name__} has no field {name!r}.")
        kind = types[name]
        if get_origin(kind) is tuple:
            values[name] = tuple(kind.__args__[0](part) for part in text.split(",") if part)
        else:
            values[name] = _boolean(text) if kind is bool else kind(text)
    return dataclasses.replace(instance, **values)


def _boolean(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError(f"true or false was expected, not {text!r}.")
    return text.lower() == "true"
