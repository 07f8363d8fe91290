"""Where the weights of a paper's released code live in our models."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from tfcdr.errors import RunError


@dataclasses.dataclass(frozen=True, eq=False)
class ReferenceWeight:
    """Where a weight of the release lives in our model.

    Attributes:
      variable: our variable.
      index: the part of it that the release keeps as a variable of its own.
      transposed: whether the release stores the transpose.
      leading_ones: axes of length 1 that the release puts in front.
    """

    variable: tf.Variable
    index: tuple[slice | int, ...] = ()
    transposed: bool = False
    leading_ones: int = 0

    def to_reference(self, ours: np.ndarray) -> np.ndarray:
        """Cuts an array shaped like our variable (a value, a gradient) in the release's layout."""
        part = ours[self.index]
        part = part.T if self.transposed else part
        return part.reshape((1,) * self.leading_ones + part.shape)

    def assign(self, reference: np.ndarray) -> None:
        """Writes a weight of the release into our variable."""
        ours = self.variable.numpy()
        part = reference.reshape(reference.shape[self.leading_ones :])
        ours[self.index] = part.T if self.transposed else part
        self.variable.assign(ours)


def check_shapes(
    weights: Mapping[str, ReferenceWeight], shapes: Mapping[str, Sequence[int]], path: str
) -> None:
    """Checks that a file of the release holds weights, before any is assigned.

    Args:
      weights: wanted, by the release's names.
      shapes: of what the file holds; it may hold more.
      path: the file, for the message.

    Raises:
      RunError: a weight is missing or has another shape.
    """
    for name, weight in weights.items():
        expected = list(weight.to_reference(weight.variable.numpy()).shape)
        if name not in shapes or list(shapes[name]) != expected:
            came = f"has shape {list(shapes[name])}" if name in shapes else "is missing"
            raise RunError(f"{path}: variable {name} {came}; the model needs shape {expected}.")
