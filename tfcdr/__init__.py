"""Cross-domain recommendation in TensorFlow.

Importing this package fixes the Keras generation: TensorFlow Recommenders needs Keras 2, which
TensorFlow serves as `tf.keras` only if `TF_USE_LEGACY_KERAS` is set before `tf.keras` is first
resolved.
"""

import os

os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf

if not tf.keras.layers.Layer.__module__.startswith("tf_keras"):
    raise ImportError(
        "tfcdr needs Keras 2 (tf-keras), but tf.keras already resolved to "
        f"{tf.keras.layers.Layer.__module__!r}. Import tfcdr before anything that uses tf.keras, "
        "or set TF_USE_LEGACY_KERAS=1 in the environment, and check that tf-keras is installed."
    )
