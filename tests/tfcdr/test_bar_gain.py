"""What is said of a model and its bars."""

import pytest

from tfcdr import bar_gain
from tfcdr.bar_gain import BarGain


def entry(gain, low, high, rows=10, bar="item neighbours"):
    return BarGain(bar, "NDCG@10", 0.2 + gain, 0.2, gain, low, high, rows)._asdict()


UNKNOWN = dict.fromkeys(("model", "of_bar", "gain", "low", "high"))
NOTHING = entry(0.0, 0.0, 0.0, 0) | UNKNOWN
BELOW, LEVEL, ABOVE = entry(-0.1, -0.2, -0.05), entry(0.1, -0.2, 0.3), entry(0.1, 0.05, 0.3)


@pytest.mark.parametrize(
    ("gain", "start"),
    [
        (BELOW, "BELOW item neighbours: test NDCG@10 0.1000 against 0.2000 (-0.1000, 95 % "),
        (LEVEL, "NOT ABOVE item neighbours: test NDCG@10 0.3000 against 0.2000 (+0.1000, 95 % "),
        (ABOVE, "above item neighbours: test NDCG@10 0.3000 against 0.2000 (+0.1000, 95 % "),
        (entry(0.0, 0.0, 0.0), "the same as item neighbours: "),
        (NOTHING, "item neighbours: NDCG@10 has no value over n = 0 test rows"),
    ],
)
def test_what_is_not_above_a_bar_is_said_in_capitals(gain, start):
    assert BarGain.from_json(gain).verdict().startswith(start)


def test_groups_that_are_not_above_have_a_line():
    groups = {"all": ABOVE, "cold": BELOW, "warm": ABOVE, "nobody": NOTHING}
    said = bar_gain.lines({"item neighbours": groups})
    assert len(said) == 2
    assert said[1].startswith("  cold: BELOW, 0.1000 against 0.2000 (-0.1000, 95 % interval")
    assert said[1].endswith("n = 10)")
    assert bar_gain.lines({}) == []


@pytest.mark.parametrize(("high", "word"), [(-0.05, "BELOW"), (0.1, "NOT ABOVE")])
def test_a_baseline_that_is_not_above_a_bar_is_said_to_be(high, word):
    bars = {"most popular": {"all": entry(-0.1, -0.2, high, bar="most popular")}}
    line = bar_gain.baseline_line({**bars, "item neighbours": {"all": ABOVE}})
    assert f"without transfer (0.1000) is itself {word} most popular (0.2000): to be" in line
    assert bar_gain.baseline_line({"item neighbours": {"all": ABOVE}}) == ""
    assert bar_gain.baseline_line({}) == ""
