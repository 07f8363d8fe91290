"""Whether the transfer helped: the same test rows scored with and without it."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from tfcdr import several_trainings


class TransferGain(NamedTuple):
    """Test scores with and without transfer.

    Attributes:
      metric: such as "NDCG@10".
      transfer: the figure with transfer.
      no_transfer: that of the model trained on the target alone.
      gain: their difference.
      low: lower end of the 95 % interval of the gain.
      high: its upper end.
      rows: test rows that were compared; without any, or where the metric has no value over them,
        the figures are NaN.
      left_out: rows that only one of the models could score.
    """

    metric: str
    transfer: float
    no_transfer: float
    gain: float
    low: float
    high: float
    rows: int
    left_out: int = 0

    @classmethod
    def unknown(cls, metric: str, rows: int, left_out: int = 0) -> "TransferGain":
        """A comparison that cannot be made."""
        nan = math.nan
        return cls(metric, nan, nan, nan, nan, nan, rows, left_out)

    @classmethod
    def from_json(cls, entry: Mapping[str, Any]) -> "TransferGain":
        """Reads what metrics.json holds of a comparison, where null stands for NaN."""
        values: dict[str, Any] = {
            name: math.nan if value is None else value for name, value in entry.items()
        }
        return cls(**values)

    @classmethod
    def over_trainings(cls, gains: Sequence["TransferGain"], level: float = 0.95) -> "TransferGain":
        """Returns the mean of what several trainings gained; see `several_trainings.interval`.

        Args:
          gains: each training's.
          level: of the interval.
        """
        first = gains[0]
        if not all(math.isfinite(each.gain) for each in gains):
            return cls.unknown(first.metric, first.rows, first.left_out)
        of_each, lows, highs = np.transpose([(each.gain, each.low, each.high) for each in gains])
        low, high = several_trainings.interval(of_each, lows, highs, level)
        transfer, without, gain = np.mean(
            [(each.transfer, each.no_transfer, each.gain) for each in gains], axis=0
        ).tolist()
        return cls(first.metric, transfer, without, gain, low, high, first.rows, first.left_out)

    def verdict(self, part: str = "transfer") -> str:
        """Says in one line what the interval allows to say.

        Args:
          part: what the gain is of, if not of the whole transfer.
        """
        if not math.isfinite(self.gain):
            return f"{part}: {self.metric} has no value over n = {self.rows:,} test rows"
        return (
            f"{part} {self.word()}: test {self.metric} {self.transfer:.4f} with it, "
            f"{self.no_transfer:.4f} without ({interval_text(self.gain, self.low, self.high)})"
            + (f", without {self.left_out} that only one can rank" if self.left_out else "")
        )

    def group_line(self, group: str) -> str:
        """Says the same of a group of rows, more briefly."""
        if not math.isfinite(self.gain):
            return f"  {group}: n = {self.rows:,}"
        return (
            f"  {group}: {self.word()}, {self.transfer:.4f} with, {self.no_transfer:.4f} without "
            f"({interval_text(self.gain, self.low, self.high)}, n = {self.rows:,})"
        )

    def word(self) -> str:
        """Says what the interval allows to say; in capitals what should alarm."""
        if self.low > 0:
            return "helped"
        return "HURT" if self.high < 0 else "made no measurable difference"


def interval_text(gain: float, low: float, high: float) -> str:
    """Says a difference with its interval."""
    return f"{gain:+.4f}, 95 % interval {low:+.4f} to {high:+.4f}"
