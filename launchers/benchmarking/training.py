"""The contender "tfcdr": one stage of a system as `launchers/train.py` trains it.

Parts: "step" (batches in memory) and its phases "forward" and "gradients" (forward and backward),
"pipeline" (records to batches), "training" (records to updated weights), and the system's kernels.
Where critics and a model alternate, "step" and "training" are of a batch, the mean of those between
two updates of the model; the phases are then "critics" (losses and gradients, on every batch) and
"gradients" (the model's, on every few of them).
"""

import itertools
import time
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from data_pipelines.prepared.dataset import PreparedData, open_prepared
from launchers.benchmarking import kernels
from launchers.benchmarking.generated_data import SOURCE
from launchers.benchmarking.matrix_products import count_flops
from launchers.benchmarking.peers.child_process import Workload, serve
from tfcdr.distribution.one_device import ONE_DEVICE
from tfcdr.stage import Stage
from tfcdr.stage_model import Batch, StageModel
from tfcdr.systems.daa.adaptation import AlternatingModel
from tfcdr.systems.registry import SYSTEMS

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
    model.build_optimizers()
    batches = stage.training.batches(data, "train", stage.batch_size, seed=0)
    in_memory = list(batches.take(_BATCHES_IN_MEMORY))
    parts = _stage_parts(model, in_memory, batches)
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
            "inputs": _inputs(stage, data),
            "batches_per_update": _batches_per_update(model),
            "kernel_flops": {name: kernel.flops for name, kernel in of_system.items()},
            **_product_flops(settings["system"], model, in_memory[0]),
            "jit_compile": settings["jit_compile"],
            "tensorflow": tf.__version__,
            "devices": [device.device_type for device in tf.config.list_logical_devices()],
        },
        cycles=dict.fromkeys(("step", "training"), _batches_per_update(model)),
    )


def _stage_parts(
    model: StageModel, in_memory: list[Batch], batches: tf.data.Dataset
) -> dict[str, Callable[[], None]]:
    step = ONE_DEVICE.make_step(model)
    phases = {"forward": model.compute_losses, "gradients": model.loss_and_gradients}
    if isinstance(model, AlternatingModel):
        phases = {
            "critics": model.critic_losses_and_gradients,
            "gradients": model.loss_and_gradients,
        }
    compiled = {
        name: tf.function(phase, jit_compile=model.jit_compile) for name, phase in phases.items()
    }

    def apply(function: Callable, batches: Iterator) -> Callable[[], None]:
        def once() -> None:
            function(next(batches))

        return once

    def memory() -> Iterator[Batch]:
        return itertools.cycle(in_memory)

    def records() -> Iterator[Batch]:
        return iter(batches.repeat())

    return {
        "step": apply(step, memory()),
        **{name: apply(phase, memory()) for name, phase in compiled.items()},
        "pipeline": apply(lambda batch: None, records()),
        "training": apply(step, records()),
    }


def _batches_per_update(model: StageModel) -> int:
    return model.config.critic_steps if isinstance(model, AlternatingModel) else 1


def _product_flops(system: str, model: StageModel, batch: Batch) -> dict[str, float]:
    """Operations of the matrix products behind a batch's losses, gradients and critics."""
    if system not in kernels.MATRIX_PRODUCTS_ALONE:
        return {}
    flops = count_flops(model.loss_and_gradients, batch) / _batches_per_update(model)
    if isinstance(model, AlternatingModel):
        flops += count_flops(model.critic_losses_and_gradients, batch)
    return {"product_flops": flops}


def _inputs(stage: Stage, data: PreparedData) -> str:
    if "impression" in stage.training.views:
        return f"{len(data.field_sizes)} fields, {len(data.numerical_columns)} numerical columns"
    return f"length {data.max_length}, {data.vocabulary(SOURCE).size:,} items"


def _timed(run: Callable[[], None]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


if __name__ == "__main__":
    serve(set_up)
