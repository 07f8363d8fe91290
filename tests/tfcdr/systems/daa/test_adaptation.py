"""Both adaptations: who moves when, what reversal's one pass gives, what critics see."""

import numpy as np
import pytest
import tensorflow as tf

from tests.compilation import compiled_or_plain
from tests.tfcdr.systems.daa.small import FIELD_SIZES, NUMERICAL, compiled, config, pairs
from tfcdr.data_source import check_batch
from tfcdr.systems.daa.adaptation import AlternatingModel, ReversalModel, reverse_gradient
from tfcdr.systems.daa.backbones import make_backbone


def model(kind=AlternatingModel, jit_compile=False, **fields):
    built = kind(config(**fields), FIELD_SIZES, NUMERICAL)
    built.start_from(make_backbone(built.config, FIELD_SIZES, NUMERICAL))
    # Far from their tiny start, so that their gradients stand out from rounding.
    random = np.random.default_rng(5)
    for critic in built.critics:
        critic.set_weights([random.normal(size=w.shape) / 2 for w in critic.get_weights()])
    return compiled(built, jit_compile)


def weights(layers):
    return [weight.numpy() for layer in layers for weight in layer.trainable_variables]


def differs(before, after):
    return any(np.any(old != new) for old, new in zip(before, after, strict=True))


def test_critics_move_on_every_batch_the_model_on_every_third_the_source_never():
    trained = model(critic_steps=3)
    step = compiled_or_plain(trained.train_step, False)
    source = [weight.numpy() for weight in trained.source_network.variables]
    moved = []
    for _ in range(6):
        before = weights([trained.network]), weights(trained.critics)
        report = step(pairs())
        assert all(np.isfinite(loss) for loss in report.losses.values())
        after = weights([trained.network]), weights(trained.critics)
        moved.append(tuple(map(differs, before, after)))
    assert [of_network for of_network, _ in moved] == [False, False, True, False, False, True]
    assert all(of_critics for _, of_critics in moved)
    assert not differs(source, [weight.numpy() for weight in trained.source_network.variables])


def test_batches_and_optimizers_hold_what_trains():
    trained = model()
    spec = {key: tf.TensorSpec.from_tensor(value) for key, value in pairs().items()}
    check_batch(spec, trained.batch_spec, trained.name)
    for optimizer, variables in (
        (trained.optimizer, trained.network.trainable_variables),
        (trained.critic_optimizer, trained.critic_variables),
    ):
        slots = [tuple(slot.shape) for slot in optimizer.variables if slot.shape.rank]
        expected = [tuple(variable.shape) for variable in variables for _ in range(2)]
        assert sorted(slots) == sorted(expected)


def test_the_released_critic_leaves_plain_fine_tuning():
    released = model(critic="released", adversarial_weight=1.0)
    tuned = model(critic="released", adversarial_weight=0.0)
    working = model(adversarial_weight=1.0)
    for other in (tuned, working):
        other.network.set_weights(released.network.get_weights())
    batch = pairs()
    of_released, of_tuned, of_working = (
        [tf.convert_to_tensor(gradient).numpy() for gradient in m.loss_and_gradients(batch)[1]]
        for m in (released, tuned, working)
    )
    for one, other in zip(of_released, of_tuned, strict=True):
        np.testing.assert_array_equal(one, other)
    assert max(np.abs(a - b).max() for a, b in zip(of_released, of_working, strict=True)) > 1e-3


@pytest.mark.parametrize("fake_features", ["train", "eval"])
def test_reversal_gives_both_alternating_gradients_in_one_pass(fake_features):
    fields = {"adversarial_weight": 0.3, "fake_features": fake_features}
    alternating, joint = model(**fields), model(ReversalModel, **fields)
    joint.set_weights(alternating.get_weights())
    batch = pairs()

    def dense(compute):
        return [tf.convert_to_tensor(gradient) for gradient in compute(batch)[1]]

    start = alternating.get_weights()
    of_critics = dense(alternating.critic_losses_and_gradients)
    alternating.set_weights(start)  # running values moved
    of_network = dense(alternating.loss_and_gradients)
    of_joint = dense(joint.loss_and_gradients)
    for one, other in zip(of_joint, [*of_network, *of_critics], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-6)


def test_reversal_by_hand():
    values = tf.constant([1.0, -2.0])
    with tf.GradientTape() as tape:
        tape.watch(values)
        result = reverse_gradient(values, tf.constant(0.25))
        loss = tf.reduce_sum(result * [1.0, 4.0])
    np.testing.assert_array_equal(result, values)
    np.testing.assert_array_equal(tape.gradient(loss, values), [-0.25, -1.0])


def test_lambda_rises_from_zero():
    ramped = model(ReversalModel, adversarial_weight=2.0, reversal_ramp_steps=10)
    assert float(ramped.reversal()) == 0.0
    ramped.critic_optimizer.iterations.assign(5)
    assert float(ramped.reversal()) == pytest.approx(2 * (2 / (1 + np.exp(-5)) - 1))
    ramped.critic_optimizer.iterations.assign(1000)
    assert float(ramped.reversal()) == pytest.approx(2 * (2 / (1 + np.exp(-10)) - 1))
    assert float(model(ReversalModel, adversarial_weight=2.0).reversal()) == 2.0


def test_critics_see_the_mode_that_the_configuration_names():
    batch = pairs()
    columns = batch["target_categorical"], batch["target_numerical"]
    for mode in ("train", "eval"):
        trained = model(fake_features=mode, adversarial_weight=1.0)
        # As far from a batch's own statistics as the two modes' features from each other.
        trained.network.bottom.norms[0].running_mean.assign_add(tf.ones(6))
        start = trained.get_weights()
        adversarial = trained.compute_losses(batch).losses["adversarial_loss"]
        trained.set_weights(start)
        features = trained.network(*columns, training=mode == "train").features
        by_hand = -sum(tf.reduce_mean(critic(features)) for critic in trained.critics)
        assert float(adversarial) == pytest.approx(float(by_hand), rel=1e-5)
        trained.set_weights(start)
        other = trained.network(*columns, training=mode != "train").features
        assert np.abs(features - other).max() > 0.1


def test_xla_makes_the_same_steps():
    start = model(critic_steps=2)
    outcomes = []
    for jit_compile in (False, True):
        trained = model(critic_steps=2, jit_compile=jit_compile)
        trained.set_weights(start.get_weights())
        step = compiled_or_plain(trained.train_step, jit_compile)
        outcomes.append([float(step(pairs()).losses["critic_loss"]) for _ in range(3)])
    plain, compiled_steps = outcomes
    np.testing.assert_allclose(plain[:2], compiled_steps[:2], rtol=1e-4)
    # Behind the model's first step, in which Adam makes a small gradient's rounding a large one.
    np.testing.assert_allclose(plain[2], compiled_steps[2], rtol=1e-2)
