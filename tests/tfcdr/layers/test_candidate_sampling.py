"""Samplers: what they draw, how often, and what they say about it."""

import numpy as np
import pytest
import tensorflow as tf

from tfcdr.layers import candidate_sampling
from tfcdr.layers.candidate_sampling import LogUniformSampler, PopularitySampler

SAMPLERS = {
    "log_uniform": lambda: LogUniformSampler(np.arange(12, 0, -1), 6),
    "popularity": lambda: PopularitySampler(np.array([40, 20, 10, 5, 5, 1, 1, 0]), 4),
}


def draws(sampler, count, jit_compile=False):
    """Draws `count` samples: ids and masks, each [count, num_slots]."""
    draw = tf.function(
        lambda seeds: tf.map_fn(
            lambda seed: sampler.draw(tf.stack([5, seed])),
            seeds,
            fn_output_signature=candidate_sampling.Sample(tf.int32, tf.bool),
        ),
        jit_compile=jit_compile,
    )
    sample = draw(tf.range(count))
    return sample.ids.numpy(), sample.mask.numpy()


def test_log_uniform_probabilities_by_hand():
    # ln(2/1), ln(3/2), ln(4/3) in units of ln 4.
    expected = [0.5, np.log(1.5) / np.log(4), np.log(4 / 3) / np.log(4)]
    np.testing.assert_allclose(
        candidate_sampling.log_uniform_probabilities(3), expected, rtol=1e-12
    )


def test_log_uniform_follows_the_counts_whatever_the_order_of_ids():
    sorted_ids = LogUniformSampler(np.array([9, 5, 5, 2]), 2)
    sampler = LogUniformSampler(np.array([5, 2, 9, 5]), 2)
    order = [2, 0, 3, 1]  # ties by id
    np.testing.assert_array_equal(sampler.probabilities[order], sorted_ids.probabilities)
    quantiles = tf.linspace(tf.constant(0, tf.float64), 0.999, 50)
    drawn, by_rank = sampler._ids_at(quantiles), sorted_ids._ids_at(quantiles)
    np.testing.assert_array_equal(drawn, np.array(order)[by_rank.numpy() - 1] + 1)


def test_popularity_counts_an_unseen_item_once():
    sampler = PopularitySampler(np.array([6, 3, 1, 0]), 2)
    np.testing.assert_allclose(sampler.probabilities, np.array([6, 3, 1, 1]) / 11)


@pytest.mark.parametrize("kind", SAMPLERS)
def test_a_sample_holds_distinct_items(kind, jit_compile):
    sampler = SAMPLERS[kind]()
    ids, mask = draws(sampler, 50, jit_compile)
    for drawn, counted in zip(ids, mask, strict=True):
        kept = drawn[counted]
        assert len(kept) == len(set(kept))
        assert kept.min() >= 1  # never padding
        assert kept.max() <= len(sampler.probabilities)
    assert not mask.all()  # otherwise there was no repeat to leave out


@pytest.mark.parametrize("kind", SAMPLERS)
def test_a_sample_is_the_same_compiled_or_not(kind):
    sampler = SAMPLERS[kind]()
    for plain, compiled in zip(draws(sampler, 50), draws(sampler, 50, True), strict=True):
        np.testing.assert_array_equal(plain, compiled)


def test_slots_stay_near_the_distinct_items_asked_for():
    # 24,662 draws give 7,573 distinct items of 37,868; 6 * sqrt(7573) = 522.2.
    sampler = LogUniformSampler(np.arange(37_868, 0, -1), 7573)
    assert sampler.num_slots == 7573 + 523
    _, mask = draws(sampler, 5)
    assert np.all(np.abs(mask.sum(axis=1) - 7573) < 522)


@pytest.mark.parametrize("kind", SAMPLERS)
def test_expected_count_is_the_chance_to_be_in_a_sample(kind):
    sampler = SAMPLERS[kind]()
    ids, mask = draws(sampler, 3000)
    items = np.arange(1, len(sampler.probabilities) + 1)
    present = (np.where(mask, ids, 0)[:, :, np.newaxis] == items).any(axis=1).mean(axis=0)
    expected = np.exp(sampler.log_expected_count(tf.constant(items)).numpy())
    deviation = np.sqrt(expected * (1 - expected) / len(ids)) + 1e-6
    assert np.all(np.abs(present - expected) < 4 * deviation)


def test_expected_count_by_hand():
    # 1 - (3/4)^3 = 37/64, and a certain item is certain.
    np.testing.assert_allclose(candidate_sampling.expected_count(np.array([0.25]), 3), [37 / 64])


def test_padding_has_a_finite_log_count():
    sampler = SAMPLERS["log_uniform"]()
    assert float(sampler.log_expected_count(tf.constant(0))) == 0.0


@pytest.mark.parametrize(
    ("num_items", "num_distinct", "expected"),
    # Of 4 equally likely items, n draws hold 4 (1 - (3/4)^n) distinct ones: 1.75, 2.31, 2.73, 3.05.
    [(4, 2, 3), (4, 3, 5)],
)
def test_draws_for_distinct_by_hand(num_items, num_distinct, expected):
    uniform = np.full(num_items, 1 / num_items)
    assert candidate_sampling.draws_for_distinct(uniform, num_distinct) == expected


def test_a_sample_holds_as_many_distinct_ids_as_asked_for():
    sampler = LogUniformSampler(np.arange(200, 0, -1), 40)
    _, mask = draws(sampler, 300)
    assert mask.sum(axis=1).mean() == pytest.approx(40, rel=0.03)


def test_the_seed_decides_the_sample(jit_compile):
    sampler = SAMPLERS["log_uniform"]()
    draw = tf.function(sampler.draw, jit_compile=jit_compile)
    first, again, other = (draw(tf.constant(seed)).ids.numpy() for seed in ([1, 2], [1, 2], [1, 3]))
    assert first.tolist() == again.tolist()
    assert first.tolist() != other.tolist()


@pytest.mark.parametrize("num_distinct", [0, 12, 13])
def test_refuses_samples_that_are_none_or_all(num_distinct):
    with pytest.raises(ValueError, match=f"full softmax instead. Received: {num_distinct} of 12"):
        LogUniformSampler(np.arange(12, 0, -1), num_distinct)
