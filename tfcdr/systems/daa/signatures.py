"""The graph function of an exported model: an impression's columns in, probabilities out.

Signature `serving_default`:

| input | shape and type | |
| --- | --- | --- |
| each categorical column, by its name | int64 [batch] | as in the training data, from 0; where \
the data set has vocabularies, string [batch]: the values as they are, empty for a missing one |
| each numerical column, by its name | float32 [batch] | as in the training data |

| output | shape and type | |
| --- | --- | --- |
| `click` | float32 [batch] | probability that the item is clicked |
| `conversion` | float32 [batch] | probability that it is clicked and bought, never above that of \
a click; if the data have such labels |

A category that training did not know, below 0 or beyond its column's values, counts as none: its
embedding is 0. With vocabularies, unknown values have the vector that training gave to those which
are too rare for one of their own. A number that is NaN or infinite is refused, with the name of its
column.

Inputs are called like their columns, as far as a signature takes their names: see `input_names`.
"""

import keyword
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from tfcdr.serving.saved_model import SERVING_DEFAULT, write_version
from tfcdr.serving.token_lookup import TokenLookup, write_vocabulary
from tfcdr.systems.daa.task_model import ImpressionModel

_EXAMPLE_ROWS = 2
# Before each line of a vocabulary's file: TensorFlow reads no empty one, which a missing value is.
_MARK = "="


def export_model(
    model: ImpressionModel,
    export_dir: Path,
    *,
    categorical: Sequence[str],
    numerical: Sequence[str],
    field_values: Sequence[Sequence[str]] = (),
) -> Path:
    """Exports a model's network as the next version; see `serving.saved_model.write_version`.

    Args:
      model: the model to serve.
      export_dir: the folder that the server watches.
      categorical: names of the categorical columns, in the network's order.
      numerical: names of the numerical columns.
      field_values: of each categorical column, the raw value of id i + 1 at i, the others having
        id 0; empty if requests hold ids.

    Returns:
      The folder of the new version.

    Raises:
      RunError: the folder cannot be written.
    """
    names = [*categorical, *numerical]
    inputs = input_names(names)
    changed = [f"{new} for {old}" for old, new in zip(names, inputs, strict=True) if old != new]
    if changed:
        print(
            f"inputs of the exported model that are not called like their columns: "
            f"{', '.join(changed)}"
        )
    categorical, numerical = inputs[: len(categorical)], inputs[len(categorical) :]
    # The vocabularies are copied from here into the version.
    with tempfile.TemporaryDirectory() as folder:
        lookups = [
            TokenLookup(write_vocabulary(Path(folder) / f"field{place}.txt", _marked(values)))
            for place, values in enumerate(field_values)
        ]
        return _export(model, export_dir, categorical, numerical, lookups)


def input_names(columns: Sequence[str]) -> list[str]:
    """Gives columns names that a signature takes, each another one: their own where they can be.

    Other signs than letters, digits and _ become _; what does not begin with a letter then, or is
    a word of Python, begins with `column_`; what comes again ends with a number.
    """
    taken = {name for name in columns if _is_usable(name)}
    names = []
    for column in columns:
        name = column
        if not _is_usable(name):
            name = re.sub("[^A-Za-z0-9_]", "_", column)
            name = name if _is_usable(name) else f"column_{name}"
            free = (f"{name}_{number}" for number in range(2, len(columns) + 3))
            name = next(each for each in (name, *free) if each not in taken)
            taken.add(name)
        names.append(name)
    return names


def _is_usable(name: str) -> bool:
    usable = re.fullmatch("[A-Za-z][A-Za-z0-9_]*", name, re.ASCII)
    return bool(usable) and not keyword.iskeyword(name)


def _marked(values: Sequence[str]) -> list[str]:
    return [_MARK + value for value in values]


def _export(
    model: ImpressionModel,
    export_dir: Path,
    categorical: Sequence[str],
    numerical: Sequence[str],
    lookups: Sequence[TokenLookup],
) -> Path:
    def answer(**columns: tf.Tensor) -> dict[str, tf.Tensor]:
        checks = [
            tf.debugging.assert_all_finite(columns[name], f"column {name} must be finite")
            for name in numerical
        ]
        with tf.control_dependencies(checks):
            rows = tf.shape(columns[categorical[0]])[0]
            numbers = [columns[name] for name in numerical]
            numbers = tf.stack(numbers, 1) if numbers else tf.zeros([rows, 0])
        if lookups:
            of_columns = zip(lookups, categorical, strict=True)
            values = [
                lookup.ids(tf.strings.join([_MARK, columns[name]])) for lookup, name in of_columns
            ]
            values = tf.stack(values, 1)
        else:
            values = tf.stack([columns[name] for name in categorical], 1)
            # Out of range on either side after the cast, too.
            values = tf.cast(tf.clip_by_value(values, -1, tf.int32.max), tf.int32)
        probabilities = model.probabilities(values, numbers)
        return dict(zip(model.tasks, tf.unstack(probabilities, axis=1), strict=True))

    kind = tf.string if lookups else tf.int64
    spec = {name: tf.TensorSpec([None], kind, name=name) for name in categorical}
    spec.update({name: tf.TensorSpec([None], tf.float32, name=name) for name in numerical})
    signature = tf.function(answer, autograph=False).get_concrete_function(**spec)
    request = {name: np.zeros(_EXAMPLE_ROWS, of.dtype.as_numpy_dtype) for name, of in spec.items()}
    if lookups:
        request.update({name: np.array([b""] * _EXAMPLE_ROWS, object) for name in categorical})
    signatures, requests = {SERVING_DEFAULT: signature}, {SERVING_DEFAULT: request}
    return write_version(export_dir, signatures, requests, lookups)
