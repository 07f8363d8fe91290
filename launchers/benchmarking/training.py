"""The contender "tfcdr": one stage of a system as `launchers/train.py` trains it.

Parts: "step" (batches in memory) and its phases, in a plain step "forward" and "gradients" (forward
and backward), "pipeline" (records to batches), "training" (records to updated weights), and the
system's kernels. Where the stage has periodic steps, each is a part by its name, and "train step"
is a step without them. Where a step does some phases only behind every few batches, or a periodic
step comes behind it, "step" and "training" are of a batch, the mean of those after which the work
starts over. What phases and kernels there are, the system says (`tfcdr.benchmark`).
"""

import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import tensorflow as tf

from data_pipelines.prepared.dataset import open_prepared
from data_pipelines.prepared.reading import reopen
from launchers.benchmarking import generated, step_phases
from launchers.benchmarking.matrix_products import count_flops
from launchers.benchmarking.peers.child_process import Workload, serve
from launchers.stored_config import restored
from tfcdr.benchmark import MATRIX_PRODUCTS, Kernel, Phase
from tfcdr.distribution.one_device import ONE_DEVICE
from tfcdr.runs.periodic_steps import PeriodicSteps
from tfcdr.runs.step_log import READ_LOSSES_EVERY, StepLog
from tfcdr.stage import Stage
from tfcdr.stage_model import Batch, StageModel
from tfcdr.systems.registry import SYSTEMS

_BATCHES_IN_MEMORY = 16
# Of each feed of a periodic step, so many times.
_FEEDS_IN_MEMORY = 2


def set_up(settings: dict[str, Any]) -> Workload:
    """Builds the stage's model and pipeline and runs each part once.

    Args:
      settings: "system", "stage", "config" (fields of the system's configuration), "data_dir",
        "reading" (how it is read), "jit_compile".
    """
    system = SYSTEMS[settings["system"]]
    config = restored(system.config_class, settings["config"])
    data = reopen(open_prepared(settings["data_dir"]), settings["reading"])
    (stage,) = (stage for stage in system.stages(config) if stage.name == settings["stage"])
    tf.keras.utils.set_random_seed(0)
    model = system.build(stage.name, config, data, seed=0)
    model.compile(system.optimizers(stage.name, config), jit_compile=settings["jit_compile"])
    model.build_optimizers()
    batches = stage.steps_read.batches(data, "train", stage.batch_size, seed=0)
    in_memory = list(batches.take(_BATCHES_IN_MEMORY))
    phases = system.benchmark.phases(config, stage)
    kernels = system.benchmark.kernels(config, data, stage)
    periodic = PeriodicSteps(stage, model, data, seed=0)
    parts = _stage_parts(model, phases, stage, in_memory, batches, periodic)
    parts |= {name: kernel.run for name, kernel in kernels.items()}
    all_phases = step_phases.with_periodic_steps(phases, stage)
    cycle = step_phases.cycle(all_phases)
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
            "inputs": generated.generator_of(system).describe(data),
            "batches_per_update": cycle,
            "phases": [phase._asdict() for phase in all_phases],
            "periodic_steps": [run.step.name for run in periodic.runs],
            "kernel_flops": {name: kernel.flops for name, kernel in kernels.items()},
            **({} if periodic.runs else _product_flops(kernels, phases, model, in_memory[0])),
            "jit_compile": settings["jit_compile"],
            "tensorflow": tf.__version__,
            "devices": [device.device_type for device in tf.config.list_logical_devices()],
        },
        cycles=dict.fromkeys(("step", "training"), cycle),
    )


def _stage_parts(
    model: StageModel,
    phases: Sequence[Phase],
    stage: Stage,
    in_memory: list[Batch],
    batches: tf.data.Dataset,
    periodic: PeriodicSteps,
) -> dict[str, Callable[[], None]]:
    step = ONE_DEVICE.make_step(model)
    compiled = {
        phase.name: tf.function(
            getattr(model, phase.method), jit_compile=model.jit_compile, autograph=False
        )
        for phase in phases
    }

    def train(
        batches: Iterator, behind: Callable[[int, StepLog], None] = lambda number, log: None
    ) -> Callable[[], None]:
        # Reads its losses as a run does.
        log = StepLog(stage.batch_size, READ_LOSSES_EVERY)
        numbers = itertools.count(1)

        def once() -> None:
            log.add(step(next(batches)))
            behind(next(numbers), log)

        return once

    def apply(function: Callable, batches: Iterator) -> Callable[[], None]:
        def once() -> None:
            function(next(batches))

        return once

    def memory() -> Iterator[Batch]:
        return itertools.cycle(in_memory)

    def records() -> Iterator[Batch]:
        return iter(batches.repeat())

    feeds = {
        run.step.name: itertools.cycle([run.read(times) for times in range(_FEEDS_IN_MEMORY)])
        for run in periodic.runs
    }

    def behind_memory(number: int, log: StepLog) -> None:
        for run in periodic.runs:
            if number % run.step.every == 0:
                log.add_periodic(run.step.name, run.make(next(feeds[run.step.name])))

    def behind_records(number: int, log: StepLog) -> None:
        # An epoch of no steps: epochs without periodic steps are over.
        periodic.behind(number, 0, log)

    return {
        "step": train(memory(), behind_memory),
        **({"train step": train(memory())} if periodic.runs else {}),
        **{name: apply(phase, memory()) for name, phase in compiled.items()},
        **{run.step.name: apply(run.make, feeds[run.step.name]) for run in periodic.runs},
        "pipeline": apply(lambda batch: None, records()),
        "training": train(records(), behind_records),
    }


def _product_flops(
    kernels: Mapping[str, Kernel], phases: Sequence[Phase], model: StageModel, batch: Batch
) -> dict[str, float]:
    """Operations of the matrix products of a step where no others carry its arithmetic."""
    if set(kernels) != {MATRIX_PRODUCTS}:
        return {}
    flops = {
        phase.name: count_flops(getattr(model, phase.method), batch)
        for phase in step_phases.whole(phases)
    }
    return {"product_flops": step_phases.per_step(phases, flops)}


def _timed(run: Callable[[], None]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


if __name__ == "__main__":
    serve(set_up)
