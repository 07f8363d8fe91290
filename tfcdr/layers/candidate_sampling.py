"""Samplers of sampled softmax that run inside a compiled train step.

TensorFlow's candidate samplers draw until they hold S distinct ids, which XLA cannot compile. A
sampler here draws a fixed number n of ids and drops repeats. The expected count of an id is then
exactly Q(q) = 1 - (1 - P(q))^n, TensorFlow's formula, with n constant: the number of draws after
which S distinct ids are expected.
"""

import abc
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfcdr.layers.stateless_uniform import uniform


class Sample(NamedTuple):
    """Distinct ids drawn for a batch.

    Attributes:
      ids: int32 [slots], ascending.
      mask: bool [slots], false at slots that the draw left empty.
    """

    ids: tf.Tensor
    mask: tf.Tensor


class Sampler(abc.ABC):
    """Draws item ids 1..num_items; id 0 is padding and never drawn."""

    def __init__(self, probabilities: np.ndarray, num_distinct: int) -> None:
        """Creates a sampler.

        Args:
          probabilities: float64 [num_items], of ids 1..num_items in one draw.
          num_distinct: S, the distinct ids to expect in a sample.

        Raises:
          ValueError: num_distinct is not below num_items.
        """
        if not 0 < num_distinct < len(probabilities):
            raise ValueError(
                "A sampled softmax must draw at least 1 and fewer than all items; use the full "
                f"softmax instead. Received: {num_distinct} of {len(probabilities)} items."
            )
        self.probabilities = probabilities
        self.num_draws = draws_for_distinct(probabilities, num_distinct)
        # The distinct ids vary about S with a standard deviation below sqrt(S): six of these hold
        # them, and keep what the softmax computes near S whatever the number of draws.
        slots = num_distinct + int(np.ceil(6 * np.sqrt(num_distinct)))
        self.num_slots = min(slots, self.num_draws, len(probabilities))
        # Row 0 (padding) and the ids after the items never compete; any finite value will do.
        log_count = np.log(expected_count(probabilities, self.num_draws))
        self._log_count = np.concatenate([[0.0], log_count]).astype(np.float32)

    def log_expected_count(self, ids: tf.Tensor) -> tf.Tensor:
        """Returns log Q of each id, float32 in the shape of `ids`; 0 for padding."""
        return tf.gather(tf.constant(self._log_count), ids)

    def draw(self, seed: tf.Tensor) -> Sample:
        """Draws `num_draws` ids and keeps each once.

        Args:
          seed: int [2], stateless seed.

        Returns:
          A sample of `num_slots` slots.
        """
        # Every replica and every strategy draws the same sample.
        ids = tf.sort(self._ids_at(uniform((self.num_draws,), seed, tf.float64)))
        is_repeat = tf.concat([[False], ids[1:] == ids[:-1]], 0)
        last = len(self.probabilities)
        kept = tf.sort(tf.where(is_repeat, last + 1, ids))[: self.num_slots]
        return Sample(tf.minimum(kept, last), kept <= last)

    @abc.abstractmethod
    def _ids_at(self, quantiles: tf.Tensor) -> tf.Tensor:
        """Maps float64 [n] in [0, 1) to int32 ids: the inverse distribution function."""


class LogUniformSampler(Sampler):
    """P = log((r + 1) / r) / log(num_items + 1) of the item with rank r by falling frequency.

    Ranks go from 1; among items as frequent as each other the smaller id comes first.
    """

    def __init__(self, counts: np.ndarray, num_distinct: int) -> None:
        num_items = len(counts)
        order = np.argsort(-np.asarray(counts), kind="stable")
        probabilities = np.empty(num_items)
        probabilities[order] = log_uniform_probabilities(num_items)
        super().__init__(probabilities, num_distinct)
        self._ids_by_rank = (order + 1).astype(np.int32)

    def _ids_at(self, quantiles: tf.Tensor) -> tf.Tensor:
        num_items = len(self.probabilities)
        ranks = tf.cast(tf.exp(quantiles * np.log(num_items + 1.0)), tf.int32)
        return tf.gather(tf.constant(self._ids_by_rank), tf.clip_by_value(ranks, 1, num_items) - 1)


class UniformSampler(Sampler):
    """Every item is equally likely."""

    def __init__(self, counts: np.ndarray, num_distinct: int) -> None:
        super().__init__(np.full(len(counts), 1 / len(counts)), num_distinct)

    def _ids_at(self, quantiles: tf.Tensor) -> tf.Tensor:
        num_items = len(self.probabilities)
        ids = tf.cast(quantiles * num_items, tf.int32) + 1
        return tf.clip_by_value(ids, 1, num_items)


class PopularitySampler(Sampler):
    """P(id) in proportion to its training count; an item never seen counts as seen once."""

    def __init__(self, counts: np.ndarray, num_distinct: int) -> None:
        smoothed = np.maximum(counts, 1).astype(np.float64)
        super().__init__(smoothed / smoothed.sum(), num_distinct)
        self._cumulative = np.cumsum(self.probabilities)

    def _ids_at(self, quantiles: tf.Tensor) -> tf.Tensor:
        # A binary search: `tf.searchsorted`, compiled by XLA, compares each draw with each item.
        cumulative = tf.constant(self._cumulative)
        last = len(self.probabilities)
        low, high = tf.zeros_like(quantiles, tf.int32), tf.fill(tf.shape(quantiles), last)
        for _ in range(last.bit_length()):
            middle = (low + high) // 2
            is_above = tf.gather(cumulative, tf.minimum(middle, last - 1)) <= quantiles
            is_above &= low < high
            low, high = tf.where(is_above, middle + 1, low), tf.where(is_above, high, middle)
        return tf.minimum(low + 1, last)


def log_uniform_probabilities(num_classes: int) -> np.ndarray:
    """Returns P(q) = (ln(q+2) - ln(q+1)) / ln(V+1) for q = 0..V-1, float64 [V]."""
    return np.diff(np.log(np.arange(1, num_classes + 2))) / np.log(num_classes + 1)


def expected_count(probabilities: np.ndarray, num_draws: int) -> np.ndarray:
    """Returns Q = 1 - (1 - P)^n, the chance to be among n draws, in the shape of P."""
    return -np.expm1(num_draws * np.log1p(-probabilities))


def draws_for_distinct(probabilities: np.ndarray, num_distinct: int) -> int:
    """Returns the fewest draws after which `num_distinct` distinct ids are expected."""
    low, high = num_distinct, num_distinct
    while expected_count(probabilities, high).sum() < num_distinct:
        high *= 2
    while low < high:
        middle = (low + high) // 2
        if expected_count(probabilities, middle).sum() < num_distinct:
            low = middle + 1
        else:
            high = middle
    return low
