import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipelines.coding import user_histories
from data_pipelines.coding.coded_log import NEVER
from data_pipelines.coding.user_histories import UserHistory
from data_pipelines.errors import DataError
from data_pipelines.splitting.split_log import TEST, TRAIN, VALIDATION
from data_pipelines.views import VIEWS
from data_pipelines.views.view import ExampleOptions
from tests.data_pipelines.small_logs import split_log, split_logs

VIEW = VIEWS["next_item"]


def source_history(items, part=TRAIN, times=None, held_out_from=NEVER):
    n = len(items)
    return UserHistory(
        user=7,
        items=np.array(items, np.int64),
        is_target=np.zeros(n, bool),
        domains=np.zeros(n, np.int8),
        timestamps=np.arange(n) if times is None else np.array(times),
        parts=np.full(n, part, np.int8),
        held_out_from=held_out_from,
        negatives=np.zeros(0, np.int64),
        negative_offsets=np.zeros(n + 1, np.int64),
    )


def cut(history, part=TRAIN, max_length=3):
    examples = VIEW.examples(history, part, ExampleOptions(max_length=max_length))
    return [example["items"].tolist() for example in examples]


@settings(max_examples=60)
@given(st.integers(0, 40), st.integers(2, 9))
def test_every_item_but_the_first_is_a_label_once_with_the_item_before_it(n, max_length):
    items = list(range(1, n + 1))
    pieces = cut(source_history(items), max_length=max_length)
    pairs = sorted(pair for piece in pieces for pair in itertools.pairwise(piece))
    assert pairs == list(itertools.pairwise(items))
    assert all(2 <= len(piece) <= max_length + 1 for piece in pieces)


def test_latest_items_share_a_full_window():
    assert cut(source_history([1, 2, 3, 4, 5, 6])) == [[3, 4, 5, 6], [1, 2, 3]]
    assert cut(source_history([1])) == []


def test_a_sequence_belongs_to_one_part():
    history = source_history([1, 2], part=VALIDATION)
    assert (cut(history, TRAIN), cut(history, VALIDATION), cut(history, TEST)) == ([], [[1, 2]], [])


def test_what_happened_from_the_first_held_out_event_on_is_left_out():
    history = source_history([1, 2, 3, 4], times=[1, 2, 5, 9], held_out_from=5)
    assert cut(history) == [[1, 2]]


@settings(max_examples=40, deadline=None)
@given(split_logs())
def test_no_window_holds_target_items_or_late_events(log):
    coded = user_histories.number(log)
    for history in coded.histories:
        early = history.items[~history.is_target & (history.timestamps < history.held_out_from)]
        steps = set(itertools.pairwise(early.tolist()))
        for part in (TRAIN, VALIDATION, TEST):
            for piece in cut(history, part):
                assert set(itertools.pairwise(piece)) <= steps


def test_needs_a_source_domain():
    log = split_log([("u", "a", "toys", k, "train") for k in range(3)], domains=("toys",))
    with pytest.raises(DataError, match="next_item needs a source domain"):
        VIEW.check(log, ExampleOptions())
