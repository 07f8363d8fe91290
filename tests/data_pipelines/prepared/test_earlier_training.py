"""What a run on yesterday's log has trained on of what today's holds out."""

import pytest

from data_pipelines.prepared.earlier_training import known_answers
from data_pipelines.splitting.split_log import SplitOptions
from data_pipelines.splitting.splits import split
from tests.data_pipelines.small_logs import built, log_of

ANN = [("ann", item, "toys", time) for time, item in enumerate(("t1", "t2", "t3", "t4", "t5"))]
BOB = [("bob", item, "toys", time) for time, item in enumerate(("t5", "t1", "t2", "t3"))]


def source_of(folder, rows, **options):
    return built(folder, split(log_of(rows), SplitOptions(**options)), ["toys"])


def test_a_log_that_goes_on_holds_out_what_nobody_has_trained_on(tmp_path):
    monday = source_of(tmp_path / "monday", ANN + BOB)
    # Other ids: t9 is new, and everybody has it.
    more = [("ann", "t9", "toys", 9), ("bob", "t9", "toys", 9), ("cy", "t9", "toys", 8)]
    tuesday = source_of(tmp_path / "tuesday", ANN + BOB + more)
    assert known_answers(tuesday, monday) == (4, 0)


def test_a_run_of_another_split_has_trained_on_some(tmp_path):
    later = [("ann", f"t{n}", "toys", 10 + n) for n in range(6, 9)]
    other = source_of(tmp_path / "other", ANN + later + BOB)
    # What was ann's fourth and fifth item trains where she has eight.
    assert known_answers(source_of(tmp_path / "this", ANN + BOB), other) == (4, 2)


@pytest.mark.parametrize(("repeats", "known"), [("all", 0), ("first", 1)])
def test_where_repeats_count_the_same_item_later_is_another_interaction(tmp_path, repeats, known):
    again = [*ANN[:4], ("ann", "t1", "toys", 7)]
    first = source_of(tmp_path / "first", [*ANN, *BOB], repeats=repeats)
    found = known_answers(source_of(tmp_path / "second", again, repeats=repeats), first)
    # As first interactions, ann's are t1 to t4, and the third is of validation now.
    assert (found.held_out, found.known) == (2, known)
