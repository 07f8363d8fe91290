"""How much of users trains, and whether what is read of them comes before the answer."""

import collections

import numpy as np
import pytest

from data_pipelines.prepared.history_audit import HistoryTimes, history_sizes
from data_pipelines.splitting.split_log import SplitOptions
from data_pipelines.splitting.splits import split
from tests.data_pipelines.small_logs import DOMAINS, built, drawn_rows, log_of, rows_of
from tests.data_pipelines.views import plain_rules

# Toys are tested at 50; a book at 45 comes before that and the book at 60 later.
ROWS = [
    ("ann", "t1", "toys", 10),
    ("ann", "t2", "toys", 20),
    ("ann", "t3", "toys", 30),
    ("ann", "t4", "toys", 40),
    ("ann", "t5", "toys", 50),
    ("ann", "b1", "books", 45),
    ("ann", "b2", "books", 60),
    ("bob", "b3", "books", 5),
]


def source_of(folder, rows=ROWS, comparable_times=True, **options):
    log = log_of(rows, comparable_times=comparable_times)
    return built(folder, split(log, SplitOptions()), ["toys"], **options)


def numbers(source, *names):
    """Ids of the data set of items `domain:item`."""
    items = source.prepared.items
    tokens = [
        f"{domain}:{items.ids[place]}"
        for number, domain in enumerate(items.domains)
        for place in range(items.starts[number], items.starts[number + 1])
    ]
    return np.array([tokens.index(name) + 1 if name else 0 for name in names])


def user_of(source, name):
    (number,) = (
        user for user in range(1, source.num_users + 1) if source.user_names([user]) == [name]
    )
    return number


def check(source, *histories, answer="toys:t5", user="ann"):
    """Looks at what is read of rows that ask for one item."""
    read = np.stack([numbers(source, *history) for history in histories])
    users = np.full(len(read), user_of(source, user))
    answers = np.repeat(numbers(source, answer), len(read))
    return HistoryTimes(source).check([(users, answers, read)])


def test_what_comes_before_the_answer_is_fine(tmp_path):
    source = source_of(tmp_path)
    assert check(source, ("", "toys:t4", "books:b1"), ("", "", "")) == (2, 0, 0)


@pytest.mark.parametrize(
    "late", ["books:b2", "books:b3"], ids=["taken later", "taken by somebody else"]
)
def test_what_the_user_took_later_or_never_is_late(tmp_path, late):
    source = source_of(tmp_path)
    found = check(source, ("toys:t4", late), ("toys:t4", "books:b1"))
    assert (found.rows, found.late) == (2, 1)


def test_an_answer_that_is_not_held_out_is_late(tmp_path):
    assert check(source_of(tmp_path), ("toys:t1",), answer="toys:t2").late == 1


def test_times_that_cannot_be_compared_are_not(tmp_path):
    source = source_of(tmp_path, comparable_times=False, source_history="all")
    assert check(source, ("toys:t4", "books:b2"), ("toys:t4", "")) == (2, 0, 1)


@pytest.mark.parametrize("kind", ["leave_one_out", "ratio"])
def test_sizes_are_those_of_the_plain_rule(tmp_path, kind):
    split_log = split(log_of(drawn_rows()), SplitOptions(kind=kind))
    source = built(tmp_path, split_log, ["toys"])
    people = plain_rules.people_of(split_log, source.roles, source.options)
    expected = collections.Counter()
    for name, person in people.items():
        for history in plain_rules.training_histories(person, "joint", 10**6):
            expected[name, history.partition(":")[0]] += 1
    sizes = history_sizes(source)
    order = source.prepared.items.domains
    assert sorted(order) == sorted(DOMAINS)
    users = np.arange(1, source.num_users + 1)
    toys = np.full(len(users), source.prepared.items.starts[order.index("toys")] + 1)
    for user, name in zip(users, source.user_names(users), strict=True):
        for number, domain in enumerate(order):
            assert sizes.counts[user, number] == expected[name, domain]
    own, others = sizes.own_and_others(users, toys)
    np.testing.assert_array_equal(own, sizes.counts[users, order.index("toys")])
    assert own.sum() + others.sum() == sizes.counts.sum() == sum(expected.values()) > 0
    assert len(rows_of(split_log)) > sizes.counts.sum()
