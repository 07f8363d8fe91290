"""How many float operations the matrix products of a function take, read from its graph."""

import math
from collections.abc import Callable, Mapping

import tensorflow as tf

# Type of an operation and its attribute that says whether the first factor is transposed.
_PRODUCTS = {"MatMul": "transpose_a", "BatchMatMulV2": "adj_x", "BatchMatMulV3": "adj_x"}


def count_flops(
    function: Callable[[Mapping[str, tf.Tensor]], object], batch: Mapping[str, tf.Tensor]
) -> int:
    """Returns the operations of all matrix products, a multiply-add counted twice.

    Gradients count like any other product; what is no matrix product counts nothing.

    Args:
      function: of a batch; its products' shapes follow from the batch's.
      batch: whose shapes are meant.
    """
    spec = {name: tf.TensorSpec(values.shape, values.dtype) for name, values in batch.items()}
    graph = tf.function(function, autograph=False).get_concrete_function(spec).graph
    flops = 0
    for operation in graph.get_operations():
        if operation.type in _PRODUCTS:
            transposed = operation.get_attr(_PRODUCTS[operation.type])
            inner = operation.inputs[0].shape[-2 if transposed else -1]
            flops += 2 * math.prod(operation.outputs[0].shape) * inner
    return flops
