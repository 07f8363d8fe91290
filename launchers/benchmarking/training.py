"""The contender "tfcdr": one stage of a system as `launchers/train.py` trains it.

Parts: "step" (batches in memory) and its phases "forward" and "gradients" (forward and backward),
"pipeline" (records to batches), "training" (records to updated weights), and the system's kernels.
"""

import itertools
import time
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from data_pipelines.dataset import PreparedData, open_prepared
from launchers.benchmarking import kernels
from launchers.benchmarking.contender import Workload, serve
from tfcdr.distribution.one_device import ONE_DEVICE
from tfcdr.stage_model import StageModel
from tfcdr.system import Stage
from tfcdr.systems.registry import SYSTEMS

PARTS = ("step", "forward", "gradients", "pipeline", "training")
_BATCHES_IN_MEMORY = 16


def set_up(settings: dict[str, Any]) -> Workload:
    """Builds the stage's model and pipeline and runs each part once.

    Args:
      settings: "system", "stage", "config" (fields of the system's configuration), "data_dir",
        "jit_compile".
    """
    system = SYSTEMS[settings["system"]]
    config = system.config_class(
        **{
            name: tuple(value) if isinstance(value, list) else value
            for name, value in settings["config"].items()
        }
    )
    data = open_prepared(settings["data_dir"])
    (stage,) = (stage for stage in system.stages(config) if stage.name == settings["stage"])
    tf.keras.utils.set_random_seed(0)
    model = system.build(stage.name, config, data, seed=0)
    optimizer = system.optimizer(stage.name, config)
    model.compile(optimizer=optimizer, jit_compile=settings["jit_compile"])
    model.optimizer.build(model.trainable_variables)
    parts = _stage_parts(stage, model, data)
    of_system = kernels.KERNELS.get(settings["system"], kernels.no_kernels)(config, data, stage)
    parts |= {name: kernel.run for name, kernel in of_system.items()}
    compile_seconds = _timed(parts["step"])
    for run in parts.values():
        run()
    return Workload(
        parts,
        finish=lambda: tf.test.experimental.sync_devices(),
        facts={
            "parts": list(parts),
            "batch_size": stage.batch_size,
            "parameters": int(sum(tf.size(weight) for weight in model.trainable_variables)),
            "compile_seconds": round(compile_seconds, 2),
            "kernel_flops": {name: kernel.flops for name, kernel in of_system.items()},
            "tensorflow": tf.__version__,
            "devices": [device.device_type for device in tf.config.list_logical_devices()],
        },
    )


def _stage_parts(
    stage: Stage, model: StageModel, data: PreparedData
) -> dict[str, Callable[[], None]]:
    batches = stage.training.batches(data, "train", stage.batch_size, seed=0)
    in_memory = list(batches.take(_BATCHES_IN_MEMORY))
    step = ONE_DEVICE.make_step(model)
    forward = tf.function(model.compute_losses, jit_compile=model.jit_compile)
    gradients = tf.function(model.loss_and_gradients, jit_compile=model.jit_compile)

    def apply(function: Callable, batches: Iterator) -> Callable[[], None]:
        def once() -> None:
            function(next(batches))

        return once

    def memory() -> Iterator[dict[str, tf.Tensor]]:
        return itertools.cycle(in_memory)

    def records() -> Iterator[dict[str, tf.Tensor]]:
        return iter(batches.repeat())

    return {
        "step": apply(step, memory()),
        "forward": apply(forward, memory()),
        "gradients": apply(gradients, memory()),
        "pipeline": apply(lambda batch: None, records()),
        "training": apply(step, records()),
    }


def _timed(run: Callable[[], None]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


if __name__ == "__main__":
    serve(set_up)
