"""The losses that SyNCRec takes besides the paper's, at every position of both models."""

import numpy as np
import pytest
import tensorflow as tf

from tests.tfcdr.systems.syncrec.small_models import BOUNDS, batch, config_of, make

TRAININGS = ["joint", "single_domain"]


def hidden_for(rows, size=8):
    random = np.random.default_rng(3)
    return random.normal(size=(*rows["next_items"].shape, size)).astype(np.float32)


def domains_for(training, rows):
    if training == "joint":
        return rows["next_domains"]
    return tf.range(1, len(BOUNDS))[:, tf.newaxis]


@pytest.mark.parametrize("training", TRAININGS)
@pytest.mark.parametrize("where", ["own", "all"])
def test_softmax_is_over_the_domain_of_the_next_item_or_all(training, where):
    model = make(training=training, loss="softmax", negative_domains=where)
    rows = batch(by_domain=training == "single_domain")
    hidden = hidden_for(rows)
    came = model.position_losses(tf.constant(hidden), rows, domains_for(training, rows)).numpy()
    table = model.item_factors()[0].numpy()
    scores = hidden @ table.T
    items = rows["next_items"].numpy()
    for place in zip(*np.nonzero(items), strict=True):
        first, last = 0, BOUNDS[-1]
        if where == "own":
            domain = np.searchsorted(BOUNDS, items[place])
            first, last = BOUNDS[domain - 1], BOUNDS[domain]
        total = np.exp(scores[place][first + 1 : last + 1]).sum()
        expected = np.log(total) - scores[place][items[place]]
        assert came[place] == pytest.approx(expected, rel=1e-4, abs=1e-5)
    assert np.isfinite(came).all()
    assert "negative_items" not in model.batch_spec


@pytest.mark.parametrize("training", TRAININGS)
@pytest.mark.parametrize(
    ("loss", "shared"), [("gbce", 0), ("bpr", 0), ("bpr_softmax", 5), ("sampled_softmax", 5)]
)
def test_every_loss_trains(training, loss, shared):
    rows = batch(by_domain=training == "single_domain", negatives=2)
    values = []
    for fields in ({}, {"loss": loss, "shared_negatives": shared}):
        model = make(training=training, mutual_information=False, **fields)
        values.append(float(model.compute_losses(rows).losses["loss"]))
    assert np.isfinite(values).all()
    assert values[0] != pytest.approx(values[1])


def test_an_unknown_loss_is_refused_by_name():
    with pytest.raises(ValueError, match=r"loss must be one of .*'hinge'"):
        config_of(loss="hinge")
