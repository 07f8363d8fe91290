"""Domain AUC and principal components, by hand and on drawn features; which networks they read."""

import warnings

import numpy as np
import pytest
import tensorflow as tf

from tests.tfcdr.systems.daa.memory_impressions import MemoryImpressions
from tests.tfcdr.systems.daa.small import FIELD_SIZES, NUMERICAL, config
from tfcdr.systems.daa import alignment
from tfcdr.systems.daa.adaptation import AlternatingModel
from tfcdr.systems.daa.alignment import (
    DomainFeatures,
    domain_auc,
    features_by_comparison,
    plane_points,
    sample_impressions,
)
from tfcdr.systems.daa.system import Daa
from tfcdr.systems.daa.task_model import TaskModel


def normal(shift, source=600, target=400, width=5, seed=0):
    """Features of which the target's first one lies `shift` standard deviations higher."""
    random = np.random.default_rng(seed)
    features = [random.normal(size=(rows, width)) for rows in (source, target)]
    features[1][:, 0] += shift
    return DomainFeatures(*features)


def test_domains_of_one_distribution_cannot_be_told_apart():
    aucs = [domain_auc(normal(0, seed=seed), seed) for seed in range(10)]
    # 300 and 200 held-out rows: standard deviation 0.026 each, 0.008 of the mean.
    assert abs(np.mean(aucs) - 0.5) < 0.03
    assert max(aucs) < 0.6


def test_more_features_than_rows_are_not_taken_for_a_difference():
    aucs = [domain_auc(normal(0, 40, 40, width=200, seed=seed), seed) for seed in range(10)]
    # A classifier scored on the rows it was fitted on would be right about all of them.
    assert abs(np.mean(aucs) - 0.5) < 0.1


@pytest.mark.parametrize(("shift", "expected"), [(1, 0.76), (2, 0.921)])
def test_shifted_domains_are_told_apart_as_far_as_normal_distributions_can_be(shift, expected):
    # The best classifier of N(0, 1) and N(shift, 1) has area Phi(shift / sqrt 2).
    aucs = [domain_auc(normal(shift, seed=seed), seed) for seed in range(5)]
    assert abs(np.mean(aucs) - expected) < 0.03


def test_far_domains_have_area_1_in_any_unit_and_beside_a_constant_feature():
    far = normal(20, 30, 50)
    assert domain_auc(far, 0) == 1
    units = np.array([1e-6, 1e4, 1, 1, 0])
    assert domain_auc(DomainFeatures(far.source * units, far.target * units), 0) == 1


def test_the_seed_decides_the_halves():
    features = normal(0.5)
    assert domain_auc(features, 1) == domain_auc(features, 1) != domain_auc(features, 2)


def test_a_domain_of_one_impression_has_no_domain_auc():
    assert np.isnan(domain_auc(normal(1, 1, 10), 0))
    assert domain_auc(normal(100, 2, 2, width=1), 0) == 1


def test_points_lie_in_the_plane_of_largest_variance_of_both_domains():
    random = np.random.default_rng(0)
    # Independent columns of standard deviation 1, 4 and 2; the target is the source moved.
    source = random.normal(size=(3000, 3)) * (1, 4, 2) + 7
    points = plane_points(DomainFeatures(source, source + np.array([0, 0, 20])))
    # The distance of the domains is the third column's: 2 and half of 20 make sqrt(104).
    np.testing.assert_allclose(points.variance_shares, np.array([104, 16]) / 121, atol=0.01)
    # The sign of an axis is that of its column.
    moved = points.target - points.source
    np.testing.assert_allclose(moved, np.tile([20, 0], (3000, 1)), atol=0.2)
    np.testing.assert_allclose(np.concatenate(points[:2]).mean(0), 0, atol=1e-9)


def test_fewer_than_two_components_leave_an_axis_at_0():
    narrow = DomainFeatures(np.arange(4.0).reshape(4, 1), np.arange(2.0).reshape(2, 1))
    points = plane_points(narrow)
    assert points.source.shape == (4, 2) and points.target.shape == (2, 2)
    np.testing.assert_array_equal(points.source[:, 1], 0)
    np.testing.assert_allclose(points.variance_shares, (1, 0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        same = plane_points(DomainFeatures(np.ones((3, 4)), np.ones((2, 4))))
    np.testing.assert_array_equal(same.source, 0)
    np.testing.assert_array_equal(same.variance_shares, 0)


def stage(**fields):
    return Daa().stages(config(**fields))[-1]


def test_a_sample_is_of_each_domain_without_filler_and_follows_its_seed(monkeypatch):
    monkeypatch.setattr(alignment, "_IMPRESSIONS", 50)
    data = MemoryImpressions(source=70, target=30)
    source, target = sample_impressions(stage(adapt_batch_size=16), data, 3)
    assert len(source["numerical"]) == 50
    np.testing.assert_array_equal(target["numerical"], data.columns("target")["numerical"])
    of_source = data.columns("source")["numerical"].tolist()
    assert all(row in of_source for row in source["numerical"].tolist())
    draws = [sample_impressions(stage(), data, seed)[0]["numerical"].tolist() for seed in (3, 3, 4)]
    assert draws[0] == draws[1] != draws[2]


@pytest.mark.parametrize("sizes", [(0, 5), (5, 0)])
def test_without_impressions_of_a_domain_there_is_no_sample(sizes):
    assert sample_impressions(stage(), MemoryImpressions(*sizes), 0) is None


def randomised(network, seed):
    random = np.random.default_rng(seed)
    network.set_weights([random.uniform(0.5, 1, w.shape) for w in network.get_weights()])


@pytest.fixture(scope="module")
def rows():
    data = MemoryImpressions(40, 30)
    return data.columns("source"), data.columns("target")


def features(network, rows):
    return network(tf.constant(rows["categorical"]), tf.constant(rows["numerical"])).features


def test_each_comparison_reads_its_networks_and_moves_no_running_values(rows):
    model = AlternatingModel(config(dropout=0.5), FIELD_SIZES, NUMERICAL)
    randomised(model.network, 1)
    randomised(model.source_network, 2)
    before = [weight.copy() for weight in model.get_weights()]
    found = features_by_comparison(model, *rows)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    networks = {
        "before": (model.source_network, model.source_network),
        "after": (model.network, model.network),
        "between_models": (model.source_network, model.network),
    }
    assert found.keys() == networks.keys()
    for name, (of_source, of_target) in networks.items():
        np.testing.assert_array_equal(found[name].source, features(of_source, rows[0]))
        np.testing.assert_array_equal(found[name].target, features(of_target, rows[1]))
    assert np.abs(found["before"].source - found["after"].source).max() > 0.01


def test_a_model_without_source_model_has_what_it_learned_alone(rows):
    model = TaskModel(config(), FIELD_SIZES, NUMERICAL)
    found = features_by_comparison(model, *rows)
    assert found.keys() == {"after"}
    np.testing.assert_array_equal(found["after"].target, features(model.network, rows[1]))
