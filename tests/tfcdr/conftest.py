"""Settings for the tests of models."""

import pytest
import tensorflow as tf

import tfcdr  # noqa: F401  (fixes the Keras generation)


@pytest.fixture(params=[False, True], ids=["plain", "xla"])
def jit_compile(request):
    """Every loss and train step is tested compiled by XLA and not."""
    return request.param


@pytest.fixture(autouse=True)
def _seed():
    tf.keras.utils.set_random_seed(7)
