"""Whether the transfer helped: the same test interactions ranked with and without it."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from tfcdr import metrics
from tfcdr.evaluation import Ranks

_RESAMPLES = 2000


class TransferGain(NamedTuple):
    """Test scores with and without transfer.

    Attributes:
      metric: such as "NDCG@10".
      transfer: mean over users with transfer.
      no_transfer: mean over users of the model trained on the target alone.
      gain: their difference.
      low: lower end of the 95 % interval of the gain.
      high: its upper end.
      left_out: interactions that only one of the models could rank, such as those of users without
        a history in the target.
    """

    metric: str
    transfer: float
    no_transfer: float
    gain: float
    low: float
    high: float
    left_out: int = 0

    def verdict(self) -> str:
        """Says in one line what the interval allows to say."""
        word = "made no measurable difference"
        if self.low > 0:
            word = "helped"
        elif self.high < 0:
            word = "HURT"
        return (
            f"transfer {word}: test {self.metric} {self.transfer:.4f} with it, "
            f"{self.no_transfer:.4f} without ({self.gain:+.4f}, 95 % interval {self.low:+.4f} to "
            f"{self.high:+.4f})"
            + (f", without {self.left_out} that only one can rank" if self.left_out else "")
        )


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
    every = len(np.union1d(transfer.row, no_transfer.row))
    transfer, no_transfer = (
        of.only(np.isin(of.row, other.row))
        for of, other in ((transfer, no_transfer), (no_transfer, transfer))
    )
    if not np.array_equal(transfer.user, no_transfer.user):
        raise ValueError("The two models ranked different interactions.")
    name, cutoff = metrics.split_metric(metric)
    values = pd.DataFrame(
        {
            "user": transfer.user,
            "transfer": metrics.PER_RANK[name](transfer.rank, cutoff),
            "no_transfer": metrics.PER_RANK[name](no_transfer.rank, cutoff),
        }
    )
    by_user = values.groupby("user").mean()
    difference = (by_user["transfer"] - by_user["no_transfer"]).to_numpy()
    generator = np.random.default_rng(seed)
    means = [generator.choice(difference, len(difference)).mean() for _ in range(_RESAMPLES)]
    low, high = np.quantile(means, (0.025, 0.975))
    return TransferGain(
        metric,
        float(by_user["transfer"].mean()),
        float(by_user["no_transfer"].mean()),
        float(difference.mean()),
        float(low),
        float(high),
        every - len(transfer.row),
    )
