"""The seven networks: shapes, batch norm's rows, dropout, mixtures of probabilities."""

import numpy as np
import pytest
import tensorflow as tf

from tests.tfcdr.systems.daa.small import BACKBONES, FIELD_SIZES, NUMERICAL, ROWS, columns, config
from tfcdr.errors import RunError
from tfcdr.layers.mlp_bank import BatchNorm
from tfcdr.systems.daa.backbones import make_backbone


def network(**fields):
    return make_backbone(config(**fields), FIELD_SIZES, NUMERICAL)


def predict(network, rows=ROWS, **kwargs):
    batch = columns(rows=rows)
    return network(batch["categorical"], batch["numerical"], **kwargs)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_one_row_is_scored_like_many_and_not_trained_on(backbone):
    model = network(backbone=backbone)
    many = predict(model)
    assert many.logits.shape == (ROWS, 2)
    assert many.features.shape == (ROWS, model.num_features)
    batch = columns()
    one = model(batch["categorical"][:1], batch["numerical"][:1])
    np.testing.assert_allclose(one.logits, many.logits[:1], rtol=1e-5, atol=1e-6)
    with pytest.raises(RunError, match=r"batch of one row.*batch size at least 2"):
        model(batch["categorical"][:1], batch["numerical"][:1], training=True)


def test_batch_norm_by_hand():
    norm = BatchNorm()
    values = tf.constant([[[1.0]], [[2.0]], [[6.0]]])
    trained = norm(values, training=True)
    # Mean 3; squares 4, 1 and 9: biased variance 14/3, unbiased 7.
    np.testing.assert_allclose(
        trained[:, 0, 0], np.array([-2.0, -1.0, 3.0]) / np.sqrt(14 / 3 + 1e-5), rtol=1e-5
    )
    np.testing.assert_allclose(norm.running_mean, [0.1 * 3], rtol=1e-6)
    np.testing.assert_allclose(norm.running_variance, [0.9 + 0.1 * 7], rtol=1e-6)
    evaluated = norm(values)
    np.testing.assert_allclose(
        evaluated[:, 0, 0], np.array([0.7, 1.7, 5.7]) / np.sqrt(1.6 + 1e-5), rtol=1e-5
    )


def test_dropout_repeats_by_seed_and_rests_in_evaluation():
    model = network(backbone="mmoe", dropout=0.5)
    seeds = [tf.constant(seed) for seed in ([0, 1], [0, 1], [0, 2])]
    first, again, other = (predict(model, training=True, seed=seed).features for seed in seeds)
    np.testing.assert_array_equal(first, again)
    assert np.any(first.numpy() != other.numpy())
    np.testing.assert_array_equal(predict(model).features, predict(model).features)


def test_every_dropped_unit_is_drawn_for_itself():
    model = network(backbone="mmoe", dropout=0.5, bottom_widths=(64,), tower_widths=(64,))
    layer = model.expert
    inputs = tf.ones((ROWS, model.expert.linears[0].kernel.shape[0]))
    layer.norms[0].beta.assign(tf.ones(2 * 64))  # nothing is cut off by the relu
    dropped = layer(inputs, training=True, seed=tf.constant([0, 1])).numpy() == 0
    assert 0.45 < dropped.mean() < 0.55
    assert np.any(dropped[:, 0] != dropped[:, 1])  # experts differ
    assert np.any(dropped[0] != dropped[1])  # rows differ


def test_metaheac_mixes_probabilities():
    """Gates of equal weight: the mean of the towers' probabilities, or that divided by C."""
    models = {
        kind: network(backbone="metaheac", critic_mixture=kind) for kind in ("convex", "mean")
    }
    models["mean"].set_weights(models["convex"].get_weights())
    probability = {}
    for kind, model in models.items():
        model.critic_gate.kernel.assign(tf.zeros_like(model.critic_gate.kernel))
        model.critic_gate.bias.assign(tf.zeros_like(model.critic_gate.bias))
        model.expert_gate.kernel.assign(tf.zeros_like(model.expert_gate.kernel))
        probability[kind] = tf.sigmoid(predict(model).logits).numpy()
    hidden = predict(models["convex"]).features[:, :5]
    by_hand = tf.reduce_mean(tf.sigmoid(models["convex"].critic(hidden)), 1).numpy()
    np.testing.assert_allclose(probability["convex"][:, 0], by_hand, rtol=1e-5)
    np.testing.assert_allclose(probability["mean"], probability["convex"] / 3, rtol=1e-5)
