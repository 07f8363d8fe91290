"""The graph function of an exported model: an impression's columns in, probabilities out.

Signature `serving_default`:

| input | shape and type | |
| --- | --- | --- |
| each categorical column, by its name | int64 [batch] | as in the training data, from 0 |
| each numerical column, by its name | float32 [batch] | as in the training data |

| output | shape and type | |
| --- | --- | --- |
| `click` | float32 [batch] | probability that the item is clicked |
| `conversion` | float32 [batch] | probability that it is clicked and bought |

A category that training did not know, below 0 or beyond its column's values, counts as none: its
embedding is 0. A number that is NaN or infinite is refused, with the name of its column.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from tfcdr.serving.saved_model import SERVING_DEFAULT, write_version
from tfcdr.systems.daa.backbone import TASKS
from tfcdr.systems.daa.task_model import ImpressionModel

_EXAMPLE_ROWS = 2


def export_model(
    model: ImpressionModel,
    export_dir: Path,
    *,
    categorical: Sequence[str],
    numerical: Sequence[str],
) -> Path:
    """Exports a model's network as the next version; see `serving.saved_model.write_version`.

    Args:
      model: the model to serve.
      export_dir: the folder that the server watches.
      categorical: names of the categorical columns, in the network's order.
      numerical: names of the numerical columns.

    Returns:
      The folder of the new version.

    Raises:
      RunError: the folder cannot be written.
    """

    def answer(**columns: tf.Tensor) -> dict[str, tf.Tensor]:
        checks = [
            tf.debugging.assert_all_finite(columns[name], f"column {name} must be finite")
            for name in numerical
        ]
        with tf.control_dependencies(checks):
            values = tf.stack([columns[name] for name in categorical], 1)
            numbers = tf.stack([columns[name] for name in numerical], 1)
        # Out of range on either side after the cast, too.
        values = tf.cast(tf.clip_by_value(values, -1, tf.int32.max), tf.int32)
        probabilities = model.probabilities(values, numbers)
        return dict(zip(TASKS, tf.unstack(probabilities, axis=1), strict=True))

    spec = {name: tf.TensorSpec([None], tf.int64, name=name) for name in categorical}
    spec.update({name: tf.TensorSpec([None], tf.float32, name=name) for name in numerical})
    signature = tf.function(answer, autograph=False).get_concrete_function(**spec)
    request = {name: np.zeros(_EXAMPLE_ROWS, of.dtype.as_numpy_dtype) for name, of in spec.items()}
    return write_version(export_dir, {SERVING_DEFAULT: signature}, {SERVING_DEFAULT: request})
