"""Whether a model is better than what stands beside it in every table."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tfcdr.transfer_gain import TransferGain, interval_text


class BarGain(NamedTuple):
    """Test scores of a model and of a bar.

    Attributes:
      bar: its name, such as "item neighbours".
      metric: such as "NDCG@10".
      model: the model's figure.
      of_bar: the bar's.
      gain: their difference.
      low: lower end of the 95 % interval of the gain.
      high: its upper end.
      rows: test rows that were compared; without any, the figures are NaN.
    """

    bar: str
    metric: str
    model: float
    of_bar: float
    gain: float
    low: float
    high: float
    rows: int

    @classmethod
    def of(cls, bar: str, gain: TransferGain) -> "BarGain":
        """Takes over a comparison in which the bar was the model without transfer."""
        return cls(
            bar,
            gain.metric,
            model=gain.transfer,
            of_bar=gain.no_transfer,
            gain=gain.gain,
            low=gain.low,
            high=gain.high,
            rows=gain.rows,
        )

    @classmethod
    def from_json(cls, entry: Mapping[str, Any]) -> "BarGain":
        """Reads what metrics.json holds of a comparison, where null stands for NaN."""
        values: dict[str, Any] = {
            name: math.nan if value is None else value for name, value in entry.items()
        }
        return cls(**values)

    @classmethod
    def over_trainings(cls, gains: Sequence["BarGain"]) -> "BarGain":
        """Returns the mean over several trainings; see `TransferGain.over_trainings`."""
        compared = [TransferGain(*each[1:]) for each in gains]
        return cls.of(gains[0].bar, TransferGain.over_trainings(compared))

    @property
    def is_above(self) -> bool:
        """Whether the model is better, as far as the interval allows to say so."""
        return self.low > 0

    def verdict(self) -> str:
        """Says in one line what the interval allows to say; in capitals what should alarm."""
        if not math.isfinite(self.gain):
            return f"{self.bar}: {self.metric} has no value over n = {self.rows:,} test rows"
        return f"{self.word()} {self.bar}: test {self.metric} {self._figures()})"

    def group_line(self, group: str) -> str:
        """Says the same of a group of rows, more briefly."""
        if not math.isfinite(self.gain):
            return f"  {group}: n = {self.rows:,}"
        return f"  {group}: {self.word()}, {self._figures()}, n = {self.rows:,})"

    def word(self) -> str:
        """Says what the interval allows to say; in capitals what should alarm."""
        if self.is_above:
            return "above"
        if self.low == self.high == 0:
            return "the same as"
        return "BELOW" if self.high < 0 else "NOT ABOVE"

    def _figures(self) -> str:
        interval = interval_text(self.gain, self.low, self.high)
        return f"{self.model:.4f} against {self.of_bar:.4f} ({interval}"


def lines(bars: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> list[str]:
    """Says what metrics.json holds of all bars: a line each, and one for each group not above it.

    Args:
      bars: gains as JSON has them, by bar and group, that of all rows first.
    """
    said = []
    for of_groups in bars.values():
        gains = {group: BarGain.from_json(entry) for group, entry in of_groups.items()}
        (_, of_all), *others = gains.items()
        said.append(of_all.verdict())
        others = [(group, gain) for group, gain in others if gain.rows and not gain.is_above]
        said += [gain.group_line(group) for group, gain in others if gain.gain != of_all.gain]
    return said


def baseline_line(bars: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    """Says which bars the baseline of a transfer is not above; "" if it is above all.

    Args:
      bars: of the run without transfer; see `lines`.
    """
    gains = [BarGain.from_json(next(iter(of_groups.values()))) for of_groups in bars.values()]
    named = [
        f"{gain.word()} {gain.bar} ({gain.of_bar:.4f})"
        for gain in gains
        if math.isfinite(gain.gain) and not gain.is_above
    ]
    if not named:
        return ""
    return (
        f"  the model without transfer ({gains[0].model:.4f}) is itself "
        f"{' and '.join(named)}: to be better than it says little"
    )
