"""What the items of a history say of others, against plain NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from tests.tfcdr.memory_data import TARGETS, MemoryData
from tfcdr.ranking.neighbours import model as model_module
from tfcdr.ranking.neighbours.model import NeighbourModel, NeighbourOptions, choices

HISTORIES = np.array([[0, 0, 3, 12, 5], [0, 0, 0, 0, 0], [7, 0, 20, 0, 1]], np.int32)


def fitted(data, epoch=0, **options):
    items, counts = data.vocabulary("joint").size, data.vocabulary("target").counts
    model = NeighbourModel(NeighbourOptions(**options), "joint", items, counts, transfers=True)
    figures = model.fit_epoch(data, epoch, [])
    return model, figures


def plain_scores(model, history, ranked=(1, TARGETS)):
    """Returns float [1 + items], by one user's history."""
    scores = model.popularity.numpy().astype(np.float64)
    known = [item for item in history if item]
    for age, item in enumerate(reversed(known)):
        weight = model.decay.numpy() ** age
        if not ranked[0] <= item <= ranked[1]:
            weight *= model.other_weight.numpy()
        np.add.at(scores, model.neighbours.numpy()[item], weight * model.values.numpy()[item])
    return scores


@pytest.mark.parametrize("epoch", [0, 1, 5, 8])
def test_scores_are_those_of_a_plain_writing(epoch, jit_compile):
    model, figures = fitted(MemoryData(), epoch)
    assert figures["decay"] == pytest.approx(model.decay.numpy())
    assert figures["other_weight"] == pytest.approx(model.other_weight.numpy())
    score = tf.function(
        lambda history: model.score_range(model.encode_history(history), 1, TARGETS),
        jit_compile=jit_compile,
    )
    expected = [plain_scores(model, history)[1:] for history in HISTORIES]
    np.testing.assert_allclose(score(HISTORIES), expected, rtol=1e-5)


def test_candidates_score_as_the_catalogue_does_in_pieces_of_any_size(monkeypatch):
    model, _ = fitted(MemoryData())
    user = model.encode_history(HISTORIES)
    whole = model.score_range(user, 1, TARGETS).numpy()
    ids = np.array([[1, 9, 4], [2, 2, 8], [3, 5, 7]])
    for size in (4, TARGETS, 100):
        monkeypatch.setattr(NeighbourModel, "items_at_once", size)
        found = model.score_candidates(user, tf.constant(ids, tf.int32)).numpy()
        np.testing.assert_array_equal(found, np.take_along_axis(whole, ids - 1, 1))


def test_without_a_neighbour_the_popular_come_first():
    model, _ = fitted(MemoryData())
    scores = model.score_range(model.encode_history(np.zeros((1, 4), np.int32)), 1, TARGETS)
    assert np.argsort(-scores.numpy()[0]).tolist() == list(range(TARGETS))


def test_an_item_is_of_another_domain_where_it_is_not_ranked():
    model, _ = fitted(MemoryData())
    batch = {"recent_items": HISTORIES}
    ranked = tf.constant([[1, 3], [1, 3], [4, 9]])
    scores = model.score_range(model.user(batch, ranked), 1, TARGETS)
    pairs = zip(HISTORIES, ranked.numpy(), strict=True)
    expected = [plain_scores(model, history, part)[1:] for history, part in pairs]
    np.testing.assert_allclose(scores, expected, rtol=1e-5)


def test_tables_are_fitted_once_for_all_settings_that_share_them(monkeypatch):
    calls = []
    find = model_module.similar_items
    monkeypatch.setattr(
        model_module, "similar_items", lambda *args: calls.append(args[2]) or find(*args)
    )
    data = MemoryData()
    model, _ = fitted(data)
    for epoch in range(len(model.settings)):
        model.fit_epoch(data, epoch, [])
    assert len(calls) == len(set(calls)) == 3


@pytest.mark.parametrize("kind", ["cosine", "ease"])
def test_settings_of_one_domain_are_fewer(kind):
    one, two = choices(kind, transfers=False), choices(kind, transfers=True)
    assert len(two) == 3 * len(one)
    assert len(set(two)) == len(two)
