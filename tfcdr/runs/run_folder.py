"""The files of a run: what was asked for, what each epoch gave, what came out.

config.json     every setting, versions and the data's fingerprints
metrics.jsonl   a line for each finished epoch
metrics.json    the final figures; its presence means that the run is finished
exported.json   where its model was exported last
checkpoints/    <stage>/latest and <stage>/best
tensorboard/    <stage>
"""

import dataclasses
import json
import math
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from typing import Any

from tfcdr.errors import RunError
from tfcdr.runs.state_files import naming_unwritable, read_object, read_text

# Settings that may differ between a run and its resumption.
_INFORMATIVE = ("versions", "data_dir", "strategy", "replicas", "read_losses_every")

_NO_EPOCHS = "remove it and the folder checkpoints, and train again"


@dataclasses.dataclass(frozen=True)
class RunFolder:
    """Reads and writes the files of one run.

    Attributes:
      path: the run's folder; created by `claim`.
      writable: whether this process writes. Of several processes with one folder only the chief
        does; the methods that write do nothing in the others.
    """

    path: pathlib.Path
    writable: bool = True

    def check_free(self) -> None:
        """Checks that the folder is missing, empty or a run; writes nothing.

        Hidden files, such as those that a killed preparation leaves, do not count.

        Raises:
          RunError: it holds other files, or it is a file.
        """
        if not self.path.exists() or (self.path / "config.json").exists():
            return
        # A data set that the run prepared for itself lies in the run's folder.
        if not self.path.is_dir() or any(
            entry.name != "data" and not entry.name.startswith(".") for entry in self.path.iterdir()
        ):
            raise RunError(
                f"{self.path}: neither an empty folder nor a run; give another --workdir."
            )

    def claim(self, config: Mapping[str, Any]) -> None:
        """Writes config.json, or checks that the one that is there says the same.

        Raises:
          RunError: the folder holds a run of another configuration, or other files, or cannot
            be written, or is not the chief's.
        """
        if (self.path / "config.json").exists():
            differing = differences("", self.config(), config)
            if differing:
                # What is read differently has another fingerprint, which tells a person nothing.
                if any(each.startswith("reading") for each in differing):
                    differing = [each for each in differing if "_fingerprint:" not in each]
                raise RunError(
                    f"{self.path}: this folder holds a run of another configuration "
                    f"({'; '.join(differing)}); give another --workdir."
                )
            if self.metrics() is None:
                self._check_writable()
            return
        self.check_free()
        if not self.writable:
            raise RunError(
                f"{self.path}: the chief's config.json is not here; all processes need the same "
                "folder for --workdir."
            )
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(f"{self.path}: cannot be written ({error.strerror}).") from error
        self._write("config.json", config)

    def lengthen(self, config: Mapping[str, Any], forgotten: Iterable[str] = ()) -> None:
        """Takes the settings of a run that goes on, whose figures and export are then old.

        Args:
          config: what config.json is to hold.
          forgotten: stages that are done again from their first epoch.
        """
        if not self.writable:
            return
        for stage in forgotten:
            path = self.path / "checkpoints" / stage
            with naming_unwritable(path):
                if path.exists():
                    shutil.rmtree(path)
            self.forget_epochs(stage, 0)
        for name in ("metrics.json", "exported.json"):
            with naming_unwritable(self.path / name):
                (self.path / name).unlink(missing_ok=True)
        self._write("config.json", config)

    def remember_export(self, version: pathlib.Path) -> None:
        """Notes the folder of an exported version, which may lie elsewhere."""
        own, where = self.path.absolute(), version.absolute()
        inside = where.is_relative_to(own)
        self._write("exported.json", {"version": str(where.relative_to(own) if inside else where)})

    def exported(self) -> pathlib.Path | None:
        """Returns the version that was exported last, if it is still there."""
        path = self.path / "exported.json"
        if not path.exists():
            return None
        version = self.path / str(read_object(path, "remove it").get("version"))
        return version if (version / "saved_model.pb").exists() else None

    def config(self) -> dict[str, Any]:
        """Reads config.json.

        Raises:
          RunError: there is no run in this folder.
        """
        path = self.path / "config.json"
        if not path.exists():
            raise RunError(
                f"{self.path}: no run here (config.json is missing); train first with "
                "launchers/train.py --workdir."
            )
        return read_object(path, "use a new --workdir, or remove this one and train again")

    def is_finished(self, config: Mapping[str, Any]) -> bool:
        """Whether it holds a finished run with these settings."""
        if not (self.path / "config.json").exists() or differences("", self.config(), config):
            return False
        return self.metrics() is not None

    def metrics(self) -> dict[str, Any] | None:
        """Reads metrics.json; None if the run is not finished."""
        path = self.path / "metrics.json"
        if not path.exists():
            return None
        remedy = "remove it and run again, which evaluates without training"
        metrics = read_object(path, remedy)
        for name in ("validation", "test"):
            if not isinstance(metrics.get(name, {}), dict):
                raise RunError(f"{path}: damaged (its {name}); {remedy}.")
        return metrics

    def finished_metrics(self) -> dict[str, Any]:
        """Reads metrics.json of a run that is known to be finished.

        Raises:
          RunError: it is not.
        """
        metrics = self.metrics()
        if metrics is None:
            raise RunError(f"{self.path}: the run is not finished; run the same command again.")
        return metrics

    def finish(self, metrics: Mapping[str, Any]) -> None:
        """Writes metrics.json, in one rename."""
        self._write("metrics.json", metrics)

    def add_to_metrics(self, entries: Mapping[str, Any]) -> None:
        """Adds entries to a finished run's metrics.json."""
        if self.writable:
            self.finish({**self.finished_metrics(), **entries})

    def all_epochs(self) -> list[dict[str, Any]]:
        """Returns the finished epochs of all stages, in the order in which these began."""
        stages = dict.fromkeys(line["stage"] for line in self._lines())
        return [line for stage in stages for line in self.epochs(stage)]

    def epochs(self, stage: str) -> list[dict[str, Any]]:
        """Returns the finished epochs of a stage, oldest first.

        Raises:
          RunError: one of them lacks what every epoch's line has.
        """
        # Each once, the later line counts: no epoch is told twice, whoever wrote it.
        lines = {line["epoch"]: line for line in self._lines() if line["stage"] == stage}
        for epoch, line in lines.items():
            if not isinstance(line.get("validation"), dict):
                path = self.path / "metrics.jsonl"
                raise RunError(
                    f"{path}: damaged (the line of {stage}'s epoch {epoch}); {_NO_EPOCHS}."
                )
        return [lines[epoch] for epoch in sorted(lines)]

    def check_epochs(self, stage: str, done: int) -> None:
        """Raises RunError if epochs are missing of a stage whose checkpoint has trained `done`."""
        found = len([line for line in self.epochs(stage) if line["epoch"] <= done])
        if self.writable and found < done:
            raise RunError(
                f"{self.path / 'metrics.jsonl'}: lacks epochs of stage {stage}, {found} of {done} "
                f"are there; {_NO_EPOCHS}."
            )

    def add_epoch(self, line: Mapping[str, Any]) -> None:
        """Appends an epoch to metrics.jsonl."""
        if self.writable:
            path = self.path / "metrics.jsonl"
            with naming_unwritable(path), path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(_without_nan(line)) + "\n")

    def forget_epochs(self, stage: str, after: int) -> None:
        """Drops a stage's lines beyond its last checkpoint: their epochs run again.

        Args:
          stage: the stage.
          after: how many epochs the checkpoint holds.
        """
        kept = [line for line in self._lines() if line["stage"] != stage or line["epoch"] <= after]
        text = "".join(json.dumps(line) + "\n" for line in kept)
        path = self.path / "metrics.jsonl"
        # Compared as text: half a line, left by a kill, must not swallow the next one.
        if path.exists() and read_text(path, _NO_EPOCHS) != text:
            self._replace("metrics.jsonl", text)

    def checkpoints(self, stage: str, kind: str) -> str:
        """Returns the folder of a stage's checkpoints; `kind` is "latest" or "best"."""
        return str(self.path / "checkpoints" / stage / kind)

    def has_checkpoint(self, stage: str) -> bool:
        """Whether a stage has finished an epoch."""
        return pathlib.Path(self.checkpoints(stage, "best")).is_dir()

    def tensorboard(self, stage: str) -> str:
        """Returns the folder of a stage's TensorBoard events."""
        return str(self.path / "tensorboard" / stage)

    def _lines(self) -> list[dict[str, Any]]:
        path = self.path / "metrics.jsonl"
        if not path.exists():
            return []
        lines = []
        for text in read_text(path, _NO_EPOCHS).splitlines():
            try:
                line = json.loads(text)
            except (ValueError, RecursionError):
                # A killed run can leave half a last line; its epoch has no checkpoint either.
                continue
            if isinstance(line, dict) and isinstance(line.get("epoch"), int) and "stage" in line:
                lines.append(line)
        return lines

    def _check_writable(self) -> None:
        """Raises RunError where an epoch's end would find out: before its work."""
        if not self.writable:
            return
        with naming_unwritable(self.path):
            descriptor, name = tempfile.mkstemp(prefix=".writable", dir=self.path)
            os.close(descriptor)
            os.unlink(name)

    def _write(self, name: str, value: Mapping[str, Any]) -> None:
        self._replace(name, json.dumps(_without_nan(value), indent=2) + "\n")

    def _replace(self, name: str, text: str) -> None:
        if not self.writable:
            return
        temporary = self.path / f".{name}.incomplete"
        with naming_unwritable(self.path / name):
            temporary.write_text(text, encoding="utf-8")
            os.replace(temporary, self.path / name)


def differences(prefix: str, old: Any, new: Any) -> list[str]:
    """Names the settings in which two configurations differ, nested ones with dots.

    Args:
      prefix: of the names.
      old: of a run before, as JSON gave it.
      new: of this run; tuples are as lists.
    """
    if isinstance(new, tuple):
        new = list(new)
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return [] if old == new else [f"{prefix}: {old} there, {new} now"]
    differing = []
    for key in sorted({*old, *new} - set(() if prefix else _INFORMATIVE)):
        name = f"{prefix}.{key}" if prefix else key
        differing += differences(name, old.get(key), new.get(key))
    return differing


def _without_nan(value: Any) -> Any:
    """Replaces what JSON has no word for, such as the AUC of a single class, by null."""
    if isinstance(value, Mapping):
        return {key: _without_nan(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
