"""The best unseen items against a sort of all scores, and what a request may hold in memory."""

import numpy as np
import pytest
import tensorflow as tf

from tests.graph_sizes import tensor_sizes
from tfcdr.ranking import retrieval
from tfcdr.ranking.model import RankingModel
from tfcdr.ranking.retrieval import MISSING_SCORE, Retriever


class Factors(RankingModel):
    """Scores by given item vectors and biases; row 0 is padding."""

    def __init__(self, vectors, bias=None):
        super().__init__()
        self.num_items = len(vectors) - 1
        self.vectors = tf.Variable(vectors)
        self.bias = None if bias is None else tf.Variable(bias)

    def query(self, batch):
        raise NotImplementedError

    def encode_history(self, history):
        raise NotImplementedError

    def item_factors(self):
        return self.vectors, self.bias


def best_by_sorting(scores, seen, top_k):
    """Returns one user's ids and scores; the lower id first where scores are equal."""
    left = [item for item in range(1, len(scores)) if item not in set(seen)]
    best = sorted(left, key=lambda item: -scores[item])[:top_k]
    missing = top_k - len(best)
    return best + [0] * missing, [*(scores[item] for item in best), *[MISSING_SCORE] * missing]


def whole_numbers(random, *shape):
    """Small whole numbers: their products are exact, and many are equal."""
    return random.integers(-2, 3, shape).astype(np.float32)


@pytest.mark.parametrize("items_at_once", [1, 3, 19, 20, 50])
@pytest.mark.parametrize("top_k", [1, 4, 30])
@pytest.mark.parametrize("has_bias", [False, True])
def test_brute_force_is_a_sort_whatever_the_pieces(monkeypatch, items_at_once, top_k, has_bias):
    monkeypatch.setattr(retrieval, "_ITEMS_AT_ONCE", items_at_once)
    random = np.random.default_rng(0)
    vectors, users = whole_numbers(random, 21, 3), whole_numbers(random, 8, 3)
    vectors[0] = 9  # padding scores high and must not be found
    bias = whole_numbers(random, 21) if has_bias else None
    seen = random.integers(0, 21, (8, 6)).astype(np.int32)
    retriever = Retriever(Factors(vectors, bias), "brute_force", top_k)
    ids, found = tf.function(retriever.best_unseen)(tf.constant(users), tf.constant(seen))
    scores = users @ vectors.T + (0 if bias is None else bias)
    for row in range(len(users)):
        expected = best_by_sorting(scores[row], seen[row], top_k)
        assert ids[row].numpy().tolist() == expected[0]
        assert found[row].numpy().tolist() == expected[1]


class SquaredDistance(Factors):
    """A score that is no inner product, as systems with several interests have."""

    def score_range(self, user, first, count):
        rows = tf.slice(self.vectors, (first, 0), (count, self.vectors.shape[1]))
        return -tf.reduce_sum(tf.square(user[:, tf.newaxis] - rows), -1)


def test_brute_force_takes_a_systems_own_score(monkeypatch):
    monkeypatch.setattr(retrieval, "_ITEMS_AT_ONCE", 7)
    random = np.random.default_rng(1)
    vectors, users = whole_numbers(random, 31, 4), whole_numbers(random, 5, 4)
    retriever = Retriever(SquaredDistance(vectors), "brute_force", 6)
    ids, found = retriever.best_unseen(tf.constant(users), tf.zeros((5, 1), tf.int32))
    scores = -((users[:, np.newaxis] - vectors) ** 2).sum(-1)
    for row in range(len(users)):
        expected = best_by_sorting(scores[row], [], 6)
        assert (ids[row].numpy().tolist(), found[row].numpy().tolist()) == expected


class NearestInterest(Factors):
    """The largest of several inner products; users are [batch, interests, channels]."""

    def score_range(self, user, first, count):
        return tf.reduce_max(super().score_range(user, first, count), 1)

    def score_candidates(self, user, ids):
        return tf.reduce_max(tf.matmul(user, tf.gather(self.vectors, ids), transpose_b=True), 1)


@pytest.mark.parametrize("kind", ["brute_force", "scann"])
def test_users_of_several_interests_get_the_best_of_all_scores(kind):
    """ScaNN looks at every leaf of so small a catalogue, so that its merged proposals hold them."""
    if kind == "scann":
        pytest.importorskip("scann")
    random = np.random.default_rng(3)
    vectors = random.normal(size=(201, 4)).astype(np.float32)
    users = random.normal(size=(16, 3, 4)).astype(np.float32)
    seen = random.integers(0, 201, (16, 5)).astype(np.int32)
    retriever = Retriever(NearestInterest(vectors), kind, 10)
    ids, found = tf.function(retriever.best_unseen)(tf.constant(users), tf.constant(seen))
    scores = (users @ vectors.T).max(1)
    for row in range(len(users)):
        expected = best_by_sorting(scores[row], seen[row], 10)
        assert ids[row].numpy().tolist() == expected[0]
        np.testing.assert_allclose(found[row], expected[1], rtol=1e-5)


class WideCatalogue(Factors):
    """Two million items whose scores come out of thin air."""

    def __init__(self):
        super().__init__(np.zeros((1, 4), np.float32))
        self.num_items = 2_000_000

    def score_range(self, user, first, count):
        return tf.zeros((tf.shape(user)[0], count)) + tf.cast(first, tf.float32)


def test_a_request_never_holds_a_score_for_every_item():
    retriever = Retriever(WideCatalogue(), "brute_force", 10)
    function = tf.function(retriever.best_unseen).get_concrete_function(
        tf.TensorSpec([32, 4], tf.float32), tf.TensorSpec([32, 50], tf.int32)
    )
    sizes = tensor_sizes(function)
    assert 32 * retrieval._ITEMS_AT_ONCE in sizes
    assert max(sizes) <= 32 * retrieval._ITEMS_AT_ONCE


def test_both_kinds_over_many_items():
    """Brute force agrees with numpy; ScaNN finds nearly the same where items form groups."""
    pytest.importorskip("scann")
    random = np.random.default_rng(2)
    items, channels, users, top_k = 200_000, 32, 64, 10
    groups = random.normal(size=(200, channels))
    vectors = groups[random.integers(0, 200, items + 1)]
    vectors = (vectors + 0.7 * random.normal(size=vectors.shape)).astype(np.float32)
    user = random.normal(size=(users, channels)).astype(np.float32)
    model = Factors(vectors)
    seen = random.integers(1, items + 1, (users, 20)).astype(np.int32)
    scores = user.astype(np.float64) @ vectors.T.astype(np.float64)
    scores[:, 0] = -np.inf
    np.put_along_axis(scores, seen, -np.inf, 1)
    expected = np.argsort(-scores, 1)[:, :top_k]

    def recall(kind):
        found, _ = Retriever(model, kind, top_k).best_unseen(tf.constant(user), tf.constant(seen))
        pairs = zip(found.numpy(), expected, strict=True)
        return np.mean([np.isin(row, best).mean() for row, best in pairs])

    assert recall("brute_force") > 0.999
    assert recall("scann") > 0.9
