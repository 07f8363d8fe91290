"""The mean of several models ranks."""

import numpy as np
import pytest
import tensorflow as tf

from tests.tfcdr.memory_data import LENGTH, TARGETS, MemoryData
from tfcdr.errors import RunError
from tfcdr.ranking.ensemble import RankingEnsemble
from tfcdr.systems.timirec.config import TiMiRecConfig
from tfcdr.systems.timirec.model import FinetuningModel, PretrainingModel

HISTORIES = tf.constant([[0, 0, 3, 12, 5], [0, 0, 0, 0, 0], [7, 2, 20, 4, 1]])
CONFIG = TiMiRecConfig(embedding_size=4, attention_size=2, interests=2)


def ensemble_of(kind):
    tf.keras.utils.set_random_seed(0)
    rows = MemoryData().vocabulary("joint").size + 1
    return RankingEnsemble([kind(CONFIG, LENGTH, rows, TARGETS) for _ in range(3)])


@pytest.mark.parametrize("kind", [PretrainingModel, FinetuningModel])
def test_the_mean_ranks(kind, jit_compile):
    ensemble = ensemble_of(kind)
    score = tf.function(
        lambda history: ensemble.score_range(ensemble.encode_history(history), 2, TARGETS - 1),
        jit_compile=jit_compile,
        autograph=False,
    )
    each = np.stack(
        [
            member.score_range(member.encode_history(HISTORIES), 2, TARGETS - 1)
            for member in ensemble.members
        ]
    )
    assert np.abs(each[0] - each[1]).max() > 1e-3
    expected = each.mean(0)
    np.testing.assert_allclose(score(HISTORIES), expected, rtol=1e-5, atol=1e-7)
    ids = np.array([[2, 9, 4], [3, 2, 8], [3, 5, 7]])
    found = ensemble.score_candidates(ensemble.encode_history(HISTORIES), tf.constant(ids))
    np.testing.assert_allclose(
        found, np.take_along_axis(expected, ids - 2, 1), rtol=1e-5, atol=1e-7
    )


def test_held_out_rows_are_read_as_histories_are():
    ensemble = ensemble_of(PretrainingModel)
    rows = {"history": HISTORIES, "target_item": tf.constant([1, 2, 3])}
    query = ensemble.query({**rows, "seen_items": tf.zeros((3, 1), tf.int32)})
    np.testing.assert_array_equal(query.user, ensemble.encode_history(HISTORIES))
    assert query.positive.numpy().tolist() == [1, 2, 3]


def test_has_no_single_vector_of_an_item_to_search():
    with pytest.raises(RunError, match="ensemble has no single vector of each item"):
        ensemble_of(PretrainingModel).item_factors()
