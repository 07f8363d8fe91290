"""Times contenders in turns (A B A B ...), so that a machine's moods meet all of them alike."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np


class Timed(Protocol):
    """Something that does the same work again and again."""

    def seconds(self, part: str, repetitions: int) -> float:
        """Does a part of its work so many times and returns how long that took."""


@dataclasses.dataclass(frozen=True)
class Timing:
    """How long one repetition took, turn by turn.

    Attributes:
      seconds: float64 [turns], seconds of one repetition, the mean of a turn.
      repetitions: how many a turn held.
    """

    seconds: np.ndarray
    repetitions: int

    @property
    def median(self) -> float:
        """Seconds of one repetition in the median turn."""
        return float(np.median(self.seconds))

    def as_dict(self) -> dict[str, float | int | list[float]]:
        """Returns what the JSON file holds."""
        low, high = _quartiles(self.seconds)
        return {
            "median_seconds": self.median,
            "quartiles_seconds": [low, high],
            "turns": len(self.seconds),
            "repetitions": self.repetitions,
        }


@dataclasses.dataclass(frozen=True)
class Ratio:
    """How many times as fast one work is as another.

    Attributes:
      median: the ratio of the median turns.
      quartiles: of the ratios of turns that stood side by side.
    """

    median: float
    quartiles: tuple[float, float]

    def __str__(self) -> str:
        low, high = self.quartiles
        return f"{self.median:.2f}x (quartiles of the turns {low:.2f}x to {high:.2f}x)"


def alternate(
    contenders: Mapping[str, Timed],
    parts: Mapping[str, Sequence[str]],
    turns: int,
    turn_seconds: float,
) -> dict[tuple[str, str], Timing]:
    """Measures every part of every contender, `turns` times around.

    Args:
      contenders: by name; warmed up.
      parts: the parts of each contender.
      turns: how often each part has its turn.
      turn_seconds: about how long a turn lasts; at least one repetition.

    Returns:
      Timings by (contender, part).
    """
    schedule = [(name, part) for name in contenders for part in parts[name]]
    repetitions = {}
    for name, part in schedule:
        # The second one: the first may still fill caches and buffers.
        contenders[name].seconds(part, 1)
        once = contenders[name].seconds(part, 1)
        repetitions[name, part] = max(1, math.ceil(turn_seconds / max(once, 1e-9)))
    seconds: dict[tuple[str, str], list[float]] = {key: [] for key in schedule}
    for _ in range(turns):
        for name, part in schedule:
            count = repetitions[name, part]
            seconds[name, part].append(contenders[name].seconds(part, count) / count)
    return {key: Timing(np.array(seconds[key]), repetitions[key]) for key in schedule}


def ratio(slower: Timing, faster: Timing) -> Ratio:
    """Returns how many times as fast the second is, turn by turn and in the median."""
    return Ratio(slower.median / faster.median, _quartiles(slower.seconds / faster.seconds))


def _quartiles(values: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(values, [0.25, 0.75])
    return float(low), float(high)
