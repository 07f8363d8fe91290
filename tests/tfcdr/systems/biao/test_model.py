"""What moves in which step, what a weight depends on, and what does not count."""

import numpy as np
import pytest
import tensorflow as tf

from tests.compilation import compiled_or_plain
from tests.tfcdr.systems.biao.small import CATEGORIES, batch_of, model_of, stacked
from tfcdr.layers.hypergradient import hypergradient
from tfcdr.systems.biao.model import (
    DESCENT,
    DEVELOPING,
    HEAD_OPTIMIZER,
    IMPORTANCE_OPTIMIZER,
    OUTER_STEP,
    TRAINING,
)
from tfcdr.systems.biao.tables import of_source, touched_rows

FEEDS = {
    DESCENT: stacked(batch_of(seed=1), batch_of(seed=2)),
    DEVELOPING: stacked(batch_of(seed=3)),
    TRAINING: stacked(batch_of(seed=4)),
}


def values(variables):
    return [variable.numpy() for variable in variables]


def moved(before, variables):
    return [
        not np.array_equal(old, variable) for old, variable in zip(before, variables, strict=True)
    ]


def weights_of(model, batch):
    return model.behaviour_weights(model.tables, batch, batch).numpy()


def test_an_inner_step_moves_the_network_alone():
    model, batch = model_of(), batch_of()
    others = [*model.replacement_head.trainable_variables, *model.importance.trainable_variables]
    start, start_of_others = values(model.loss_variables), values(others)
    compiled_or_plain(model.train_step, False)(batch)
    # The last layer's way to the source is on the way to no target.
    assert sum(moved(start, model.loss_variables)) >= len(start) - 1
    assert not any(moved(start_of_others, others))


@pytest.mark.parametrize("backbone", ["conet", "minet"])
def test_an_outer_step_moves_the_second_head_and_the_perceptron_alone(backbone):
    model = model_of(backbone=backbone)
    others = [*model.replacement_head.trainable_variables, *model.importance.trainable_variables]
    start, start_of_others = values(model.loss_variables), values(others)
    report = compiled_or_plain(model.periodic_step, False)(OUTER_STEP, FEEDS)
    assert not any(moved(start, model.loss_variables))
    assert all(moved(start_of_others, others))
    assert model.optimizers[HEAD_OPTIMIZER].iterations == 2
    assert model.optimizers[IMPORTANCE_OPTIMIZER].iterations == 1
    assert report.figures["hypergradient_norm"] > 0


@pytest.mark.parametrize("backbone", ["conet", "minet"])
@pytest.mark.parametrize("form", ["perceptron", "released"])
def test_touched_rows_give_the_hypergradient_of_whole_tables(backbone, form):
    model = model_of(backbone=backbone, importance_gradient=form, neumann_step=0.3)
    training, developing = batch_of(seed=4), batch_of(rows=7, seed=3)
    few = model.hypergradient(training, developing)

    def outer():
        logits = model.logits(model.tables, developing).replacement
        return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(developing["liked"], logits))

    whole = hypergradient(
        outer,
        lambda: model.compute_losses(training).losses["loss"],
        [*model.tables.values(), *model.backbone.trainable_variables],
        model.importance.trainable_variables,
        terms=model.config.neumann_terms,
        step=0.3,
    )
    for one, other in zip(few.gradients, whole.gradients, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-7)


def test_touched_rows_are_read_in_place_of_the_tables():
    model, batches = model_of(), [batch_of(seed=1), batch_of(rows=3, seed=2)]
    reads = model.backbone.reads()
    touched = touched_rows(model.tables, reads, batches)
    for table, entries in reads.items():
        rows = touched.rows[table].numpy()
        known = rows[rows > 0]
        assert len(set(known)) == len(known)
        for entry in entries:
            for batch, small in zip(batches, touched.batches, strict=True):
                expected = tf.gather(model.tables[table], batch[entry])
                came = tf.gather(touched.tables[table], small[entry])
                np.testing.assert_array_equal(came, expected)


def test_a_batch_has_one_weight_to_give_and_rows_without_a_source_get_none():
    effect = [1, 0, 1, 1, 0]
    model, batch = model_of(), batch_of(source_effect=effect, example_weight=[1.0, 1, 1, 0, 0])
    weights = weights_of(model, batch)
    np.testing.assert_allclose(weights.sum(), 1, rtol=1e-5)
    assert (weights > 0).tolist() == [True, False, True, False, False]
    released = weights_of(model_of(softmax_rows="all"), batch)
    assert (released > 0).tolist() == [True, True, True, False, False]


def test_a_batch_without_any_source_behaviour_trains_on_the_target():
    model, batch = model_of(), batch_of(source_effect=np.zeros(5))
    report = model.compute_losses(batch)
    assert report.losses["source_loss"] == 0
    np.testing.assert_allclose(report.losses["loss"], report.losses["target_loss"])


@pytest.mark.parametrize("padding", ["masked", "attended"])
def test_only_masked_padding_says_nothing(padding):
    model = model_of(padding=padding)
    batch = batch_of(source_length=[2, 1, 3, 0, 2], target_length=[1, 2, 0, 3, 3])
    other = dict(batch)
    for role in ("source", "target"):
        beyond = ~tf.sequence_mask(batch[f"{role}_length"], 4).numpy()
        for name in (f"{role}_history", f"{role}_history_categories"):
            other[name] = tf.where(beyond, 3, batch[name])
    same = np.allclose(weights_of(model, batch), weights_of(model, other), atol=1e-7)
    assert same == (padding == "masked")


