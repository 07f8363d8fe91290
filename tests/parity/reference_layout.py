"""Values and gradients of our models by the names and in the layouts of a release."""

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tests.compilation import compiled_or_plain
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


def record(model: StageModel, *methods: str) -> dict[str, Any]:
    """Keeps what methods give, also inside a compiled train step.

    Args:
      model: whose methods are replaced.
      *methods: their names, behind that of the attribute that has them if it is not the model's
        own: "network.single_tasks".

    Returns:
      By a method's name its latest result, with tensors, or variables if it was compiled, for
      tensors and None for None; empty before the first step.
    """
    kept: dict[str, Any] = {}

    def replace(path: str) -> None:
        *owners, name = path.split(".")
        owner = functools.reduce(getattr, owners, model)
        method = getattr(owner, name)

        def call(*arguments: Any) -> Any:
            result = method(*arguments)
            if tf.executing_eagerly():
                kept[path] = tf.nest.map_structure(_dense, result)
                return result
            # Only a variable leaves a condition. This is so the first time that a step is traced.
            if path not in kept:
                kept[path] = tf.nest.map_structure(_variable, result)
            tf.nest.map_structure(_assign, kept[path], result)
            return result

        setattr(owner, name, call)

    for path in methods:
        replace(path)
    return kept


def _dense(value: tf.Tensor | tf.IndexedSlices | None) -> tf.Tensor | None:
    return None if value is None else tf.convert_to_tensor(value)


def _variable(value: tf.Tensor | tf.IndexedSlices | None) -> tf.Variable | None:
    if value is None:
        return None
    value = tf.convert_to_tensor(value)
    return tf.Variable(tf.zeros(value.shape, value.dtype), trainable=False)


def _assign(variable: tf.Variable | None, value: tf.Tensor | tf.IndexedSlices | None) -> None:
    if variable is not None:
        variable.assign(tf.convert_to_tensor(value))


class Steps:
    """Train steps of a model, compiled once."""

    def __init__(self, model: StageModel, jit_compile: bool, *recorded: str) -> None:
        """Prepares the model.

        Args:
          model: compiled, with the weights of a case.
          jit_compile: whether whole steps run under XLA.
          *recorded: methods whose results are kept, too; see `result`.
        """
        model.build_optimizers()
        self._model = model
        self._made = record(model, "loss_and_gradients", *recorded)
        self._step = compiled_or_plain(model.train_step, jit_compile)
        variables = list(model.variables)
        for optimizer in model.optimizers.values():
            variables += optimizer.variables
        self._start = [(variable, variable.numpy()) for variable in variables]

    def train(self, batches: list[Batch]) -> list[float]:
        """Makes a step with each batch and returns the losses before them."""
        return [float(self._step(batch).losses["loss"]) for batch in batches]

    def result(self, method: str) -> Any:
        """Returns what a recorded method gave in the last step, arrays; None if not called."""
        return tf.nest.map_structure(
            lambda kept: None if kept is None else kept.numpy(), self._made.get(method)
        )

    def losses(self) -> Outputs:
        """Returns the losses of the last step by name."""
        report, _ = self._made["loss_and_gradients"]
        return {name: loss.numpy() for name, loss in report.losses.items()}

    def gradients(self) -> dict[int, np.ndarray]:
        """Returns the gradients of the last step by the ids of their variables."""
        _, slopes = self._made["loss_and_gradients"]
        arrays = [slope.numpy() for slope in slopes]
        return dict(zip(map(id, self._model.loss_variables), arrays, strict=True))

    def restart(self) -> None:
        """Undoes every step."""
        for variable, value in self._start:
            variable.assign(value)
