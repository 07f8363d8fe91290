"""Neighbours of items against plain NumPy."""

import numpy as np
import pytest

from tfcdr.errors import RunError
from tfcdr.ranking.neighbours import cosine, ease
from tfcdr.ranking.neighbours.cosine import Nearness, similar_items
from tfcdr.ranking.neighbours.ease import regression_weights
from tfcdr.ranking.neighbours.tables import training_matrix

ITEMS, RANKED = 9, 6


def took(users=30, seed=0, weights=(1,)):
    """Who took what and how much it counts, float [users, items]."""
    random = np.random.default_rng(seed)
    taken = random.random((users, ITEMS)) < 0.4
    return taken * random.choice(weights, taken.shape).astype(np.float32)


def as_histories(taken):
    """The same as two portions of histories."""
    half = len(taken) // 2
    for portion in (taken[:half], taken[half:]):
        row, item = np.nonzero(portion)
        yield row, item + 1, portion[row, item]


def dense(tables):
    """Returns values float [items, ranked]."""
    found = np.zeros((ITEMS, RANKED + 1))
    for item in range(ITEMS):
        np.add.at(found[item], tables.ids[1 + item], tables.values[1 + item])
    assert not tables.ids[0].any()
    return found[:, 1:]


def kept(values, width):
    """Keeps of each row the values farthest from 0."""
    least = np.sort(np.abs(values), 1)[:, -width, np.newaxis]
    return np.where(np.abs(values) >= least, values, 0)


@pytest.mark.parametrize("pairs", [1, 20, 1 << 24], ids=["an item", "some items", "all items"])
@pytest.mark.parametrize(
    ("popularity", "shrinkage"), [(0.5, 0.0), (0.5, 3.0), (0.0, 0.0), (0.25, 1.0)]
)
def test_nearness_is_that_of_a_plain_writing(popularity, shrinkage, pairs, monkeypatch):
    monkeypatch.setattr(cosine, "_PAIRS_AT_ONCE", pairs)
    taken = took()
    users = taken.sum(0)
    expected = np.zeros((ITEMS, RANKED))
    for j in range(ITEMS):
        for i in range(RANKED):
            if i != j:
                divisor = users[j] ** (1 - popularity) * users[i] ** popularity + shrinkage
                expected[j, i] = (taken[:, j] * taken[:, i]).sum() / divisor
    matrix = training_matrix(as_histories(taken), ITEMS)
    nearness = Nearness(popularity, shrinkage)
    np.testing.assert_allclose(
        dense(similar_items(matrix, RANKED, nearness, RANKED)), expected, rtol=1e-5
    )
    np.testing.assert_allclose(
        dense(similar_items(matrix, RANKED, nearness, 2)).sum(1),
        np.sort(expected, 1)[:, -2:].sum(1),
        rtol=1e-5,
    )


@pytest.mark.parametrize("users", [5, 30], ids=["fewer users", "fewer items"])
def test_ease_is_that_of_a_plain_writing(users, monkeypatch):
    monkeypatch.setattr(ease, "_ITEMS_AT_ONCE", 4)
    taken = took(users)
    inverse = np.linalg.inv(taken.T @ taken + 2.5 * np.eye(ITEMS))
    expected = -inverse / np.diag(inverse)
    expected[np.diag_indices(ITEMS)] = 0
    expected = expected[:, :RANKED]
    matrix = training_matrix(as_histories(taken), ITEMS)
    found = dense(regression_weights(matrix, RANKED, 2.5, RANKED))
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)
    found = dense(regression_weights(matrix, RANKED, 2.5, 3))
    np.testing.assert_allclose(found, kept(expected, 3), rtol=1e-3, atol=1e-5)


def test_what_counts_more_is_a_cosine_of_weights():
    taken = took(weights=(0.2, 1, 3))
    lengths = np.sqrt((taken**2).sum(0))
    expected = (taken.T @ taken / np.outer(lengths, lengths))[:, :RANKED]
    expected[np.diag_indices(RANKED)] = 0
    matrix = training_matrix(as_histories(taken), ITEMS)
    np.testing.assert_allclose(matrix.toarray(), taken)
    found = dense(similar_items(matrix, RANKED, Nearness(0.5, 0), RANKED))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_ease_refuses_what_it_cannot_invert():
    ease.check_size(10**7, 25_000, "--kind")
    ease.check_size(25_000, 10**7, "--kind")
    with pytest.raises(RunError, match=r"too large for EASE.* 25,001.* 30,000.* use --kind=cosine"):
        ease.check_size(30_000, 25_001, "--kind")


def test_repeated_interactions_count_once():
    rows, items = np.array([0, 0, 1]), np.array([2, 2, 1])
    histories = [(rows, items, np.ones(3)), (np.array([0]), np.array([2]), np.ones(1))]
    matrix = training_matrix(histories, 3)
    np.testing.assert_array_equal(matrix.toarray(), [[0, 1, 0], [1, 0, 0], [0, 1, 0]])
    # The one that counts most, where they do not count alike.
    weighed = training_matrix([(rows, items, np.array([2.0, 0.5, 0.25]))], 3)
    np.testing.assert_array_equal(weighed.toarray(), [[0, 2, 0], [0.25, 0, 0]])


def test_nothing_to_count_is_no_error():
    matrix = training_matrix([(np.zeros(0, int), np.zeros(0, int), np.zeros(0))], ITEMS)
    assert not similar_items(matrix, RANKED, Nearness(0.5, 0), 3).ids.any()
