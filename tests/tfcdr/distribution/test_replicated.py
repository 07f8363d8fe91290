"""What copies of a model on several processes cannot hold."""

import pytest
import tensorflow as tf

from tfcdr.distribution.replicated import MultiWorker
from tfcdr.errors import RunError


def test_a_variable_that_is_averaged_when_it_is_read_is_refused():
    model = tf.keras.Sequential([tf.keras.layers.BatchNormalization(input_shape=(3,))])
    distribution = object.__new__(MultiWorker)  # without the other processes
    with pytest.raises(RunError, match=r"multi_worker cannot train .*moving_mean"):
        distribution.make_step(model)
