"""Ranking metrics of held-out interactions.

A rank is 1-based and pessimistic: ties count against the held-out item, so that a model which
gives every item the same score ranks it last, not first. A score that is not a number loses too.
"""

from collections.abc import Callable

import numpy as np
import tensorflow as tf


def pessimistic_ranks(positive: tf.Tensor, others: tf.Tensor) -> tf.Tensor:
    """Ranks each positive among other items: 1 + the number not scored below it.

    Args:
      positive: float [batch], scores of the held-out items.
      others: float [batch, items], scores of the items it competes with.

    Returns:
      Int32 [batch], 1 is best. A positive scored NaN is ranked last.
    """
    return 1 + tf.shape(others)[1] - count_below(others, positive)


def count_below(scores: tf.Tensor, positive: tf.Tensor) -> tf.Tensor:
    """Counts the items that rank behind a positive: int32 [batch] of float [batch, items].

    Counting those below, rather than those above, makes a tie or a NaN on either side lose.
    """
    return tf.reduce_sum(tf.cast(scores < positive[:, tf.newaxis], tf.int32), -1)


def _hit(ranks: np.ndarray, k: int) -> np.ndarray:
    return (ranks <= k).astype(np.float64)


def _ndcg(ranks: np.ndarray, k: int) -> np.ndarray:
    return np.where(ranks <= k, 1.0 / np.log2(ranks + 1.0), 0.0)


def _reciprocal_rank(ranks: np.ndarray, k: int) -> np.ndarray:
    return np.where(ranks <= k, reciprocal_rank(ranks), 0.0)


def reciprocal_rank(ranks: np.ndarray) -> np.ndarray:
    """Returns float64 [n], what MRR without a cut-off is the mean of."""
    return 1.0 / ranks


# Value of one held-out interaction at a cut-off k, by name; averaged over interactions.
PER_RANK: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "HR": _hit,
    "NDCG": _ndcg,
    "MRR": _reciprocal_rank,
}


def split_metric(metric: str) -> tuple[str, int]:
    """Splits "NDCG@10" into name and cut-off.

    Raises:
      ValueError: it is not a mean over interactions with a cut-off.
    """
    name, _, cutoff = metric.partition("@")
    if name not in PER_RANK or not cutoff.isdigit():
        raise ValueError(f"metric must be HR@k, NDCG@k or MRR@k. Received: {metric!r}.")
    return name, int(cutoff)
