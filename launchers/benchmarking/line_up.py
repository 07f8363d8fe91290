"""Who takes part in a benchmark: what to start, with which settings."""

import dataclasses
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, get_origin, get_type_hints

from data_pipelines.impressions.aliexpress import COLUMNS
from data_pipelines.impressions.synthetic import FIELD_SIZES
from launchers.benchmarking import generated_data, generated_impressions
from launchers.benchmarking.generated_data import DataSizes
from tfcdr.systems.registry import SYSTEMS

OURS = "tfcdr"
# Backbones of DAA that `daa_pytorch.py` knows.
_DAA_IN_PYTORCH = ("sharedbottom", "mmoe")


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


class Entry(NamedTuple):
    """A contender that has not started yet.

    Attributes:
      start: takes a folder for data and the peers' interpreter, and gives what
        `ContenderProcess` takes: command, settings, environment.
    """

    start: Callable[[Path, str], tuple[list[str], Mapping[str, Any], Mapping[str, str]]]


def tfcdr(plan: Plan) -> Entry:
    """Returns the stage as `launchers/train.py` trains it."""
    system = SYSTEMS[plan.system]
    (stage,) = (stage for stage in system.stages(plan.config) if stage.name == plan.stage)

    def start(folder: Path, peer_python: str) -> tuple[list[str], dict, dict]:
        del peer_python
        sizes, views = plan.sizes, sorted(set(stage.training.views))
        data_dir = folder / "-".join(map(str, (*views, *dataclasses.astuple(sizes))))
        if views == ["impression"]:
            generated_impressions.prepare(data_dir, sizes)
        else:
            generated_data.prepare(data_dir, sizes, views)
        settings = {
            "system": plan.system,
            "stage": plan.stage,
            "config": dataclasses.asdict(plan.config),
            "data_dir": str(data_dir),
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
      ValueError: an unknown name or setting, or a value that is refused.
    """
    name, *words = text.split()
    if name not in _PARSERS:
        raise ValueError(f"it takes one of {', '.join(NAMES)}.")
    settings = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            raise ValueError(f"{word!r} is no setting KEY=VALUE.")
        settings[key] = value
    contender = _PARSERS[name](ours, settings)
    if settings:
        raise ValueError(f"{name} has no setting {next(iter(settings))!r}.")
    return contender


def _parse_tfcdr(ours: Plan, settings: dict[str, str]) -> Entry:
    prefix = f"{ours.system}."
    of_config = {
        key.removeprefix(prefix): settings.pop(key)
        for key in list(settings)
        if key.startswith(prefix)
    }
    names = [field.name for field in dataclasses.fields(DataSizes)]
    of_sizes = {name: settings.pop(f"data.{name}") for name in names if f"data.{name}" in settings}
    plan = dataclasses.replace(
        ours,
        config=_replaced(ours.config, of_config),
        sizes=_replaced(ours.sizes, of_sizes),
        jit_compile=_boolean(settings.pop("jit_compile", str(ours.jit_compile))),
    )
    return tfcdr(plan)


def _parse_release(ours: Plan, settings: dict[str, str]) -> Entry:
    _check_nextitnet(ours, "release")
    onednn = _boolean(settings.pop("onednn", "true"))

    def start(folder: Path, peer_python: str) -> tuple[list[str], dict, dict]:
        del folder, peer_python
        told = {
            "config": dataclasses.asdict(ours.config),
            "items": ours.sizes.items,
            "length": ours.sizes.length,
        }
        command = [sys.executable, "-m", "launchers.benchmarking.peers.nextitnet_release"]
        # Where oneDNN is on by itself depends on the processor: only "off" is said.
        return command, told, {} if onednn else {"TF_ENABLE_ONEDNN_OPTS": "0"}

    return Entry(start)


def _parse_recbole(ours: Plan, settings: dict[str, str]) -> Entry:
    if (ours.system, ours.stage) == ("timirec", "pretrain"):
        models = ("SASRec",)
        told = {
            "channels": ours.config.embedding_size,
            "layers": 1,
            "heads": 1,
            "loss": "BPR",
            "batch_size": ours.config.pretrain_batch_size,
        }
    else:
        _check_nextitnet(ours, "recbole")
        models = ("NextItNet", "SASRec")
        told = {
            "channels": ours.config.channels,
            "dilations": ours.config.dilations,
            "kernel_size": ours.config.kernel_size,
            "layers": 2,
            "heads": 2,
            "loss": "CE",
            "batch_size": ours.config.pretrain_batch_size,
        }
    told["model"] = settings.pop("model", models[0])
    if told["model"] not in models:
        raise ValueError(f"model must be one of {', '.join(models)}.")

    def start(folder: Path, peer_python: str) -> tuple[list[str], dict, dict]:
        del folder
        sizes = {"items": ours.sizes.items, "length": ours.sizes.length}
        return _peer(peer_python, "recbole_sequential"), {**told, **sizes}, {}

    return Entry(start)


def _parse_pytorch(ours: Plan, settings: dict[str, str]) -> Entry:
    del settings
    if ours.system == "timirec" and ours.config.variant == "timirec":
        return _timirec_in_pytorch(ours)
    if (ours.system, ours.stage) == ("daa", "source") and ours.config.backbone in _DAA_IN_PYTORCH:
        return _daa_in_pytorch(ours)
    raise ValueError(
        "pytorch does the work of --system=timirec --timirec.variant=timirec, and of --system=daa "
        f"--stage=source --daa.backbone={' or '.join(_DAA_IN_PYTORCH)}."
    )


def _timirec_in_pytorch(ours: Plan) -> Entry:
    def start(folder: Path, peer_python: str) -> tuple[list[str], dict, dict]:
        del folder
        items, length = ours.sizes.items, ours.sizes.length
        domains = 2 if ours.config.history_domains == "all" else 1
        told = {
            "stage": ours.stage,
            "config": dataclasses.asdict(ours.config),
            "rows": domains * items + 1,
            "items": items,
            "length": length,
            "batch_size": getattr(ours.config, f"{ours.stage}_batch_size"),
        }
        return _peer(peer_python, "timirec_pytorch"), told, {}

    return Entry(start)


def _daa_in_pytorch(ours: Plan) -> Entry:
    def start(folder: Path, peer_python: str) -> tuple[list[str], dict, dict]:
        del folder
        told = {
            "config": dataclasses.asdict(ours.config),
            "field_sizes": FIELD_SIZES,
            "numerical": len(COLUMNS.numerical),
        }
        return _peer(peer_python, "daa_pytorch"), told, {}

    return Entry(start)


def _peer(python: str, module: str) -> list[str]:
    """The command of a peer: a script, since the package around it imports TensorFlow."""
    return [python, str(Path(__file__).with_name("peers") / f"{module}.py")]


_PARSERS: dict[str, Callable[[Plan, dict[str, str]], Entry]] = {
    OURS: _parse_tfcdr,
    "release": _parse_release,
    "recbole": _parse_recbole,
    "pytorch": _parse_pytorch,
}
NAMES = tuple(_PARSERS)


def _check_nextitnet(ours: Plan, name: str) -> None:
    if (ours.system, ours.stage) != ("peterrec", "pretrain") or not ours.config.causal:
        raise ValueError(f"{name} does not do the work of this system, stage and configuration.")


def _replaced(instance: Any, changes: Mapping[str, str]) -> Any:
    """Returns a dataclass with some fields read from text."""
    types = get_type_hints(type(instance))
    values = {}
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
