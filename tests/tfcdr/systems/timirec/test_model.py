"""Both stages: what is finite, what rows share, how items are scored, what a step changes."""

import numpy as np
import pytest
import tensorflow as tf

from tests.compilation import compiled_or_plain
from tests.tfcdr.systems.timirec.small_models import ITEMS, batch, make
from tfcdr.ranking import metrics

STAGES = ("pretrain", "finetune")
HISTORIES = [[3], [1, 2, 2, 4, 12], [], [9, 5], [7, 1, 3]]
WEIGHTS = [1.0, 1.0, 0.0, 1.0, 1.0]


def losses_and_gradients(model, rows, jit_compile):
    """Returns the losses and the dense gradients by variable name."""
    compute = compiled_or_plain(model.loss_and_gradients, jit_compile)
    report, slopes = compute(rows)
    names = [variable.name for variable in model.trainable_variables]
    dense = [tf.convert_to_tensor(slope).numpy() for slope in slopes]
    return report.losses, dict(zip(names, dense, strict=True))


@pytest.mark.parametrize("stage", STAGES)
def test_rows_of_weight_zero_do_not_count_even_without_history(stage, jit_compile):
    model = make(stage, projection_dropout=0.0)
    with_empty = losses_and_gradients(model, batch(HISTORIES, WEIGHTS), jit_compile)
    kept = [0, 1, 3, 4]
    rows = {key: tf.gather(values, kept) for key, values in batch(HISTORIES, WEIGHTS).items()}
    without = losses_and_gradients(model, rows, jit_compile)
    for name, expected in without[0].items():
        assert float(with_empty[0][name]) == pytest.approx(float(expected), rel=1e-5)
    for name, expected in without[1].items():
        assert np.isfinite(with_empty[1][name]).all(), name
        np.testing.assert_allclose(with_empty[1][name], expected, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("stage", STAGES)
def test_a_batch_without_any_history_changes_nothing_but_by_decay(stage):
    model = make(stage)
    nothing = batch([[], []], [0.0, 0.0])
    before = model.get_weights()
    assert float(compiled_or_plain(model.train_step, False)(nothing).losses["loss"]) == 0.0
    assert all(map(np.array_equal, before, model.get_weights()))


@pytest.mark.parametrize("stage", STAGES)
def test_xla_and_plain_agree(stage):
    model = make(stage, temperature=0.5)
    rows = batch(HISTORIES, WEIGHTS, negatives=3)
    plain = losses_and_gradients(model, rows, jit_compile=False)
    compiled = losses_and_gradients(model, rows, jit_compile=True)
    for name, value in plain[0].items():
        assert float(compiled[0][name]) == pytest.approx(float(value), rel=1e-5)
    for name, slope in plain[1].items():
        np.testing.assert_allclose(compiled[1][name], slope, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("variant", ["timirec", "comirec"])
def test_interests_do_not_depend_on_padding(variant):
    fields = {"variant": variant, "transformer_layer": variant == "timirec"}
    model = make("pretrain", **fields)
    history = np.array([[4, 2, 9]], np.int32)
    padded = np.pad(history, [(0, 0), (2, 0)])
    np.testing.assert_allclose(model.interests(padded), model.interests(history), atol=1e-6)


@pytest.mark.parametrize("stage", STAGES)
def test_items_that_never_trained_may_be_skipped_outside_of_training(stage):
    trained = np.ones(ITEMS + 3, bool)
    trained[[4 - 1, 12 - 1]] = False
    model = make(stage, trained=trained, untrained_items="skipped")
    histories = batch([[3, 4], [4, 1, 12, 2], [4], [9, 5]])["history"]
    read = batch([[3], [1, 2], [], [9, 5]])["history"]
    np.testing.assert_array_equal(model.read_history(histories), read)
    users = model.encode_history(histories)
    np.testing.assert_array_equal(users, make(stage).encode_history(read))
    assert not np.allclose(users[:2], make(stage, trained=trained).encode_history(histories)[:2])
    # Training does not look.
    rows = {**batch([[3, 4]]), "history": histories[:1]}
    (found, expected) = (
        compiled_or_plain(of.loss_and_gradients, False)(rows)[0].losses["loss"]
        for of in (model, make(stage))
    )
    assert float(found) == float(expected)


def test_the_predictor_does_not_depend_on_padding():
    model = make("finetune")
    history = np.array([[4, 2, 9]], np.int32)
    padded = np.pad(history, [(0, 0), (2, 0)])
    weights = [model.interest_weights(array) for array in (history, padded)]
    np.testing.assert_allclose(*weights, atol=1e-6)


def test_order_matters_only_with_positions():
    histories = np.array([[0, 0, 4, 2, 9], [0, 0, 2, 4, 9]], np.int32)
    with_positions = make("pretrain").interests(histories).numpy()
    assert np.abs(with_positions[0] - with_positions[1]).max() > 1e-3
    without = make("pretrain", position_embedding=False).interests(histories).numpy()
    np.testing.assert_allclose(without[0], without[1], atol=1e-6)


def test_a_transformer_layer_lets_items_see_each_other():
    # Without it, and without positions, an item's state is its embedding whatever is beside it.
    histories = np.array([[0, 0, 0, 4, 9], [0, 0, 0, 2, 9]], np.int32)
    alone = make("pretrain", position_embedding=False, transformer_layer=False)
    together = make("pretrain", position_embedding=False)
    newest = [
        model.extractor.extract(histories).hidden.numpy()[:, -1] for model in (alone, together)
    ]
    np.testing.assert_array_equal(newest[0][0], newest[0][1])
    assert np.abs(newest[1][0] - newest[1][1]).max() > 1e-3


def test_comirec_sums_item_embeddings_without_positions():
    model = make("pretrain", variant="comirec", transformer_layer=False)
    table = model.extractor.item_embedding.embeddings.numpy()
    (interests,) = model.interests(np.array([[0, 0, 0, 0, 7]], np.int32)).numpy()
    np.testing.assert_allclose(interests, np.tile(table[7], (3, 1)), atol=1e-6)


def test_more_interests_than_items_are_interests_of_the_same_items():
    model = make("finetune", interests=6)
    history = np.array([[0, 0, 0, 0, 7], [0, 0, 0, 3, 7]], np.int32)
    single, pair = model.interests(history).numpy()
    np.testing.assert_allclose(single, np.tile(single[0], (6, 1)), atol=1e-6)
    assert np.abs(pair - pair[0]).max() > 1e-4
    attention = model.extractor.extract(history).attention.numpy()
    np.testing.assert_allclose(attention.sum(1), 1, atol=1e-6)
    assert (attention[1, :3] == 0).all()


def test_interest_weights_sum_to_one():
    model, rows = make("finetune", temperature=0.1), batch(HISTORIES)
    predicted = model.interest_weights(rows["history"]).numpy()
    taught = model.target_interest_weights(rows["history"], rows["target_item"]).numpy()
    for weights in (predicted, taught):
        assert weights.shape == (5, 3)
        np.testing.assert_allclose(weights.sum(1), 1, atol=1e-6)


def test_taught_weights_prefer_the_interest_that_points_to_the_target():
    model = make("finetune")
    nearness = model.target_nearness(
        tf.constant([[[2.0, 0.0], [0.0, -3.0], [0.0, 0.0]]]), tf.constant([[1.0, 1.0]])
    )
    # Cosines, whatever the lengths; a vector without length has none.
    np.testing.assert_allclose(nearness, [[0.5**0.5, -(0.5**0.5), 0.0]], atol=1e-6)


def test_distillation_by_hand(jit_compile):
    model = make("finetune", temperature=0.5)
    call = compiled_or_plain(model.distillation_losses, jit_compile)
    # softmax((0, ln 3 / 2) / 0.5) = (1/4, 3/4), against (1/2, 1/2) of equal logits.
    loss = call(tf.constant([[0.0, np.log(3) / 2]], tf.float32), tf.constant([[7.0, 7.0]]))
    np.testing.assert_allclose(loss, [0.25 * np.log(0.5) + 0.75 * np.log(1.5)], rtol=1e-5)


def test_the_target_gets_no_gradient_from_distillation():
    model = make("finetune", projection_dropout=0.0)
    rows = batch(HISTORIES, WEIGHTS)
    with tf.GradientTape() as tape:
        distillation = model.compute_losses(rows).losses["distillation_loss"]
    slopes = tape.gradient(distillation, model.variables)
    names = {
        variable.name.split("/")[0]
        for variable, slope in zip(model.variables, slopes, strict=True)
        if slope is not None
    }
    assert names == {"predictor"}


def test_dropout_acts_in_training_alone():
    rows = batch(HISTORIES, WEIGHTS)
    models = [make("finetune", projection_dropout=rate) for rate in (0.0, 0.5)]
    weights = [model.interest_weights(rows["history"]) for model in models]
    np.testing.assert_array_equal(*weights)
    losses = [float(model.compute_losses(rows).losses["loss"]) for model in models]
    assert losses[0] != losses[1]
    again = [float(model.compute_losses(rows).losses["loss"]) for model in models]
    assert losses == again  # drawn from the step's number
    models[1].optimizer.iterations.assign_add(1)
    assert float(models[1].compute_losses(rows).losses["loss"]) != losses[1]


@pytest.mark.parametrize("stage", STAGES)
def test_replicas_that_share_a_batch_make_the_step_of_one(stage):
    model, rows = make(stage), batch(HISTORIES, WEIGHTS)
    parts = [
        {key: values[part] for key, values in rows.items()} for part in (slice(2), slice(2, 5))
    ]
    whole, of_whole = losses_and_gradients(model, rows, jit_compile=False)
    totals = model.batch_totals(rows)
    shares = [model.loss_and_gradients(part, totals) for part in parts]
    added = sum(report.losses["loss"] for report, _ in shares)
    assert float(added) == pytest.approx(float(whole["loss"]))
    for name, *slopes in zip(of_whole, *(slopes for _, slopes in shares), strict=True):
        added = sum(tf.convert_to_tensor(slope).numpy() for slope in slopes)
        np.testing.assert_allclose(added, of_whole[name], atol=1e-6, err_msg=name)


@pytest.mark.parametrize("stage", STAGES)
def test_all_ways_of_scoring_agree(stage):
    model = make(stage)
    user = model.encode_history(batch(HISTORIES)["history"])
    everything = model.score_catalogue(user).numpy()
    assert everything.shape == (5, ITEMS + 4)
    assert everything.dtype == np.float32
    np.testing.assert_allclose(model.score_range(user, 4, 3), everything[:, 4:7], atol=1e-6)
    ids = np.array([[1, 9, 4]] * 5)
    candidates = model.score_candidates(user, ids)
    np.testing.assert_allclose(candidates, np.take_along_axis(everything, ids, 1), atol=1e-5)
    if stage == "pretrain":
        # The score is that of the nearest interest.
        table = model.item_factors()[0].numpy()
        expected = np.einsum("bkd,id->bki", user.numpy(), table).max(1)
        np.testing.assert_allclose(everything, expected, atol=1e-5)


def test_pretraining_moves_only_the_nearest_interest():
    model = make("pretrain")
    interests = tf.constant([[[1.0, 0.0], [0.0, 2.0], [0.0, 1.0]]])
    with tf.GradientTape() as tape:
        tape.watch(interests)
        user = model.nearest_interest(interests, tf.constant([[0.5, 0.5]]))
    np.testing.assert_array_equal(user, [[0.0, 2.0]])
    np.testing.assert_array_equal(tape.gradient(user, interests), [[[0, 0], [1, 1], [0, 0]]])


def test_biases_do_not_decay():
    model = make("finetune", l2=0.5, projection_dropout=0.0)
    model.optimizer.build(model.trainable_variables)
    before = [variable.numpy() for variable in model.trainable_variables]
    model.apply_gradients([tf.zeros_like(variable) for variable in model.trainable_variables])
    kept = {
        variable.name
        for variable, old in zip(model.trainable_variables, before, strict=True)
        if (variable.numpy() == old).all()
    }
    biases = {v.name for v in model.trainable_variables if len(v.shape) == 1}
    assert kept == {name for name in biases if "gamma" not in name}
    assert len(kept) == 11


@pytest.mark.parametrize("stage", STAGES)
def test_training_learns(stage, jit_compile):
    model = make(stage, jit_compile=jit_compile, pretrain_learning_rate=0.02)
    model.optimizer.learning_rate.assign(0.02)
    model.optimizer.build(model.trainable_variables)
    # Each history's next item is its newest plus 1.
    random = np.random.default_rng(0)
    newest = random.integers(1, ITEMS, 64)
    rows = batch(np.stack([random.integers(1, ITEMS, 64), newest], 1))
    rows["target_item"] = tf.constant(newest + 1, tf.int32)
    step = tf.function(model.train_step)
    losses = []
    for _ in range(60):
        draws = (newest + random.integers(2, ITEMS, (2, 64))).T % ITEMS + 1
        drawn = {**rows, "negative_items": tf.constant(draws, tf.int32)}
        losses.append(float(step(drawn).losses["loss"]))
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])
    scores = model.score_catalogue(model.encode_history(rows["history"]))[:, : ITEMS + 1]
    positive = tf.gather(scores, rows["target_item"], batch_dims=1)
    ranks = metrics.pessimistic_ranks(positive, scores).numpy() - 1  # it ties with itself
    assert np.mean(ranks <= 3) > 0.7
