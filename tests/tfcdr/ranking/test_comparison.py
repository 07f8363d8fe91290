"""Comparing recommenders: means, spreads and intervals on ranks made by hand."""

import numpy as np
import pytest

from tfcdr.ranking import comparison
from tfcdr.ranking.comparison import Contender
from tfcdr.ranking.held_out_ranks import Ranks
from tfcdr.row_groups import COLD_AND_WARM


def ranks(by_interaction, rows=None):
    count = len(by_interaction)
    rows = np.arange(count) if rows is None else np.array(rows)
    groups = {"cold": rows % 2}
    return Ranks(rows + 1, np.array(by_interaction), np.full(count, 50), rows, rows + 1, groups)


def hits(share, users=100, shift=0):
    """Ranks of users, this share of whom has a hit."""
    hit = np.arange(users) < share * users
    return ranks(np.roll(np.where(hit, 1, 20), shift))


def compare(*contenders, metric="HR@10", groups=()):
    return comparison.compare(contenders, groups, metric, seed=0)


def test_means_over_seeds_and_their_spread():
    first, second = compare(
        Contender("a", (hits(0.2), hits(0.4))), Contender("b", (hits(0.5), hits(0.7)))
    )
    assert (first.mean, first.gain, first.seeds, first.users) == (pytest.approx(0.3), 0.0, 2, 100)
    assert second.mean == pytest.approx(0.6)
    assert second.gain == pytest.approx(0.3)
    assert second.spread == pytest.approx(np.std([0.5, 0.7], ddof=1))
    assert second.low < 0.3 < second.high


def test_the_interval_of_one_training_is_that_of_users_alone():
    # 30 of 100 users gain 1: standard error sqrt(0.3 * 0.7 / 100), 95 % within 1.96 of them.
    _, second = compare(Contender("a", (hits(0),)), Contender("b", (hits(0.3),)))
    assert second.level == 0.95
    assert second.low == pytest.approx(0.3 - 1.96 * 0.0458, abs=0.02)
    assert second.high == pytest.approx(0.3 + 1.96 * 0.0458, abs=0.02)
    assert np.isnan(second.spread)
    assert second.word() == "better"


def test_what_differs_between_trainings_widens_the_interval():
    alike = compare(Contender("a", (hits(0.4),)), Contender("b", (hits(0.5),) * 2))[1]
    different = compare(Contender("a", (hits(0.4),)), Contender("b", (hits(0.2), hits(0.8))))[1]
    assert different.gain == pytest.approx(alike.gain)
    assert different.low < alike.low
    assert different.word() == "no measurable difference"


def test_more_comparisons_make_wider_intervals():
    pair = Contender("a", (hits(0.3),)), Contender("b", (hits(0.4, shift=50),))
    alone = compare(*pair)[1]
    among_many = compare(*pair, *(Contender(f"c{n}", (hits(0.2),)) for n in range(9)))[1]
    assert among_many.level == pytest.approx(1 - 0.05 / 10)
    assert among_many.low < alone.low
    assert among_many.high > alone.high


def test_a_difference_of_nothing_is_rarely_called_one():
    random = np.random.default_rng(0)
    words = []
    for _ in range(60):
        same = [ranks(random.integers(1, 21, 80)) for _ in range(2)]
        words.append(compare(*(Contender(n, (r,)) for n, r in zip("ab", same, strict=True)))[1])
    called = sum(standing.word() != "no measurable difference" for standing in words)
    assert called <= 7  # of 60 at 5 %: 3 expected, above 7 in one of a hundred


def test_groups_and_interactions_that_not_all_rank():
    whole = Contender("a", (ranks([1, 20, 1, 20]),))
    part = Contender("b", (ranks([1, 1, 1], rows=[0, 1, 2]),))
    standings = {(s.group, s.name): s for s in compare(whole, part, groups=[COLD_AND_WARM])}
    assert comparison.left_out([whole, part]) == 1
    assert standings["all", "a"].mean == pytest.approx(2 / 3)
    assert standings["cold", "b"].users == 1
    assert standings["warm", "b"].gain == 0.0


def test_the_order_of_rows_does_not_matter():
    turned = hits(0.3).only(np.arange(100)[::-1])
    standings = compare(Contender("a", (hits(0.3),)), Contender("b", (turned,)))
    assert (standings[1].low, standings[1].high) == (0.0, 0.0)


def test_a_group_without_users_has_no_figures():
    standings = compare(Contender("a", (ranks([1, 2], rows=[0, 2]),)), groups=[COLD_AND_WARM])
    cold = next(standing for standing in standings if standing.group == "cold")
    assert cold.users == 0
    assert np.isnan(cold.mean)


def test_other_interactions_are_refused():
    other = hits(0.3)._replace(user=np.arange(100) + 700)
    with pytest.raises(ValueError, match="different interactions"):
        compare(Contender("a", (hits(0.3),)), Contender("b", (other,)))
