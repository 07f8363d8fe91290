"""The exact area under the ROC curve, and each row's part in its error."""

import numpy as np
import pytest

from tfcdr.label_prediction import metrics


def test_exact_auc_by_hand():
    # Pairs (positive, negative): (.35, .1) won, (.35, .4) lost, (.8, .1) and (.8, .4) won: 3 / 4.
    assert metrics.exact_auc(np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8])) == 0.75


def test_exact_auc_counts_ties_half_as_pairs_do():
    random = np.random.default_rng(0)
    labels, scores = random.integers(0, 2, 200), random.integers(0, 6, 200) / 5
    differences = scores[labels == 1][:, np.newaxis] - scores[labels == 0]
    by_pairs = (differences > 0).mean() + 0.5 * (differences == 0).mean()
    assert metrics.exact_auc(labels, scores) == pytest.approx(by_pairs, rel=1e-12)


def test_exact_auc_of_one_class_is_not_a_number():
    assert np.isnan(metrics.exact_auc(np.ones(3), np.arange(3.0)))


def test_influence_with_ties_by_hand():
    influence = metrics.auc_influence(np.array([1, 1, 0, 0]), np.array([3.0, 1.0, 1.0, 0.0]))
    # Positives: 1 and 3/4 of the negatives lie below; negatives: 3/4 and 1 of the positives above.
    np.testing.assert_allclose(influence, [0.0625, -0.0625, -0.0625, 0.0625])
