"""Writes a SavedModel that TensorFlow Serving picks up as the next version of a model."""

import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from tfcdr.errors import RunError
from tfcdr.serving import warmup

# The signature that clients get who name none.
SERVING_DEFAULT = "serving_default"
_UNFINISHED = ".unfinished-"


def write_version(
    export_dir: Path,
    signatures: Mapping[str, tf.types.experimental.GenericFunction],
    requests: warmup.Requests,
    resources: Sequence[tf.Module] = (),
) -> Path:
    """Writes the next version.

    It appears in one rename, after the written model has answered its warm-up requests: a server
    that polls the folder sees the whole of it or nothing.

    Args:
      export_dir: the folder that the server watches; made if it is not there.
      signatures: the model's graph functions, concrete or with an input signature, whose
        defaults, if they are tensors, a request may leave out.
      requests: for each signature, inputs that it is tried and warmed up with.
      resources: what the functions read besides variables, such as lookup tables.

    Returns:
      The folder of the new version, `export_dir`/<one more than the highest there>.

    Raises:
      RunError: the folder cannot be written.
    """
    # The Keras model itself stays behind, with its optimizer's slots: only what is read travels.
    served = tf.Module()
    served.resources = list(resources)
    served.weights = captured_variables(signatures)
    # Nobody differentiates what is served: gradients that layers write themselves stay behind.
    options = tf.saved_model.SaveOptions(
        namespace_whitelist=["Scann"], experimental_custom_gradients=False
    )
    try:
        export_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=_UNFINISHED, dir=export_dir) as folder:
            unfinished = Path(folder) / "saved_model"
            tf.saved_model.save(served, os.fspath(unfinished), dict(signatures), options)
            warmup.write_requests(unfinished, requests)
            _check_answers(unfinished, requests)
            return _publish(unfinished, export_dir)
    except (OSError, tf.errors.OpError) as error:
        raise RunError(f"{export_dir}: no version was written ({error}).") from error


def clear_unfinished(export_dir: Path) -> None:
    """Removes what killed exports left; for a process that alone exports to the folder."""
    for left in export_dir.glob(f"{_UNFINISHED}*"):
        shutil.rmtree(left, ignore_errors=True)


def versions(export_dir: Path) -> list[int]:
    """Returns the whole versions in a folder, ascending; none if there is no folder."""
    if not export_dir.is_dir():
        return []
    return sorted(
        int(entry.name)
        for entry in export_dir.iterdir()
        if entry.name.isdecimal() and entry.name.isascii()
    )


def captured_variables(
    functions: Mapping[str, tf.types.experimental.GenericFunction],
) -> list[tf.Variable]:
    """Returns every variable that the functions read, each once."""
    found: dict[Any, tf.Variable] = {}
    for function in functions.values():
        if isinstance(function, tf.types.experimental.PolymorphicFunction):
            function = function.get_concrete_function()
        found.update((variable.ref(), variable) for variable in function.variables)
    return list(found.values())


def _check_answers(saved_model: Path, requests: warmup.Requests) -> None:
    """Loads the export and lets it answer each request; raises TensorFlow's error if it cannot."""
    signatures = tf.saved_model.load(os.fspath(saved_model)).signatures
    for name, inputs in requests.items():
        signatures[name](**{key: tf.constant(rows) for key, rows in inputs.items()})


def _publish(unfinished: Path, export_dir: Path) -> Path:
    """Renames a finished SavedModel to the next version, also while others export."""
    while True:
        path = export_dir / str(max(versions(export_dir), default=0) + 1)
        try:
            # Another export's folder is never replaced: rename refuses one that holds files.
            unfinished.rename(path)
        except OSError:
            if not path.exists():
                raise
        else:
            return path
