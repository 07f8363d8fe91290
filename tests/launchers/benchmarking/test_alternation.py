"""Turns, medians and ratios, on contenders whose times are known."""

import numpy as np
import pytest

from launchers.benchmarking import alternation


class Clockwork:
    """Takes the same time for every repetition, but for a slow first one and a slow third turn."""

    def __init__(self, name, seconds, calls):
        self._name, self._seconds, self._calls = name, seconds, calls

    def seconds(self, part, repetitions):
        self._calls.append((self._name, part, repetitions))
        turn = sum(call[:2] == (self._name, part) for call in self._calls)
        return repetitions * self._seconds[part] * {1: 100, 5: 3}.get(turn, 1)


@pytest.fixture
def measured():
    calls = []
    contenders = {
        "fast": Clockwork("fast", {"step": 0.1, "pipeline": 0.05}, calls),
        "slow": Clockwork("slow", {"step": 0.4}, calls),
    }
    parts = {"fast": ["step", "pipeline"], "slow": ["step"]}
    return alternation.alternate(contenders, parts, turns=3, turn_seconds=1.0), calls


def test_contenders_take_turns(measured):
    _, calls = measured
    around = [("fast", "step", 10), ("fast", "pipeline", 20), ("slow", "step", 3)]
    assert calls[-9:] == around * 3


def test_neither_the_first_repetition_nor_one_slow_turn_counts(measured):
    timings, _ = measured
    assert timings["fast", "step"].median == pytest.approx(0.1)
    assert timings["slow", "step"].median == pytest.approx(0.4)


def test_ratio_of_medians_with_the_spread_of_the_turns():
    slow = alternation.Timing(np.array([4.0, 8.0, 6.0]), repetitions=1)
    fast = alternation.Timing(np.array([2.0, 2.0, 1.0]), repetitions=1)
    speedup = alternation.ratio(slow, fast)
    assert speedup.median == pytest.approx(3.0)
    # Side by side: 2, 4 and 6.
    assert speedup.quartiles == pytest.approx((3.0, 5.0))


def test_at_least_one_repetition_a_turn():
    calls = []
    contenders = {"slow": Clockwork("slow", {"step": 50.0}, calls)}
    timings = alternation.alternate(contenders, {"slow": ["step"]}, turns=1, turn_seconds=0.0)
    assert timings["slow", "step"].repetitions == 1
