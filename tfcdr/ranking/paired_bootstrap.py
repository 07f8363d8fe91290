"""What a transfer gains in ranking: two models' ranks of the same interactions, user by user."""

from collections.abc import Sequence

import numpy as np
import scipy.stats

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
    low, high = _interval(difference, seed)
    return TransferGain(
        metric,
        float(with_transfer.mean()),
        float(without.mean()),
        float(difference.mean()),
        low,
        high,
        compared,
        every - compared,
    )


def _interval(differences: np.ndarray, seed: int) -> tuple[float, float]:
    """Returns the 95 % interval of the mean over users, by percentiles."""
    if len(differences) == 1:  # There is nobody else to draw.
        return float(differences[0]), float(differences[0])
    found = scipy.stats.bootstrap(
        (differences,),
        np.mean,
        n_resamples=_RESAMPLES,
        batch=max(1, _DRAWN_AT_ONCE // len(differences)),
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(found.low), float(found.high)
