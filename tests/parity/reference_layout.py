"""Values and gradients of our models by the names and in the layouts of a release."""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from tfcdr.released_weights.layouts import ReferenceWeight
from tfcdr.stage_model import Batch, StageModel

Weights = Mapping[str, ReferenceWeight]
Outputs = dict[str, np.ndarray]


def in_reference_layout(weights: Weights, prefix: str, arrays: dict[int, np.ndarray]) -> Outputs:
    """Cuts arrays, given by the id of their variable, into those of the release."""
    return {
        f"{prefix}/{name}": weight.to_reference(arrays[id(weight.variable)])
        for name, weight in weights.items()
        if id(weight.variable) in arrays
    }


def values(variables: list[tf.Variable]) -> dict[int, np.ndarray]:
    """Returns the value of each variable by its id."""
    return {id(variable): variable.numpy() for variable in variables}


def losses_and_gradients(
    model: StageModel, weights: Weights, batch: Batch, jit_compile: bool
) -> tuple[Outputs, Outputs]:
    """Returns the losses of a batch by name, and their gradients as `grad/NAME`."""
    compute = tf.function(model.loss_and_gradients, jit_compile=jit_compile)
    report, slopes = compute(batch)
    arrays = [tf.convert_to_tensor(slope).numpy() for slope in slopes]
    by_variable = dict(zip(map(id, model.trainable_variables), arrays, strict=True))
    return (
        {name: loss.numpy() for name, loss in report.losses.items()},
        in_reference_layout(weights, "grad", by_variable),
    )


def train(model: StageModel, batches: list[Batch], jit_compile: bool) -> list[float]:
    """Makes a step with each batch and returns the losses before them."""
    model.build_optimizers()
    step = tf.function(model.train_step, jit_compile=jit_compile)
    return [float(step(batch).losses["loss"]) for batch in batches]
