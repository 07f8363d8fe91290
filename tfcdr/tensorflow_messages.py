"""TensorFlow's own messages, which say nothing about a run.

Most heed `TF_CPP_MIN_LOG_LEVEL`, which TensorFlow reads once, when it is imported. What XLA writes
through Abseil does not, and appears behind a warning that Abseil has not been set up.
"""

import ctypes
import os

import tensorflow as tf

# absl::SetMinLogLevel, as the Abseil is called that TensorFlow 2.20 has in it.
_SET_LEVEL = "_ZN4absl12lts_2025012714SetMinLogLevelENS0_18LogSeverityAtLeastE"


def heed_level() -> None:
    """Makes Abseil write no message below `TF_CPP_MIN_LOG_LEVEL`, where TensorFlow lets us."""
    level = os.environ.get("TF_CPP_MIN_LOG_LEVEL", "")
    path = os.path.join(tf.sysconfig.get_lib(), "libtensorflow_framework.so.2")
    try:
        set_level = getattr(ctypes.CDLL(path), _SET_LEVEL)
        set_level(ctypes.c_int(int(level)))
    except (OSError, AttributeError, ValueError):
        return  # Another TensorFlow, whose messages appear.
