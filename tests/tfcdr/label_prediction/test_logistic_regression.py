"""The bar of label prediction: what it learns, and what it refuses."""

import numpy as np
import pytest
import tensorflow as tf

from tfcdr.errors import RunError
from tfcdr.label_prediction.logistic_regression import LogisticRegression
from tfcdr.label_prediction.metrics import exact_auc


def batches(seed, rows=400, constant=False):
    """Labels that follow from user and item, as a sum; the last batch is filled up."""
    rng = np.random.default_rng(seed)
    user, item = rng.integers(1, 6, rows), rng.integers(1, 4, rows)
    log_odds = np.array([0, -3, -1, 0, 1, 3])[user] + np.array([0, -1, 0, 1])[item]
    liked = (rng.random(rows) < 1 / (1 + np.exp(-log_odds))).astype(np.float32)
    if constant:
        liked[:] = 1
    columns = {"user": user.astype(np.int32), "item": item.astype(np.int32), "liked": liked}
    columns["example_weight"] = np.ones(rows, np.float32)
    columns["example_weight"][-7:] = 0
    # What fills a batch up must not count, whatever it says.
    columns["liked"][-7:] = 1 - columns["liked"][-7:]
    return tf.data.Dataset.from_tensor_slices(columns).batch(64)


def test_it_learns_a_sum_over_the_ids_of_a_row():
    bar = LogisticRegression({"user": 6, "item": 4}, "liked")
    bar.fit(lambda: batches(0), lambda: batches(1))
    scored, labels = [], []
    for batch in batches(2):
        present = batch["example_weight"].numpy() > 0
        probabilities = bar.probabilities(batch)
        assert probabilities.shape == (len(present), 1)
        scored.append(probabilities[present, 0])
        labels.append(batch["liked"].numpy()[present])
    assert exact_auc(np.concatenate(labels), np.concatenate(scored)) > 0.8
    asked = {"user": tf.constant([1, 5]), "item": tf.constant([2, 2])}
    unliked, liked = bar.probabilities(asked)[:, 0]
    assert unliked < 0.2 < 0.8 < liked


def test_training_rows_of_one_class_are_refused():
    bar = LogisticRegression({"user": 6, "item": 4}, "liked")

    def alike():
        return batches(0, constant=True).map(
            lambda batch: {**batch, "liked": tf.ones_like(batch["liked"])}
        )

    with pytest.raises(RunError, match="training rows are all alike in liked"):
        bar.fit(alike, lambda: batches(1))
