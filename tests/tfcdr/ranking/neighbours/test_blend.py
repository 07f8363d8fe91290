"""A model's scores and the neighbours', blended: the formula, and what each epoch tries."""

import numpy as np
import pytest
import tensorflow as tf

from tests.tfcdr.memory_data import LENGTH, TARGETS, MemoryData
from tfcdr.errors import RunError
from tfcdr.ranking.ensemble import RankingEnsemble
from tfcdr.ranking.neighbours.blend import STRENGTHS, NeighbourBlend, tries
from tfcdr.ranking.neighbours.model import NeighbourModel, NeighbourOptions
from tfcdr.systems.timirec.config import TiMiRecConfig
from tfcdr.systems.timirec.model import FinetuningModel, PretrainingModel

HISTORIES = tf.constant([[0, 0, 3, 12, 5], [0, 0, 0, 0, 0], [7, 2, 20, 4, 1]])
CONFIG = TiMiRecConfig(embedding_size=4, attention_size=2, interests=2)


def ensemble(*sizes):
    return RankingEnsemble([PretrainingModel(*sizes) for _ in range(3)])


def blended(data, kind=PretrainingModel, neighbours="cosine"):
    tf.keras.utils.set_random_seed(0)
    items, targets = data.vocabulary("joint").size, data.vocabulary("target")
    trained = kind(CONFIG, LENGTH, items + 1, targets.size)
    options = NeighbourOptions(neighbours)
    neighbours = NeighbourModel(options, "joint", items, targets.counts, transfers=True)
    return NeighbourBlend(trained, neighbours, LENGTH)


@pytest.mark.parametrize(
    ("kind", "vectors", "neighbours"),
    [
        (PretrainingModel, 2, "cosine"),
        (FinetuningModel, 1, "ease"),
        (ensemble, 3 * 2, "cosine"),
    ],
)
def test_scores_add_up_as_written(kind, vectors, neighbours, jit_compile):
    data = MemoryData()
    blend = blended(data, kind, neighbours)
    assert blend.items_at_once == blend.neighbours.items_at_once // vectors
    settings = len(blend.neighbours.settings)
    strength = STRENGTHS.index(2.0)
    blend.fit_epoch(data, settings + strength, [0.1] * (settings + strength))
    score = tf.function(
        lambda history: blend.score_range(blend.encode_history(history), 1, TARGETS),
        jit_compile=jit_compile,
    )
    heard = blend.neighbours.encode_history(HISTORIES)
    said = blend.neighbours.score_range(heard, 1, TARGETS).numpy()
    said = said - blend.neighbours.popularity.numpy()[1:]
    # Item by item of a history, what is said for others; EASE says something against some as well.
    words = blend.neighbours.values.numpy()[heard[..., 0]]
    assert (words < 0).any() == (neighbours == "ease")
    weights = heard[..., 1].numpy().view(np.float32)
    total = (np.maximum(words, 0).sum(-1) * weights).sum(1, keepdims=True)
    assert (total[[0, 2]] > 0).all()
    shares = np.divide(said, total, out=np.zeros_like(said), where=total > 0)
    shares = np.maximum(shares + blend.neighbours.popularity.numpy()[1:], 0)
    own = blend.model.score_range(blend.model.encode_history(HISTORIES), 1, TARGETS)
    np.testing.assert_allclose(score(HISTORIES), own + 2 * np.log(shares + 1e-4), rtol=1e-4)


def test_candidates_score_as_the_catalogue_does():
    data = MemoryData()
    blend = blended(data)
    blend.fit_epoch(data, tries("cosine", True) - 1, [0.1] * (tries("cosine", True) - 1))
    user = blend.encode_history(HISTORIES)
    ids = np.array([[1, 9, 4], [2, 2, 8], [3, 5, 7]])
    whole = blend.score_range(user, 1, TARGETS).numpy()
    found = blend.score_candidates(user, tf.constant(ids, tf.int32))
    np.testing.assert_allclose(found, np.take_along_axis(whole, ids - 1, 1), rtol=1e-5)


def test_epochs_try_the_neighbours_then_strengths_with_the_best_of_them():
    data = MemoryData()
    blend = blended(data)
    settings = blend.neighbours.settings
    scores = []
    for epoch in range(tries("cosine", True)):
        figures = blend.fit_epoch(data, epoch, scores)
        # The fifth settings score best; what strengths score has no part in that.
        scores.append(0.5 if epoch == 4 else 0.9 if epoch >= len(settings) else 0.1)
        alone = epoch < len(settings)
        chosen = settings[epoch if alone else 4]
        assert figures["decay"] == chosen.decay
        assert figures["other_weight"] == chosen.other_weight
        assert figures["model_weight"] == (0 if alone else 1)
        assert figures["strength"] == (1 if alone else STRENGTHS[epoch - len(settings)])
        if alone:
            own = blend.neighbours.encode_history(HISTORIES)
            expected = blend.neighbours.score_range(own, 1, TARGETS)
            found = blend.score_range(blend.encode_history(HISTORIES), 1, TARGETS)
            np.testing.assert_array_equal(np.argmax(found, 1), np.argmax(expected, 1))


def test_a_resumed_epoch_needs_none_of_those_before():
    data = MemoryData()
    scores = [0.1, 0.3, *[0.2] * (len(blended(data).neighbours.settings) - 2)]
    last = len(scores) + 1
    one, other = blended(data), blended(data)
    for epoch in range(last):
        one.fit_epoch(data, epoch, scores)
    for blend in (one, other):
        blend.fit_epoch(data, last, scores)
    np.testing.assert_array_equal(one.encode_history(HISTORIES), other.encode_history(HISTORIES))
    user = one.encode_history(HISTORIES)
    np.testing.assert_array_equal(
        one.score_range(user, 1, TARGETS), other.score_range(user, 1, TARGETS)
    )


def test_strength_0_is_the_model_alone():
    data = MemoryData()
    blend = blended(data)
    before = len(blend.neighbours.settings)
    blend.fit_epoch(data, before, [0.1] * before)
    own = blend.model.score_range(blend.model.encode_history(HISTORIES), 1, TARGETS)
    found = blend.score_range(blend.encode_history(HISTORIES), 1, TARGETS)
    np.testing.assert_array_equal(found, own)


def test_has_no_vectors_to_search():
    with pytest.raises(RunError, match="brute_force"):
        blended(MemoryData()).item_factors()
