"""The family of losses: plain NumPy writings, what rows share, and what is refused."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tests.compilation import compiled_or_plain
from tfcdr.ranking import item_loss
from tfcdr.ranking.catalogue_softmax import ItemRange
from tfcdr.ranking.item_loss import ItemLoss

ROWS, ITEMS, CHANNELS = 6, 30, 4
COUNTS = np.arange(ITEMS, 0, -1)


@dataclasses.dataclass(frozen=True)
class Fields:
    """The fields that a system's configuration has."""

    loss: str
    negatives: int = 3
    shared_negatives: int = 0
    gbce_calibration: float = 0.75


def sigmoid(values):
    return 1 / (1 + np.exp(-values))


def plain(name, positive, negatives, calibration=0.75):
    """The loss of one row, from its positive's and negatives' scores."""
    if name == "bce":
        return -np.log(sigmoid(positive)) - np.log(1 - sigmoid(negatives)).mean()
    if name == "gbce":
        k = len(negatives)
        alpha = k / (ITEMS - 1)
        beta = alpha * (calibration * (1 - 1 / alpha) + 1 / alpha)
        total = np.log(sigmoid(positive) ** beta) + np.log(1 - sigmoid(negatives)).sum()
        return -total / (k + 1)
    if name == "bpr":
        return -np.log(sigmoid(positive - negatives)).mean()
    weights = np.exp(negatives) / np.exp(negatives).sum()
    return -np.log((weights * sigmoid(positive - negatives)).sum())


def tensors(seed=0):
    random = np.random.default_rng(seed)
    users = random.normal(size=(ROWS, CHANNELS)).astype(np.float32)
    vectors = random.normal(size=(ITEMS + 1, CHANNELS)).astype(np.float32)
    bias = random.normal(size=ITEMS + 1).astype(np.float32)
    return users, random.integers(1, ITEMS + 1, ROWS).astype(np.int32), vectors, bias


def losses_of(loss, jit_compile, users, labels, vectors, bias, step=0, chosen_from=None):
    def run():
        return loss.of_users(
            tf.constant(users), labels, (tf.constant(vectors), bias), tf.constant(step), chosen_from
        )

    return compiled_or_plain(run, jit_compile)().numpy()


PAIRWISE = ("bce", "gbce", "bpr", "bpr_softmax")


@pytest.mark.parametrize("name", PAIRWISE)
def test_losses_of_rows_own_negatives_agree_with_numpy(name, jit_compile):
    random = np.random.default_rng(1)
    positive = random.normal(size=ROWS).astype(np.float32)
    negatives = random.normal(size=(ROWS, 3)).astype(np.float32)
    loss = ItemLoss(Fields(name), COUNTS)
    assert loss.reads_negatives
    came = compiled_or_plain(loss.of_scores, jit_compile)(positive, negatives)
    expected = [plain(name, *row) for row in zip(positive, negatives, strict=True)]
    np.testing.assert_allclose(came, expected, rtol=1e-5)


@pytest.mark.parametrize("name", PAIRWISE)
@pytest.mark.parametrize("ranged", [False, True])
def test_losses_of_shared_negatives_agree_with_numpy(name, ranged, jit_compile):
    users, labels, vectors, bias = tensors()
    loss = ItemLoss(Fields(name, shared_negatives=8), COUNTS, seed=5)
    assert not loss.reads_negatives
    sample = loss._sampler.draw(tf.constant([5, 3]))
    drawn = sample.ids.numpy()[sample.mask.numpy()]
    low, high = np.maximum(labels - 12, 1), np.minimum(labels + 12, ITEMS)
    chosen = ItemRange(tf.constant(low), tf.constant(high)) if ranged else None
    came = losses_of(loss, jit_compile, users, labels, vectors, bias, 3, chosen)
    for row in range(ROWS):
        negatives = [
            item
            for item in drawn
            if item != labels[row] and (not ranged or low[row] <= item <= high[row])
        ]
        score = vectors @ users[row] + bias
        assert came[row] == pytest.approx(
            plain(name, score[labels[row]], score[negatives]), rel=1e-4
        )


@pytest.mark.parametrize("sampler", item_loss.SHARED_SAMPLERS)
def test_sampled_softmax_corrects_by_the_expected_count(sampler, jit_compile):
    users, labels, vectors, bias = tensors()
    loss = ItemLoss(Fields("sampled_softmax", shared_negatives=8), COUNTS, sampler, seed=5)
    sample = loss._sampler.draw(tf.constant([5, 3]))
    drawn = sample.ids.numpy()[sample.mask.numpy()]
    shares = np.ones(ITEMS) / ITEMS if sampler == "uniform" else COUNTS / COUNTS.sum()
    log_q = np.log(1 - (1 - shares) ** loss._sampler.num_draws)
    came = losses_of(loss, jit_compile, users, labels, vectors, bias, 3)
    for row, label in enumerate(labels):
        score = vectors @ users[row] + bias
        score[1:] -= log_q
        others = [item for item in drawn if item != label]
        total = np.exp(score[label]) + np.exp(score[others]).sum()
        assert came[row] == pytest.approx(np.log(total) - score[label], rel=1e-4)


def test_softmax_compares_with_all_items_at_every_position(jit_compile):
    users, labels, vectors, _ = tensors()
    came = losses_of(
        ItemLoss(Fields("softmax"), COUNTS),
        jit_compile,
        users.reshape(2, 3, CHANNELS),
        labels.reshape(2, 3),
        vectors,
        None,
    )
    scores = users @ vectors[1:].T
    expected = np.log(np.exp(scores).sum(1)) - scores[np.arange(ROWS), labels - 1]
    np.testing.assert_allclose(came.ravel(), expected, rtol=1e-5)


def test_each_step_draws_anew_and_the_same_again():
    loss = ItemLoss(Fields("bpr", shared_negatives=8), COUNTS)
    arguments = tensors()
    first, second, again = (losses_of(loss, False, *arguments, step) for step in (0, 1, 0))
    assert not np.array_equal(first, second)
    assert np.array_equal(first, again)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"loss": "hinge"}, "loss must be one of bce, gbce, bpr.*'hinge'"),
        ({"loss": "softmax", "shared_negatives": 4}, "shared_negatives must be 0 for loss=softmax"),
        ({"loss": "bce", "shared_negatives": -1}, "shared_negatives must be at least 0"),
        ({"loss": "gbce", "gbce_calibration": 1.5}, r"gbce_calibration must be in \[0, 1\]"),
    ],
)
def test_what_a_loss_cannot_do_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        item_loss.check_fields(Fields(**fields))


@pytest.mark.parametrize(
    ("fields", "sampler", "message"),
    [
        ({"loss": "gbce"}, "popularity", "loss=gbce .* cannot take negative_sampler=popularity"),
        ({"loss": "sampled_softmax"}, "lambdafm", "loss=sampled_softmax .* uniform, popularity"),
        ({"loss": "bpr", "shared_negatives": 5}, "lambdafm", "loss=bpr .* uniform, popularity"),
    ],
)
def test_a_sampler_that_does_not_fit_is_refused_by_name(fields, sampler, message):
    with pytest.raises(ValueError, match=message):
        item_loss.check_fields(Fields(**fields), sampler)


def test_more_shared_negatives_than_items_are_refused():
    with pytest.raises(ValueError, match="fewer than all items"):
        ItemLoss(Fields("bpr", shared_negatives=ITEMS), COUNTS)
