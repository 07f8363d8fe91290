"""The contender "release": NextItNet's pre-training step as PeterRec's release writes it.

A dilated convolution operator in every layer (`atrous_conv2d` over a dummy height), TensorFlow's
sampled softmax and a dense Adam, in graph mode without XLA. On batches in memory; the setting
`onednn=false` takes the Eigen kernels that the release's TensorFlow 1 had.
"""

import itertools
import time
from typing import Any

import numpy as np
import tensorflow as tf

from launchers.benchmarking.peers.child_process import Workload, serve
from tfcdr.systems.peterrec.config import PeterRecConfig

_EPSILON = 1e-8


class ReleasedNextItNet(tf.Module):
    """NextItNet's weights and forward pass (PeterRec SPEC sections 1, 2 and 3)."""

    def __init__(self, config: PeterRecConfig, items: int) -> None:
        super().__init__()
        self._config = config

        def start(*shape: int) -> tf.Variable:
            return tf.Variable(tf.random.truncated_normal(shape, stddev=0.02))

        channels = config.channels
        self.embedding = start(items + 1, channels)
        self.blocks = [
            [
                {
                    "dilation": dilation,
                    "weight": start(1, config.kernel_size, channels, channels),
                    "bias": tf.Variable(tf.zeros(channels)),
                    "gamma": tf.Variable(tf.ones(channels)),
                    "beta": tf.Variable(tf.zeros(channels)),
                }
                for dilation in (first, 2 * first)
            ]
            for first in config.dilations
        ]
        self.softmax_weight = start(items + 1, channels)
        self.softmax_bias = tf.Variable(tf.fill(items + 1, 0.1))

    def hidden(self, ids: tf.Tensor) -> tf.Tensor:
        """Returns float [batch, time, channels] for int [batch, time]."""
        hidden = tf.nn.embedding_lookup(self.embedding, ids)
        for block in self.blocks:
            before = hidden
            for layer in block:
                hidden = self._convolve(hidden, layer)
                mean, variance = tf.nn.moments(hidden, [-1], keepdims=True)
                hidden = (hidden - mean) / tf.sqrt(variance + _EPSILON)
                hidden = tf.nn.relu(hidden * layer["gamma"] + layer["beta"])
            hidden += before
        return hidden

    def _convolve(self, hidden: tf.Tensor, layer: dict[str, Any]) -> tf.Tensor:
        padding = (self._config.kernel_size - 1) * layer["dilation"]
        padded = tf.expand_dims(tf.pad(hidden, [[0, 0], [padding, 0], [0, 0]]), 1)
        outputs = tf.nn.atrous_conv2d(padded, layer["weight"], layer["dilation"], "VALID")
        return tf.squeeze(outputs + layer["bias"], 1)

    def loss(self, items: tf.Tensor) -> tf.Tensor:
        """Returns the mean sampled softmax loss of int [batch, time + 1]."""
        labels = tf.reshape(tf.cast(items[:, 1:], tf.int64), (-1, 1))
        hidden = tf.reshape(self.hidden(items[:, :-1]), (-1, self._config.channels))
        classes = self.softmax_bias.shape[0]
        sampled = int(self._config.sampled_share * classes)
        return tf.reduce_mean(
            tf.nn.sampled_softmax_loss(
                self.softmax_weight, self.softmax_bias, labels, hidden, sampled, classes
            )
        )


def set_up(settings: dict[str, Any]) -> Workload:
    """Builds the model and makes one step.

    Args:
      settings: "config" (fields of PeterRecConfig), "items", "length".
    """
    fields: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in settings["config"].items()
    }
    config = PeterRecConfig(**fields)
    tf.keras.utils.set_random_seed(0)
    model = ReleasedNextItNet(config, settings["items"])
    optimizer = tf.keras.optimizers.legacy.Adam(config.pretrain_learning_rate, epsilon=_EPSILON)
    weights = model.trainable_variables

    @tf.function
    def step(items: tf.Tensor) -> None:
        with tf.GradientTape() as tape:
            loss = model.loss(items)
        optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))

    random = np.random.default_rng(0)
    shape = (16, config.pretrain_batch_size, settings["length"] + 1)
    batches = itertools.cycle(
        [tf.constant(batch, tf.int32) for batch in random.integers(1, settings["items"], shape)]
    )
    started = time.perf_counter()
    step(next(batches))
    return Workload(
        {"step": lambda: step(next(batches))},
        finish=lambda: tf.test.experimental.sync_devices(),
        facts={
            "parts": ["step"],
            "batch_size": config.pretrain_batch_size,
            "parameters": int(sum(tf.size(weight) for weight in weights)),
            "compile_seconds": round(time.perf_counter() - started, 2),
            "tensorflow": tf.__version__,
        },
    )


if __name__ == "__main__":
    serve(set_up)
