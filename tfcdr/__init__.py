"""Cross-domain recommendation in TensorFlow.

    import tfcdr

    run = tfcdr.train("runs/toys", log, system="timirec", target="toys")
    run.recommend({"somebody": ["books:b17", "toys:t3"]})

`train` and `open_run` are of `launchers.api`, which says what they take.

Importing this package fixes the Keras generation: TensorFlow Recommenders needs Keras 2, which
TensorFlow serves as `tf.keras` only if `TF_USE_LEGACY_KERAS` is set before `tf.keras` is first
resolved.
"""

import importlib.metadata
import os
from typing import TYPE_CHECKING, Any

os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf

if not tf.keras.layers.Layer.__module__.startswith("tf_keras"):
    raise ImportError(
        "tfcdr needs Keras 2 (tf-keras), but tf.keras already resolved to "
        f"{tf.keras.layers.Layer.__module__!r}. Import tfcdr before anything that uses tf.keras, "
        "or set TF_USE_LEGACY_KERAS=1 in the environment, and check that tf-keras is installed."
    )

from tfcdr.tensorflow_messages import heed_level

heed_level()

if TYPE_CHECKING:
    from launchers.api import Run, open_run, train

__all__ = ["Run", "__version__", "open_run", "train"]

try:
    __version__ = importlib.metadata.version("tfcdr")
except importlib.metadata.PackageNotFoundError:  # on PYTHONPATH, but not installed
    __version__ = "0+unknown"


def __getattr__(name: str) -> Any:
    # What joins models and data lies above both packages: it is imported when it is asked for.
    if name in __all__:
        from launchers import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
