"""Ranks and metrics by hand: ties, scores that are not numbers, cut-offs."""

import numpy as np
import pytest
import tensorflow as tf

from tfcdr.ranking import metrics

NAN = float("nan")


@pytest.fixture(params=["eager", "plain", "xla"])
def ranks(request):
    """Ranks in the three ways in which TensorFlow may run a function."""
    function = metrics.pessimistic_ranks
    if request.param != "eager":
        function = tf.function(function, jit_compile=request.param == "xla")

    def call(positive, others):
        arguments = [tf.constant(positive, tf.float32), tf.constant(others, tf.float32)]
        return function(*arguments).numpy().tolist()

    return call


def test_ranks_count_what_is_not_below(ranks):
    # Row 0: one above. Row 1: best. Row 2: all above.
    assert ranks([0.5, 0.9, -1.0], [[0.9, 0.1], [0.5, 0.1], [0.0, 3.0]]) == [2, 1, 3]


def test_ties_count_against_the_positive(ranks):
    assert ranks([0.5, 0.5], [[0.5, 0.5, 0.5], [0.5, 0.4, 0.6]]) == [4, 3]


def test_a_score_that_is_no_number_loses(ranks):
    assert ranks([NAN, 1.0], [[-5.0, -9.0], [NAN, 0.0]]) == [3, 2]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # Ranks 1, 2, 3, 4, 10 at k = 3.
        ("HR", [1, 1, 1, 0, 0]),
        ("NDCG", [1, 1 / np.log2(3), 0.5, 0, 0]),  # 1 / log2(rank + 1), log2(4) = 2
        ("MRR", [1, 1 / 2, 1 / 3, 0, 0]),
    ],
)
def test_per_rank_metrics_by_hand(name, expected):
    values = metrics.PER_RANK[name](np.array([1, 2, 3, 4, 10]), 3)
    np.testing.assert_allclose(values, expected, rtol=1e-12)
