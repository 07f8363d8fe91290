"""The audit's groups, its intervals and its words, on ranks made by hand."""

import numpy as np
import pytest
import scipy.stats

from tfcdr.ranking import paired_bootstrap, transfer_audit
from tfcdr.ranking.held_out_ranks import Ranks
from tfcdr.ranking.transfer_audit import OTHERS, OWN

METRIC = "HR@10"
GROUPS = transfer_audit.history_groups()


def ranks(found, own, others):
    """Ranks of one interaction a user, with how much of each user trains."""
    count = len(found)
    rows = np.arange(count)
    plain = Ranks(rows, np.array(found), np.full(count, 50), rows, rows + 1, {})
    return transfer_audit.with_history_sizes(plain, np.array(own), np.array(others))


def pair(gains, own=None, others=None):
    """Ranks by a model with transfer and by one without, of users who gain -1, 0 or 1."""
    sizes = (np.full(len(gains), 3) if size is None else size for size in (own, others))
    own, others = sizes
    ours = [1 if gain > 0 else 20 for gain in gains]
    alone = [1 if gain < 0 else 20 for gain in gains]
    return ranks(ours, own, others), ranks(alone, own, others)


def audit(*trainings):
    return transfer_audit.audit(trainings, GROUPS, METRIC, seed=0)


def test_groups_are_by_how_much_of_a_user_trains():
    sizes = np.array([0, 1, 4, 5, 19, 20, 300])
    times = np.array([30, 20, 20, 15, 15, 29, 1])
    own, others = np.repeat(sizes, times), np.repeat(sizes[::-1], times)
    found = audit(pair([1] * times.sum(), own, others))
    of_own = {"none": 30, "1 to 4": 40, "5 to 19": 30, "20 and more": 30}
    of_others = {"none": 1, "1 to 4": 44, "5 to 19": 35, "20 and more": 50}
    by_name = {f"{OWN}: {name}": n for name, n in of_own.items()}
    by_name |= {f"{OTHERS}: {name}": n for name, n in of_others.items()}
    gains = {**found.groups, **found.small}
    assert {name: gain.rows for name, gain in gains.items()} == by_name
    # One user has an interval without width, which says nothing about others.
    assert list(found.small) == [f"{OTHERS}: none"]
    assert not any(
        "none (+1" in line for line in transfer_audit.advice(found, {}) if OTHERS in line
    )


def test_a_group_has_its_own_gain_and_a_wider_interval_than_alone():
    gains = np.repeat([1, 0, -1, 0], [60, 40, 30, 70])
    own = np.repeat([2, 10], 100)
    ours, alone = pair(gains, own)
    found = audit((ours, alone))
    few, some = (found.groups[f"{OWN}: {name}"] for name in ("1 to 4", "5 to 19"))
    assert (few.gain, some.gain) == (pytest.approx(0.6), pytest.approx(-0.3))
    assert (few.word(), some.word()) == ("helped", "HURT")
    assert found.whole.gain == pytest.approx(0.15)
    # Three groups have users: one of three intervals of 98.3 % misses in 5 % of all audits.
    assert found.level == pytest.approx(1 - 0.05 / 3)
    first = np.arange(len(gains)) < 100
    narrow = paired_bootstrap.measure(ours.only(first), alone.only(first), METRIC, seed=0)
    wider = scipy.stats.norm.ppf(1 - 0.025 / 3) / scipy.stats.norm.ppf(0.975)
    assert few.high - few.low == pytest.approx(wider * (narrow.high - narrow.low))


def test_groups_of_few_trainings_are_widened_by_students_quantile():
    """Three trainings that differ more than their users do have two degrees of freedom."""
    shares = [[1] * n + [0] * (300 - n) for n in (60, 90, 120)]
    own = np.repeat([2, 10], 150)
    found = audit(*(pair(np.array(share)[::-1], own) for share in shares))
    group = found.groups[f"{OWN}: 5 to 19"]
    assert group.high - group.low > 1.5 * (found.whole.high - found.whole.low)


def test_several_trainings_count_what_lies_between_them():
    first, second = pair([1] * 30 + [0] * 70), pair([0] * 70 + [-1] * 30)
    one, both = audit(first), audit(first, second)
    assert (one.trainings, both.trainings) == (1, 2)
    assert both.whole.gain == pytest.approx(0.0)
    assert both.whole.high - both.whole.low > 2 * (one.whole.high - one.whole.low)
    assert both.whole.word() == "made no measurable difference"


@pytest.mark.parametrize(
    ("gains", "expected"),
    [
        ([1] * 50 + [0] * 50, "Keep the transfer: lists are better by"),
        ([-1] * 50 + [0] * 50, "Switch the transfer OFF: it makes lists worse by 100 %"),
        ([1, -1] * 50, "The transfer makes no difference that could be measured"),
    ],
)
def test_the_first_sentence_says_what_to_do(gains, expected):
    first, *_ = transfer_audit.advice(audit(pair(gains)), {})
    assert first.startswith(expected)


def test_groups_that_go_another_way_are_named():
    gains, own = np.repeat([1, -1], 100), np.repeat([2, 30], 100)
    said = transfer_audit.advice(audit(pair(gains, own)), {})
    assert "It helps these groups measurably: history there: 1 to 4 (+1.0000)." in said
    assert "It HURTS these groups measurably: history there: 20 and more (-1.0000)." in said


def test_what_is_better_without_training_is_to_be_served():
    found = audit(pair([1] * 50 + [0] * 50), pair([1] * 50 + [0] * 50))
    assert not [line for line in transfer_audit.advice(found, {}) if "serve" in line]
    said = transfer_audit.advice(found, {"most popular": 0.6, "item neighbours": 0.7})
    assert said[-1] == "Either way serve item neighbours, which have 0.7000."


def test_one_training_is_said_to_be_one():
    once, twice = audit(pair([1] * 9)), audit(pair([1] * 9), pair([1] * 9))
    assert "One training" in transfer_audit.advice(once, {})[-1]
    assert not any("One training" in line for line in transfer_audit.advice(twice, {}))


def test_without_a_common_interaction_nothing_is_said():
    empty = pair([])
    found = audit(empty)
    assert transfer_audit.advice(found, {}) == [
        "Nothing can be said: both trainings have no test interaction in common."
    ]
