"""Both models: what counts, what replicas share, how items are scored, what a step changes."""

import numpy as np
import pytest
import tensorflow as tf

from tests.compilation import compiled_or_plain
from tests.tfcdr.systems.syncrec.small_models import (
    BOUNDS,
    LENGTH,
    NAMES,
    SIZES,
    batch,
    domains_of,
    losses_and_gradients,
    make,
)
from tfcdr.systems.syncrec.domain_model import DomainCatalogue
from tfcdr.systems.syncrec.draws import StepDraws

WEIGHTINGS = ["rebalanced", "uniform", "cross_only"]
TRAININGS = ["joint", "single_domain"]


def rows_for(training, **fields):
    return batch(by_domain=training == "single_domain", **fields)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_rows_of_weight_zero_do_not_count(weighting, reduction):
    # Whose items are compared with, depends on the rows; that loss has a test of its own.
    fields = {"loss_weighting": weighting, "loss_reduction": reduction}
    rows = batch(weights=[1.0, 1.0, 0.0, 1.0, 0.0])
    kept = {name: tf.gather(values, [0, 1, 3]) for name, values in rows.items()}
    made = [
        losses_and_gradients(make(mutual_information=False, **fields), of) for of in (rows, kept)
    ]
    for name, value in made[1][0].losses.items():
        assert float(made[0][0].losses[name]) == pytest.approx(float(value), rel=1e-5)
    for ours, theirs in zip(made[0][1], made[1][1], strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_replicas_that_share_a_batch_make_the_step_of_one(weighting):
    fields = {"loss_weighting": weighting, "hidden_dropout": 0.3, "attention_dropout": 0.2}
    rows = batch()
    parts = [{key: v[part] for key, v in rows.items()} for part in (slice(2), slice(2, 5))]
    whole, replicas = (make(mutual_information=False, **fields) for _ in range(2))
    report, slopes = losses_and_gradients(whole, rows)
    totals = [replicas.batch_totals(part) for part in parts]
    totals = tf.nest.map_structure(lambda *of: tf.add_n(of), *totals)
    shares = []
    for part in parts:
        before = replicas.get_weights()
        shares.append(losses_and_gradients(replicas, part, totals=totals))
        if weighting == "rebalanced":
            # Each replica moves its own memory, and all move it alike.
            delta = replicas.rebalancing.delta.numpy()
            np.testing.assert_allclose(delta, whole.rebalancing.delta, atol=1e-6)
        replicas.set_weights(before)
    for name, value in {**report.losses, **report.figures}.items():
        added = sum(float({**of.losses, **of.figures}[name]) for of, _ in shares)
        assert added == pytest.approx(float(value), rel=1e-4, abs=1e-5), name
    for expected, *parts_of_it in zip(slopes, *(of for _, of in shares), strict=True):
        np.testing.assert_allclose(sum(parts_of_it), expected, atol=1e-5)


@pytest.mark.parametrize("training", TRAININGS)
def test_xla_and_plain_agree(training):
    fields = {"training": training, "hidden_dropout": 0.2, "attention_dropout": 0.2}
    made = [
        losses_and_gradients(make(**fields), rows_for(training, negatives=2), jit_compile)
        for jit_compile in (False, True)
    ]
    for name, value in made[0][0].losses.items():
        assert float(made[1][0].losses[name]) == pytest.approx(float(value), rel=1e-4)
    for plain, compiled in zip(made[0][1], made[1][1], strict=True):
        np.testing.assert_allclose(compiled, plain, atol=2e-4)


@pytest.mark.parametrize("training", TRAININGS)
def test_a_batch_without_a_target_changes_nothing(training):
    model = make(training=training, mutual_information=False, loss_weighting="uniform")
    before = model.get_weights()
    rows = rows_for(training, lengths=(0, 0))
    assert float(compiled_or_plain(model.train_step, False)(rows).losses["loss"]) == 0
    assert all(map(np.array_equal, before, model.get_weights()))


def test_padding_does_not_train():
    model = make()
    _, slopes = losses_and_gradients(model, batch())
    for table in (model.network.embedding.item_table, model.network.embedding.domain_table):
        (place,) = (i for i, v in enumerate(model.loss_variables) if v is table)
        assert not slopes[place][0].any()
        assert slopes[place][1:].any()


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_every_part_that_is_used_is_moved(weighting):
    for information in (True, False):
        model = make(loss_weighting=weighting, mutual_information=information)
        _, slopes = losses_and_gradients(model, batch())
        assert len(slopes) == len(model.loss_variables)
        gates = {v.ref() for v in model.network.cross_gates.trainable_variables}
        assert gates <= {v.ref() for v in model.loss_variables}


def test_figures_name_domains_and_experts():
    report, _ = losses_and_gradients(make(), batch())
    gains, weights = (
        [float(report.figures[f"{figure}[{name}]"]) for name in NAMES]
        for figure in ("transfer_gain", "rebalancing_weight")
    )
    assert sum(weights) == pytest.approx(1)
    # From equal memories, who gains more weighs more.
    assert np.argsort(gains).tolist() == np.argsort(weights).tolist()
    usage = [float(report.figures[f"gate_usage[{number}]"]) for number in range(1, 5)]
    assert sum(usage) == pytest.approx(1)
    assert set(report.losses) == {
        "loss",
        "single_loss",
        "cross_loss",
        "mutual_information_loss",
    }


def test_a_resumed_model_draws_what_an_uninterrupted_one_would():
    fields = {"hidden_dropout": 0.3, "attention_dropout": 0.3}
    rows = batch()
    losses = []
    for steps in (0, 0, 1):
        model = make(**fields)
        model.optimizer.iterations.assign(steps)
        losses.append(float(model.compute_losses(rows).losses["loss"]))
    assert losses[0] == losses[1] != losses[2]


def test_draws_follow_the_user_and_the_step():
    users = tf.constant([4, 9, 2], tf.int32)
    like = tf.zeros((5, 3, 400))

    def noise(users, step):
        return StepDraws(1, tf.constant(step, tf.int64), users, False).gate_noise("single", like)

    first = noise(users, 3).numpy()
    order = [2, 0, 1]
    np.testing.assert_array_equal(noise(tf.gather(users, order), 3), first[:, order])
    assert np.abs(noise(users, 4) - first).max() > 0.1
    # 6,000 numbers: deviations 0.013 and 0.009.
    assert first.mean() == pytest.approx(0, abs=0.06)
    assert first.std() == pytest.approx(1, abs=0.05)
    permuted = StepDraws(1, tf.constant(3, tf.int64), users, True)
    assert sorted(permuted.other_rows(users).numpy()) == [2, 4, 9]
    shifted = StepDraws(1, tf.constant(3, tf.int64), users, False)
    np.testing.assert_array_equal(shifted.other_rows(users), [2, 4, 9])


def history(*rows):
    items = np.zeros((len(rows), LENGTH), np.int32)
    for row, own in zip(items, rows, strict=True):
        row[LENGTH - len(own) :] = own
    return tf.constant(items), tf.constant(domains_of(items))


@pytest.mark.parametrize("training", TRAININGS)
def test_users_without_items_are_zero_and_others_are_not(training):
    model = make(training=training)
    items, domains = history([3, 7, 12], [], [12, 7, 2])
    user = model.encode(items, domains, tf.constant([1, 1, 1])).numpy()
    assert not user[1].any()
    assert np.isfinite(user).all()
    assert np.abs(user[0] - user[2]).max() > 1e-3


def test_one_vector_of_a_user_serves_every_domain():
    model = make()
    items, domains = history([3, 7, 12])
    vectors = [model.encode_for(items, domain) for domain in (1, 2, 3)]
    np.testing.assert_array_equal(vectors[0], vectors[2])
    np.testing.assert_array_equal(vectors[0], model.encode(items, domains, 1))


def test_an_encoder_of_one_domain_reads_that_domain_alone():
    model = make(training="single_domain")
    mixed = history([1, 6, 10, 2, 7, 3])[0]
    alone = history([1, 2, 3])[0]
    np.testing.assert_allclose(model.encode_for(mixed, 1), model.encode_for(alone, 1), atol=1e-6)
    assert np.abs(model.encode_for(mixed, 1) - model.encode_for(mixed, 2)).max() > 1e-3


def test_no_weight_of_an_encoder_is_moved_by_another_domain():
    """The baseline's parameters are each domain's own, or it would be no "no transfer"."""
    model = make(training="single_domain")
    rows = batch(by_domain=True)
    only_films = np.zeros((1, 3, 1), np.int32)
    only_films[0, 1] = 1
    rows["next_items"] = rows["next_items"] * only_films
    _, slopes = losses_and_gradients(model, rows)
    for variable, slope in zip(model.loss_variables, slopes, strict=True):
        if variable is model.item_table:
            own = slice(1 + BOUNDS[1], 1 + BOUNDS[2])
            negatives = np.unique(rows["negative_items"])
            moved = set(np.flatnonzero(np.abs(slope).sum(1)))
            assert moved <= {*range(own.start, own.stop), *negatives.tolist()}
            continue
        assert variable.shape[0] == len(NAMES)
        assert not slope[[0, 2]].any(), variable.name


@pytest.mark.parametrize("training", TRAININGS)
def test_a_catalogue_of_one_domain_scores_its_items(training):
    model = make(training=training)
    items = history([3, 7, 12], [14, 1])[0]
    for domain, (first, size) in enumerate(zip(BOUNDS, SIZES, strict=False), start=1):
        catalogue = DomainCatalogue(model, domain)
        assert catalogue.num_items == size
        user = catalogue.encode_history(items)
        expected = model.score_catalogue(model.encode_for(items, domain)).numpy()
        expected = expected[:, first + 1 : first + 1 + size]
        np.testing.assert_allclose(catalogue.score_range(user, 1, size), expected, atol=1e-5)
        ids = tf.constant([[1, size]] * 2)
        np.testing.assert_allclose(
            catalogue.score_candidates(user, ids), expected[:, [0, -1]], atol=1e-5
        )


def test_domains_follow_from_ids():
    model = make()
    ids = tf.range(int(BOUNDS[-1]) + 1)
    np.testing.assert_array_equal(model.domains_of(ids), domains_of(np.arange(BOUNDS[-1] + 1)))


@pytest.mark.parametrize("training", TRAININGS)
def test_training_learns(training):
    # That XLA agrees, another test shows.
    model = make(training=training, learning_rate=0.02)
    random = np.random.default_rng(0)
    rows = rows_for(training, lengths=(6,) * 16)
    if training == "joint":
        # The next item is the one behind, in a ring over all domains.
        start = random.integers(BOUNDS[-1], size=(16, 1))
        items = (start + np.arange(LENGTH + 1)) % BOUNDS[-1] + 1
        rows |= {"items": items[:, :-1], "next_items": items[:, 1:]}
        rows |= {"domains": domains_of(items[:, :-1]), "next_domains": domains_of(items[:, 1:])}
        rows = {name: tf.convert_to_tensor(values) for name, values in rows.items()}
        rows = {k: tf.cast(v, tf.int32) if v.dtype.is_integer else v for k, v in rows.items()}
    step = tf.function(model.train_step)
    losses = [float(step(rows).losses["loss"]) for _ in range(30)]
    assert losses[-1] < 0.7 * losses[0]
