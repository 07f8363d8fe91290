"""Losses: numbers worked out by hand, and what must not happen at extreme logits."""

import numpy as np
import pytest
import tensorflow as tf

from tests.compilation import compiled_or_plain
from tfcdr import losses
from tfcdr.layers import candidate_sampling as negatives

LN2, LN3 = np.log(2.0), np.log(3.0)


def run(function, jit_compile, *arguments):
    """Calls a function compiled or not, on float32 constants."""
    constants = [tf.constant(argument, tf.float32) for argument in arguments]
    return compiled_or_plain(function, jit_compile)(*constants)


def value_and_gradients(function, jit_compile, *arguments):
    def differentiate(*constants):
        with tf.GradientTape() as tape:
            tape.watch(constants)
            value = function(*constants)
        return value, tape.gradient(value, constants)

    return run(differentiate, jit_compile, *arguments)


def test_weighted_mean_counts_only_weighted_entries(jit_compile):
    # (1 * 1 + 2 * 0 + 6 * 3) / (1 + 0 + 3) = 19 / 4
    mean = run(losses.weighted_mean, jit_compile, [1.0, 2.0, 6.0], [1.0, 0.0, 3.0])
    assert float(mean) == pytest.approx(4.75)


def test_weighted_mean_of_nothing_is_zero_with_zero_gradient(jit_compile):
    mean, (gradient, _) = value_and_gradients(
        losses.weighted_mean, jit_compile, [1.0, 2.0], [0.0, 0.0]
    )
    assert float(mean) == 0.0
    assert gradient.numpy().tolist() == [0.0, 0.0]


def test_pairwise_cross_entropy_by_hand(jit_compile):
    # sigmoid(ln 3) = 3/4: the positive costs ln(4/3); negatives at 0 and ln 3 cost ln 2 and ln 4,
    # on average 1.5 ln 2. The second row: ln 2 + ln 2.
    loss = run(losses.pairwise_cross_entropy, jit_compile, [LN3, 0.0], [[0.0, LN3], [0.0, 0.0]])
    np.testing.assert_allclose(loss, [np.log(4 / 3) + 1.5 * LN2, 2 * LN2], rtol=1e-6)


def test_bpr_by_hand(jit_compile):
    # p - n = ln 3 and 0: -ln(3/4) and -ln(1/2), averaged over the two negatives.
    loss = run(losses.bayesian_personalized_ranking, jit_compile, [LN3], [[0.0, LN3]])
    np.testing.assert_allclose(loss, [(np.log(4 / 3) + LN2) / 2], rtol=1e-6)


@pytest.mark.parametrize(
    ("loss", "expected"),
    [(losses.pairwise_cross_entropy, 200.0), (losses.bayesian_personalized_ranking, 200.0)],
)
def test_losses_stay_linear_where_the_release_saturates(loss, expected, jit_compile):
    # A positive at -100 below a negative at 100 costs 200 with slope one in each, where the
    # released float32 form has an infinite loss or no gradient.
    value, (positive, negative) = value_and_gradients(loss, jit_compile, [-100.0], [[100.0]])
    assert value.numpy() == pytest.approx([expected])
    assert positive.numpy() == pytest.approx([-1.0])
    assert negative.numpy() == pytest.approx(np.array([[1.0]]))


# One channel, hidden state 1: an item's logit is its vector plus its bias, minus log Q.
VECTORS = np.log([[1.0], [2.0], [3.0], [4.0]])
BIAS = np.log([1.0, 1.0, 1.0, 5.0])


def sampled_loss(jit_compile, label, sampled, mask, label_count, sampled_count):
    def loss(hidden, vectors, bias, label_count, sampled_count):
        return losses.sampled_softmax(
            hidden,
            tf.constant([label]),
            vectors,
            bias,
            tf.constant(sampled),
            tf.constant(mask),
            tf.math.log(label_count),
            tf.math.log(sampled_count),
        )

    return float(run(loss, jit_compile, [[1.0]], VECTORS, BIAS, label_count, sampled_count)[0])


def test_sampled_softmax_by_hand(jit_compile):
    # exp(logit) / Q: label 1 has 2 / 0.5 = 4, id 2 has 3 / 0.25 = 12, id 3 has 4 * 5 / 0.2 = 100.
    loss = sampled_loss(jit_compile, 1, [2, 3], [True, True], [0.5], [0.25, 0.2])
    assert loss == pytest.approx(np.log((4 + 12 + 100) / 4), rel=1e-6)


def test_masked_repeat_has_no_probability(jit_compile):
    # As above without id 3.
    loss = sampled_loss(jit_compile, 1, [2, 3], [True, False], [0.5], [0.25, 0.2])
    assert loss == pytest.approx(np.log((4 + 12) / 4), rel=1e-6)


@pytest.mark.parametrize("count", [0.9, 1e-20])
def test_accidental_hit_has_no_probability_however_rare_it_was(count, jit_compile):
    # The label is among the sample. If it competed with itself, its share 2 / count would change
    # the loss: at 1e-20 it would be nearly everything.
    loss = sampled_loss(jit_compile, 1, [1, 2], [True, True], [0.5], [count, 0.25])
    assert loss == pytest.approx(np.log((4 + 12) / 4), rel=1e-6)


