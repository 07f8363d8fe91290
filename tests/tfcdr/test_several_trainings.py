"""Differences of several trainings, put together."""

import math

import numpy as np
import pytest

from tfcdr import several_trainings
from tfcdr.bar_gain import BarGain
from tfcdr.transfer_gain import TransferGain


def test_one_training_keeps_its_interval():
    assert several_trainings.interval([0.2], [0.1], [0.4]) == (0.1, 0.4)


def test_trainings_that_agree_share_the_chance_of_their_rows():
    low, high = several_trainings.interval([0.2] * 3, [0.1] * 3, [0.3] * 3)
    assert (low, high) == pytest.approx((0.1, 0.3))


def test_without_chance_of_rows_it_is_students_interval():
    gains = [0.1, 0.2, 0.6]
    low, high = several_trainings.interval(gains, gains, gains)
    half = 4.302652729 * np.std(gains, ddof=1) / math.sqrt(3)
    assert (low, high) == pytest.approx((0.3 - half, 0.3 + half))


@pytest.mark.parametrize("trainings", [2, 3, 5])
def test_covers_the_true_gain(trainings):
    """Rows' chance is shared by the trainings, each has its own besides."""
    rng = np.random.default_rng(0)
    covered = []
    for _ in range(2000):
        gains = 0.5 + rng.normal(0, 0.3) + rng.normal(0, 0.4, trainings)
        low, high = several_trainings.interval(gains, gains - 1.96 * 0.3, gains + 1.96 * 0.3)
        covered.append(low <= 0.5 <= high)
    assert 0.935 < np.mean(covered) < 0.975


def test_gains_of_transfer_and_bars():
    gains = [
        TransferGain("NDCG@10", 0.3 + shift, 0.1, 0.2 + shift, 0.1 + shift, 0.3 + shift, 50, 2)
        for shift in (-0.05, 0.05)
    ]
    mean = TransferGain.over_trainings(gains)
    assert (mean.transfer, mean.no_transfer, mean.gain) == pytest.approx((0.3, 0.1, 0.2))
    assert (mean.rows, mean.left_out) == (50, 2)
    assert mean.high - mean.low > 0.2
    bars = [BarGain.of("most popular", gain) for gain in gains]
    assert BarGain.over_trainings(bars) == BarGain.of("most popular", mean)


def test_a_gain_without_a_value_leaves_none():
    gains = [TransferGain("AUC", 0.6, 0.5, 0.1, 0.0, 0.2, 9), TransferGain.unknown("AUC", 9)]
    mean = TransferGain.over_trainings(gains)
    assert math.isnan(mean.gain) and mean.rows == 9