def test_of_scores_far_apart_one_takes_all_of_a_softmax_and_half_of_them_share_as_sigmoids():
    batch, shares = batch_of(rows=12), {}
    for normalisation in ("sigmoid", "softmax"):
        model = model_of(normalisation=normalisation)
        transform, last = model.importance.item_transform, model.importance.relevance_layers[-1]
        last.kernel.assign(tf.zeros_like(last.kernel))
        last.bias.assign([1.0])  # so that the item's score is all
        transform.kernel.assign(2000 * transform.kernel)
        transform.bias.assign([0.0])
        candidates = of_source(model.tables, batch["source_item"], batch["source_category"])
        transform.bias.assign([-np.median(model.importance.item_score(candidates))])
        shares[normalisation] = weights_of(model, batch)
    for each in shares.values():
        np.testing.assert_allclose(each.sum(), 1, rtol=1e-5)
    assert shares["softmax"].max() > 0.75
    assert shares["sigmoid"].max() < 1.5 / 6


def test_a_prior_driven_below_0_comes_back_through_softplus_alone():
    for gate, alive in (("softplus", True), ("relu", False)):
        model = model_of(prior_gate=gate)
        np.testing.assert_allclose(model.importance.total(), [1], rtol=1e-6)
        model.importance.domain_prior.assign([-0.5])
        gradients = model.hypergradient(batch_of(seed=4), batch_of(seed=3)).gradients
        assert any(np.any(gradient) for gradient in gradients) == alive


def test_the_decay_spares_biases_and_the_prior_but_as_released():
    for decayed, expected in (("weights", False), ("all", True)):
        model = model_of(decayed=decayed, importance_decay=2.0)
        importance = model.importance
        start = importance.domain_prior.numpy(), importance.item_transform.kernel.numpy()
        model.apply_hypergradient([tf.zeros_like(v) for v in importance.trainable_variables])
        shrunk = np.abs(importance.domain_prior) < np.abs(start[0])
        assert shrunk.all() == expected
        np.testing.assert_allclose(importance.item_transform.kernel, 0.98 * start[1], rtol=1e-6)


def test_the_hypergradient_is_clipped_by_its_norm():
    model = model_of(clip_norm=0.5, importance_decay=0.0)
    variables = model.importance.trainable_variables
    start = values(variables)
    norm = model.apply_hypergradient([tf.ones_like(variable) for variable in variables])
    steps = [old - variable.numpy() for old, variable in zip(start, variables, strict=True)]
    assert norm > 1
    total = np.sqrt(sum(np.sum(step**2) for step in steps))
    np.testing.assert_allclose(total, 0.5 * 1e-2, rtol=1e-3)


@pytest.mark.parametrize("backbone", ["conet", "minet"])
def test_without_sources_nothing_of_them_is_read(backbone):
    model = model_of(source_loss="none", backbone=backbone)
    assert not any("source" in name for name in (*model.batch_spec, *model.tables))
    batch = {name: values for name, values in batch_of().items() if not name.startswith("source")}
    before = values(model.trainable_variables)
    report = compiled_or_plain(model.train_step, False)(batch)
    assert set(report.losses) == {"loss", "target_loss"}
    assert any(moved(before, model.trainable_variables))


def test_minet_reads_what_users_liked_and_no_padding():
    model, batch = model_of(backbone="minet"), batch_of(target_length=[2, 0, 1, 4, 3])
    start = model.probabilities(batch).numpy()
    changed = batch["target_history"].numpy()
    changed[:, 1] = changed[:, 1] % 9 + 1
    other = model.probabilities({**batch, "target_history": tf.constant(changed)}).numpy()
    assert (start != other).tolist() == [True, False, False, True, True]


def test_figures_tell_the_mean_weight_by_domain_category_and_rating():
    model = model_of()
    batch = batch_of(
        source_item=[1, 7, 8, 11, 0],
        source_category=[1, 1, 2, 2, 0],
        source_rating=[1.0, 2, 2, 5, 0],
        source_effect=[1, 1, 1, 1, 0],
    )
    model.compute_losses(batch)
    relative = 4 * weights_of(model, batch)
    figures = model.epoch_figures()
    expected = {
        "weight_by_domain[shop]": relative[:2].mean(),
        "weight_by_domain[library]": relative[2:4].mean(),
        f"weight_by_category[{CATEGORIES[0]}]": relative[:2].mean(),
        f"weight_by_category[{CATEGORIES[1]}]": relative[2:4].mean(),
        "weight_by_rating[1]": relative[0],
        "weight_by_rating[2]": relative[1:3].mean(),
        "weight_by_rating[5]": relative[3],
        "weights_up_to[1]": np.mean(relative[:4] <= 1),
        "weights_up_to[8]": 1.0,
        "effective_share": 4 / np.sum(relative[:4] ** 2),
    }
    for name, value in expected.items():
        np.testing.assert_allclose(figures[name], value, rtol=1e-5, err_msg=name)
    assert not any("grey" in name for name in figures)
    assert "weight_by_rating[1]" not in model.epoch_figures()


def test_the_second_heads_step_size_follows_a_cosine_over_outer_steps():
    model = model_of()
    iterations = model.optimizers[IMPORTANCE_OPTIMIZER].iterations
    for passes, share in ((0, 1.0), (500, 0.5), (1000, 0.0)):
        iterations.assign(passes)
        np.testing.assert_allclose(model.head_learning_rate(), 1e-2 * share, atol=1e-8)
