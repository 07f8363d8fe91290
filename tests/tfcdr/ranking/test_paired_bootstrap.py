"""Whether the transfer helped: direction, interval and words on ranks made by hand."""

import numpy as np
import pytest

from tfcdr.ranking import paired_bootstrap
from tfcdr.ranking.held_out_ranks import Ranks
from tfcdr.row_groups import COLD_AND_WARM, RowGroups


def ranks(by_interaction, users=None):
    count = len(by_interaction)
    users = np.arange(count) if users is None else np.array(users)
    groups = {"cold": np.arange(count) % 2}
    rows = np.arange(count)
    return Ranks(users, np.array(by_interaction), np.full(count, 50), rows, rows + 1, groups)


BETTER, WORSE = ranks([1] * 40), ranks([20] * 40)


def test_a_gain_for_every_user_has_an_interval_without_width():
    gain = paired_bootstrap.measure(BETTER, WORSE, "HR@10", seed=0)
    assert (gain.transfer, gain.no_transfer, gain.gain) == (1.0, 0.0, 1.0)
    assert (gain.low, gain.high) == (1.0, 1.0)
    assert "transfer helped" in gain.verdict()


def test_a_loss_is_said_loudly():
    gain = paired_bootstrap.measure(WORSE, BETTER, "HR@10", seed=0)
    assert (gain.gain, gain.low, gain.high) == (-1.0, -1.0, -1.0)
    assert "transfer HURT" in gain.verdict()


def test_an_interval_across_zero_is_no_difference():
    # Half of the users win, half lose.
    left, right = ranks([1, 20] * 20), ranks([20, 1] * 20)
    gain = paired_bootstrap.measure(left, right, "NDCG@10", seed=0)
    assert gain.gain == pytest.approx(0.0)
    assert gain.low < 0 < gain.high
    assert "no measurable difference" in gain.verdict()


def test_interval_is_the_bootstraps():
    # 30 of 100 users gain 1, the others nothing: the mean of a resample is binomial with standard
    # deviation sqrt(0.3 * 0.7 / 100) = 0.0458, so that 95 % lie within 0.3 +- 1.96 * 0.0458.
    left, right = ranks([1] * 30 + [20] * 70), ranks([20] * 100)
    gain = paired_bootstrap.measure(left, right, "HR@10", seed=1)
    assert gain.gain == pytest.approx(0.3)
    assert gain.low == pytest.approx(0.3 - 1.96 * 0.0458, abs=0.02)
    assert gain.high == pytest.approx(0.3 + 1.96 * 0.0458, abs=0.02)
    assert gain == paired_bootstrap.measure(left, right, "HR@10", seed=1)


def test_a_single_user_has_an_interval_without_width():
    gain = paired_bootstrap.measure(ranks([1]), ranks([20]), "HR@10", seed=0)
    assert (gain.low, gain.gain, gain.high) == (1.0, 1.0, 1.0)


def test_every_user_counts_once():
    # User 1 has three interactions, all won; user 2 has one, lost: means 1 and 0.
    left = ranks([1, 1, 1, 20], users=[1, 1, 1, 2])
    right = ranks([20, 20, 20, 20], users=[1, 1, 1, 2])
    assert paired_bootstrap.measure(left, right, "MRR@10", seed=0).transfer == pytest.approx(0.5)


def test_refuses_other_interactions():
    with pytest.raises(ValueError, match="different interactions"):
        paired_bootstrap.measure(ranks([1, 2]), ranks([1, 2], users=[7, 8]), "HR@10", seed=0)


@pytest.mark.parametrize("metric", ["HR", "HR@", "HR@x", "precision@10", "AUC"])
def test_refuses_a_metric_that_it_does_not_know(metric):
    with pytest.raises(ValueError, match=metric):
        paired_bootstrap.measure(BETTER, WORSE, metric, seed=0)


def test_interactions_that_only_one_model_ranks_do_not_count():
    most = np.arange(40) >= 10
    gain = paired_bootstrap.measure(ranks([20] * 10 + [1] * 30), WORSE.only(most), "HR@10", seed=0)
    assert (gain.transfer, gain.no_transfer, gain.left_out) == (1.0, 0.0, 10)
    assert "without 10 that only one can rank" in gain.verdict()


def test_gains_by_group_and_a_group_that_nobody_is_in():
    left, right = ranks([1] * 40), ranks([1, 20] * 20)  # every second user gains: the cold ones
    groups = (COLD_AND_WARM, RowGroups("cold", {"unknown": 7}))
    gains = paired_bootstrap.measure_groups(left, right, groups, "HR@10", seed=0)
    assert list(gains) == ["all", "cold", "warm", "unknown"]
    assert [gain.rows for gain in gains.values()] == [40, 20, 20, 0]
    assert [gains[name].gain for name in ("all", "cold", "warm")] == [0.5, 1.0, 0.0]
    assert gains["unknown"].group_line("unknown").strip() == "unknown: n = 0"
    assert gains["cold"].group_line("cold").startswith("  cold: helped, 1.0000 with")
