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


def blended(data, kind=PretrainingModel, neighbours=("cosine",)):
    tf.keras.utils.set_random_seed(0)
    items, targets = data.vocabulary("joint").size, data.vocabulary("target")
    trained = kind(CONFIG, LENGTH, items + 1, targets.size)
    kinds = [
        NeighbourModel(NeighbourOptions(each), "joint", items, targets.counts, transfers=True)
        for each in neighbours
    ]
    return NeighbourBlend(trained, kinds, LENGTH)


def shares(neighbours):
    """What is said for each item, in parts of all that is said for any, and what is popular."""
    heard = neighbours.encode_history(HISTORIES)
    popularity = neighbours.popularity.numpy()[1:]
    said = neighbours.score_range(heard, 1, TARGETS).numpy() - popularity
    # By each item of a history; EASE also speaks against some.
    words = neighbours.values.numpy()[heard[..., 0]]
    assert (words < 0).any() == (neighbours.kind == "ease")
    weights = heard[..., 1].numpy().view(np.float32)
    total = (np.maximum(words, 0).sum(-1) * weights).sum(1, keepdims=True)
    assert (total[[0, 2]] > 0).all()
    of_item = np.divide(said, total, out=np.zeros_like(said), where=total > 0)
    if neighbours.kind == "cosine":
        np.testing.assert_allclose(of_item.sum(1), [1, 0, 1], atol=1e-5)
    else:
        assert (np.maximum(of_item, 0).sum(1) < 1).all()
    return np.maximum(of_item + popularity, 0)


@pytest.mark.parametrize(
    ("kind", "vectors", "neighbours"),
    [
        (PretrainingModel, 2, ["cosine"]),
        (FinetuningModel, 1, ["ease"]),
        (ensemble, 3 * 2, ["cosine", "ease"]),
    ],
)
def test_scores_add_up_as_written(kind, vectors, neighbours, jit_compile):
    data = MemoryData()
    blend = blended(data, kind, neighbours)
    assert blend.items_at_once == blend.neighbours[0].items_at_once // vectors
    before = tries(neighbours, True) - len(STRENGTHS)
    blend.fit_epoch(data, before + STRENGTHS.index(2.0), [0.1] * (before + 2))
    score = tf.function(
        lambda history: blend.score_range(blend.encode_history(history), 1, TARGETS),
        jit_compile=jit_compile,
    )
    share = np.mean([shares(each) for each in blend.neighbours], 0)
    own = blend.model.score_range(blend.model.encode_history(HISTORIES), 1, TARGETS)
    np.testing.assert_allclose(score(HISTORIES), own + 2 * np.log(share + 1e-4), rtol=1e-4)


def test_candidates_score_as_the_catalogue_does():
    data = MemoryData()
    kinds = ["cosine", "ease"]
    blend = blended(data, neighbours=kinds)
    last = tries(kinds, True) - 1
    blend.fit_epoch(data, last, [0.1] * last)
    user = blend.encode_history(HISTORIES)
    ids = np.array([[1, 9, 4], [2, 2, 8], [3, 5, 7]])
    whole = blend.score_range(user, 1, TARGETS).numpy()
    found = blend.score_candidates(user, tf.constant(ids, tf.int32))
    np.testing.assert_allclose(found, np.take_along_axis(whole, ids - 1, 1), rtol=1e-5)


def test_epochs_try_each_kind_alone_then_strengths_with_the_best_of_each():
    data = MemoryData()
    blend = blended(data, neighbours=["cosine", "ease"])
    cosine, ease = blend.neighbours
    before = len(cosine.settings) + len(ease.settings)
    # The fifth settings of one and the last of the other score best; what strengths score has no
    # part in that.
    scores = [0.1] * before + [0.9] * len(STRENGTHS)
    scores[4] = scores[before - 1] = 0.5
    assert len(scores) == tries(["cosine", "ease"], True)
    for epoch in range(len(scores)):
        figures = blend.fit_epoch(data, epoch, scores[:epoch])
        if epoch >= before:
            assert figures["model_weight"] == 1
            assert figures["strength"] == STRENGTHS[epoch - before]
            tried = [(cosine, cosine.settings[4]), (ease, ease.settings[-1])]
        else:
            assert figures["model_weight"] == 0 and figures["strength"] == 1
            tried = [(one, each) for one in blend.neighbours for each in one.settings][
                epoch : epoch + 1
            ]
        expected = {
            f"{name}[{one.kind}]": getattr(chosen, name)
            for one, chosen in tried
            for name in ("decay", "other_weight")
        }
        assert expected.items() <= figures.items()
        assert sum(name.startswith("decay[") for name in figures) == len(tried)
        if epoch < before:
            (one, _) = tried[0]
            alone = one.score_range(one.encode_history(HISTORIES), 1, TARGETS).numpy()
            found = blend.score_range(blend.encode_history(HISTORIES), 1, TARGETS).numpy()
            # Items that are spoken against are alike.
            spoken_for = alone.max(1) > 0
            assert spoken_for.any()
            np.testing.assert_array_equal(found.argmax(1)[spoken_for], alone.argmax(1)[spoken_for])


def test_a_resumed_epoch_needs_none_of_those_before():
    data = MemoryData()
    one, other = (blended(data, neighbours=["cosine", "ease"]) for _ in range(2))
    scores = [0.1, 0.3, *[0.2] * sum(len(each.settings) for each in one.neighbours)]
    last = len(scores)
    for epoch in range(last):
        one.fit_epoch(data, epoch, scores[:epoch])
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
    before = len(blend.neighbours[0].settings)
    blend.fit_epoch(data, before, [0.1] * before)
    own = blend.model.score_range(blend.model.encode_history(HISTORIES), 1, TARGETS)
    found = blend.score_range(blend.encode_history(HISTORIES), 1, TARGETS)
    np.testing.assert_array_equal(found, own)


def test_has_no_vectors_to_search():
    with pytest.raises(RunError, match="neighbour_blend has no single vector of each item"):
        blended(MemoryData()).item_factors()
