"""Whether the transfer helped: the same test rows scored with and without it."""

from typing import NamedTuple


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
