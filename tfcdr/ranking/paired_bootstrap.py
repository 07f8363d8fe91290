"""What a transfer gains in ranking: two models' ranks of the same interactions, user by user."""

from collections.abc import Sequence

import numpy as np

from tfcdr.ranking import comparison
from tfcdr.ranking.held_out_ranks import Ranks
from tfcdr.row_groups import RowGroups
from tfcdr.transfer_gain import TransferGain

_RESAMPLES = 2000
_DRAWN_AT_ONCE = 1 << 20


def measure_groups(
    transfer: Ranks, no_transfer: Ranks, groups: Sequence[RowGroups], metric: str, seed: int
) -> dict[str, TransferGain]:
    """Compares two models on every group of the same test interactions; see `measure`.

    Returns:
      The gain by group, that of all interactions first.
    """
    ours, others = transfer.by_group(groups), no_transfer.by_group(groups)
    return {name: measure(ours[name], others[name], metric, seed) for name in ours}


def measure(transfer: Ranks, no_transfer: Ranks, metric: str, seed: int) -> TransferGain:
    """Compares two models on the same test interactions, user by user.

    The interval is a paired bootstrap over users: what differs between two samples of users, not
    between two trainings.

    Args:
      transfer: ranks by the model with transfer.
      no_transfer: ranks of the same split by the one without; what only one ranks does not count.
      metric: "HR@k", "NDCG@k" or "MRR@k".
      seed: of the bootstrap.

    Raises:
      ValueError: the interactions differ, or the metric is another.
    """
    both = comparison.shared_interactions((transfer, no_transfer))
    compared = len(both[0].row)
    every = len(transfer.row) + len(no_transfer.row) - compared
    if not compared:
        return TransferGain.unknown(metric, 0, every)
    with_transfer, without = (comparison.by_user(ranks, metric) for ranks in both)
    difference = with_transfer - without
    generator = np.random.default_rng(seed)
    means = _resampled_means(difference, generator)
    low, high = np.quantile(means, (0.025, 0.975))
    return TransferGain(
        metric,
        float(with_transfer.mean()),
        float(without.mean()),
        float(difference.mean()),
        float(low),
        float(high),
        compared,
        every - compared,
    )


def _resampled_means(values: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Returns the means of `_RESAMPLES` samples with replacement, each as large as the values."""
    size = len(values)
    at_once = max(1, _DRAWN_AT_ONCE // size)
    means = []
    for first in range(0, _RESAMPLES, at_once):
        samples = min(at_once, _RESAMPLES - first)
        means.append(values[generator.integers(0, size, (samples, size))].mean(1))
    return np.concatenate(means)
