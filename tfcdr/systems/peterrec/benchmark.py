"""PeterRec's benchmark: NextItNet as others wrote it, and its convolutions by themselves."""

import dataclasses
from collections.abc import Mapping

import tensorflow as tf

from tfcdr.benchmark import (
    MATRIX_PRODUCTS,
    Benchmark,
    HistorySizes,
    Invocation,
    Kernel,
    Peer,
    matrix_products,
)
from tfcdr.data_source import DataSource
from tfcdr.stage import Stage
from tfcdr.systems.peterrec.config import PeterRecConfig
from tfcdr.systems.peterrec.dilated_convolution import DilatedConvolution, prefers_time_major


def _release(
    stage: Stage, config: PeterRecConfig, sizes: HistorySizes, settings: Mapping[str, str]
) -> Invocation:
    del stage
    # Where oneDNN is on by itself depends on the processor: only "off" is said.
    environment = {} if settings["onednn"] == "true" else {"TF_ENABLE_ONEDNN_OPTS": "0"}
    return Invocation({"config": dataclasses.asdict(config), **sizes._asdict()}, environment)


def _recbole(
    stage: Stage, config: PeterRecConfig, sizes: HistorySizes, settings: Mapping[str, str]
) -> Invocation:
    return Invocation(
        {
            "model": settings["model"],
            "channels": config.channels,
            "dilations": config.dilations,
            "kernel_size": config.kernel_size,
            "layers": 2,
            "heads": 2,
            "loss": "CE",
            "batch_size": stage.batch_size,
            **sizes._asdict(),
        }
    )


class PeterRecBenchmark(Benchmark):
    """Peers of causal pre-training, and the kernels of both stages."""

    peers = (
        Peer(
            name="release",
            program="launchers.benchmarking.peers.nextitnet_release",
            invoke=_release,
            stages=("pretrain",),
            fields={"causal": (True,)},
            settings={"onednn": ("true", "false")},
            needs_tensorflow=True,
        ),
        Peer(
            name="recbole",
            program="launchers.benchmarking.peers.recbole_sequential",
            invoke=_recbole,
            stages=("pretrain",),
            fields={"causal": (True,)},
            settings={"model": ("NextItNet", "SASRec")},
        ),
    )

    def kernels(self, config: PeterRecConfig, data: DataSource, stage: Stage) -> dict[str, Kernel]:
        """Every dilated convolution of a step, forward and backward, and products of that size.

        "convolutions" runs the network's convolutions one after the other, compiled as the step
        is. "matrix products" multiplies [batch * length, k C] by [k C, C] as often. The
        convolutions' operations leave out what meets padding.
        """
        batch, time, channels = stage.batch_size, data.max_length, config.channels
        dilations = [dilation for first in config.dilations for dilation in (first, 2 * first)]
        met = sum(_steps_met(time, config, dilation) for dilation in dilations)
        shape = (batch * time, config.kernel_size * channels, channels)
        return {
            "convolutions": Kernel(
                _convolutions(config, dilations, batch, time), 3 * 2 * batch * channels**2 * met
            ),
            MATRIX_PRODUCTS: matrix_products([shape] * len(dilations)),
        }


def _convolutions(
    config: PeterRecConfig, dilations: list[int], batch: int, time: int
) -> tf.types.experimental.GenericFunction:
    """Returns a function that runs convolutions of these dilations, forward and backward."""
    channels, time_major = config.channels, prefers_time_major()
    start = tf.keras.initializers.TruncatedNormal(stddev=0.02, seed=1)
    layers = [
        DilatedConvolution(channels, config.kernel_size, dilation, config.causal, time_major, start)
        for dilation in dilations
    ]
    inputs = tf.random.stateless_normal(
        (time, batch, channels) if time_major else (batch, time, channels), seed=(0, 0)
    )
    for layer in layers:
        layer.build(inputs.shape)

    @tf.function(jit_compile=True)
    def convolve() -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = inputs
            for layer in layers:
                outputs = layer(outputs)
        weights = [layer.kernel for layer in layers]
        return tape.gradient(outputs, [inputs, *weights], output_gradients=inputs)

    return convolve


def _steps_met(time: int, config: PeterRecConfig, dilation: int) -> int:
    """Returns how many (step, tap) pairs of a convolution read an item rather than padding."""
    padding = (config.kernel_size - 1) * dilation
    left = padding if config.causal else padding // 2
    shifts = (left - tap * dilation for tap in range(config.kernel_size))
    return sum(max(0, time - abs(shift)) for shift in shifts)