def test_sampled_softmax_agrees_with_tensorflow_on_the_same_sample(jit_compile):
    random = np.random.default_rng(0)
    rows, channels, batch = 30, 4, 16
    hidden, vectors = random.normal(size=(batch, channels)), random.normal(size=(rows, channels))
    bias, labels = random.normal(size=rows), random.integers(1, 12, batch)
    sampled = np.arange(1, 12)  # distinct, so that most labels are accidental hits
    count = random.uniform(0.05, 0.9, rows)

    def loss(hidden, vectors, bias):
        return losses.sampled_softmax(
            hidden,
            tf.constant(labels),
            vectors,
            bias,
            tf.constant(sampled),
            tf.ones(len(sampled), tf.bool),
            tf.constant(np.log(count[labels]), tf.float32),
            tf.constant(np.log(count[sampled]), tf.float32),
        )

    expected = tf.nn.sampled_softmax_loss(
        tf.constant(vectors, tf.float32),
        tf.constant(bias, tf.float32),
        labels[:, np.newaxis],
        tf.constant(hidden, tf.float32),
        num_sampled=len(sampled),
        num_classes=rows,
        sampled_values=(
            sampled,
            tf.constant(count[labels][:, np.newaxis], tf.float32),
            tf.constant(count[sampled], tf.float32),
        ),
        remove_accidental_hits=True,
    )
    came = run(loss, jit_compile, hidden, vectors, bias)
    np.testing.assert_allclose(came, expected, rtol=1e-5, atol=1e-6)


ITEMS, CHANNELS = 60, 6


def softmax_problem():
    """Returns a hidden state [1, C], item vectors [ITEMS + 1, C] and p of ids 1..ITEMS."""
    random = np.random.default_rng(1)
    vectors = tf.constant(random.normal(size=(ITEMS + 1, CHANNELS)) / 2, tf.float32)
    hidden = tf.constant(random.normal(size=(1, CHANNELS)), tf.float32)
    probability = tf.nn.softmax(tf.matmul(hidden, vectors[1:], transpose_b=True)[0])
    return hidden, vectors, probability


def mean_over_samples(sampler, weights, corrected=1.0, samples=300):
    """Averages loss and gradient for the hidden state, labels 1..ITEMS weighted as given."""
    hidden, vectors, _ = softmax_problem()
    labels = tf.range(1, ITEMS + 1)

    @tf.function
    def one(seed):
        sample = sampler.draw(tf.stack([3, seed]))
        correction = [sampler.log_expected_count(ids) * corrected for ids in (labels, sample.ids)]
        with tf.GradientTape() as tape:
            tape.watch(hidden)
            loss = losses.sampled_softmax(
                tf.repeat(hidden, ITEMS, 0),
                labels,
                vectors,
                tf.zeros(ITEMS + 1),
                sample.ids,
                sample.mask,
                *correction,
            )
            loss = tf.reduce_sum(loss * weights)
        return loss, tape.gradient(loss, hidden)[0]

    runs = [one(tf.constant(seed)) for seed in range(samples)]
    return tuple(np.mean([run[part] for run in runs], axis=0) for part in (0, 1))


def test_a_sample_of_nearly_all_items_gives_nearly_the_full_loss_and_gradient():
    _, vectors, probability = softmax_problem()
    weights = np.zeros(ITEMS, np.float32)
    weights[[4, 20, 41]] = 1 / 3
    sampler = negatives.PopularitySampler(np.ones(ITEMS), 57)
    loss, gradient = mean_over_samples(sampler, weights)
    assert loss == pytest.approx(-(weights * np.log(probability)).sum(), rel=0.02)
    # d/dh of -log p(y) is the mean vector under p minus the label's.
    expected = (probability.numpy() - weights) @ vectors[1:].numpy()
    assert gradient @ expected / np.linalg.norm(gradient) / np.linalg.norm(expected) > 0.99


def test_the_correction_keeps_the_full_softmax_optimum():
    # If labels follow the model's softmax, the full softmax is at its optimum and its gradient is
    # zero. A small sample pulls towards the sampler's favourites unless it is corrected.
    sampler = negatives.LogUniformSampler(np.arange(ITEMS, 0, -1), 20)
    _, _, probability = softmax_problem()
    _, gradient = mean_over_samples(sampler, probability, samples=1500)
    _, uncorrected = mean_over_samples(sampler, probability, corrected=0.0, samples=1500)
    assert np.linalg.norm(gradient) < 0.15 * np.linalg.norm(uncorrected)


def test_bpr_softmax_of_one_negative_is_bpr(jit_compile):
    scores = [1.0, -2.0], [[3.0], [0.5]]
    one = run(losses.bpr_softmax, jit_compile, *scores)
    plain = run(losses.bayesian_personalized_ranking, jit_compile, *scores)
    np.testing.assert_allclose(one, plain, rtol=1e-6)


def test_bpr_softmax_by_hand(jit_compile):
    # p = (1/4, 3/4) and sigmoid(y - y_j) = (3/4, 1/2): the mean is 9/16.
    loss = run(losses.bpr_softmax, jit_compile, [LN3], [[0.0, LN3]])
    np.testing.assert_allclose(loss, [np.log(16 / 9)], rtol=1e-6)


def test_bpr_softmax_survives_gaps_that_underflow(jit_compile):
    # p = (1, e^-300) and sigmoid = (e^-300, 1/2): the sum is 1.5 e^-300, of which the terms give
    # 2/3 and 1/3; the slope in the positive is -(2/3 * 1 + 1/3 * 1/2).
    loss, (of_positive, of_negative) = value_and_gradients(
        losses.bpr_softmax, jit_compile, [-150.0], [[150.0, -150.0]]
    )
    assert float(loss[0]) == pytest.approx(300 - np.log(1.5), rel=1e-6)
    assert float(of_positive[0]) == pytest.approx(-5 / 6, rel=1e-4)
    assert np.isfinite(of_negative).all()
