"""How large the tensors of a traced function are, without running it."""

import numpy as np


def tensor_sizes(function):
    """Returns the number of entries of every tensor whose shape is known when traced."""
    definition = function.graph.as_graph_def(add_shapes=True)
    nodes = [*definition.node, *(n for f in definition.library.function for n in f.node_def)]
    return [
        int(np.prod([dim.size for dim in shape.dim], dtype=np.int64))
        for node in nodes
        for shape in node.attr["_output_shapes"].list.shape
        if not shape.unknown_rank and all(dim.size > 0 for dim in shape.dim)
    ]
