"""`import tfcdr` must give Keras 2, or say why it cannot."""

import subprocess
import sys


def run_python(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


def test_keras_2_is_served():
    result = run_python("import tfcdr, tensorflow as tf; print(tf.keras.layers.Dense.__module__)")
    assert result.stdout.startswith("tf_keras"), result.stderr


def test_keras_3_already_there_is_refused():
    code = (
        "import os; os.environ.pop('TF_USE_LEGACY_KERAS', None)\n"
        "import tensorflow as tf; tf.keras.layers.Dense\n"
        "import tfcdr"
    )
    result = run_python(code)
    assert result.returncode != 0
    assert "tfcdr needs Keras 2" in result.stderr
    assert "TF_USE_LEGACY_KERAS=1" in result.stderr
