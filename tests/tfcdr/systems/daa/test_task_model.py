"""Plain training on one domain: the loss by hand, filling rows, MetaHeac's inner step."""

import numpy as np
import pytest
import tensorflow as tf

from tests.tfcdr.systems.daa.small import FIELD_SIZES, NUMERICAL, compiled, config, labelled
from tfcdr.systems.daa.task_model import MetaTaskModel, TaskModel


def model(kind=TaskModel, jit_compile=False, task_weights=(1.0, 1.0), **fields):
    built = kind(config(**fields), FIELD_SIZES, NUMERICAL, task_weights=task_weights)
    return compiled(built, jit_compile)


def test_loss_is_the_weighted_mean_of_the_tasks():
    plain, weighted = model(), model(task_weights=(2.0, 0.5))
    weighted.network.set_weights(plain.network.get_weights())
    losses = {name: float(loss) for name, loss in plain.compute_losses(labelled()).losses.items()}
    click, conversion = losses["click_loss"], losses["conversion_loss"]
    assert losses["loss"] == pytest.approx((click + conversion) / 2)
    of_weighted = weighted.compute_losses(labelled()).losses
    assert float(of_weighted["loss"]) == pytest.approx((2 * click + conversion / 2) / 2)


def test_an_extreme_logit_gives_a_finite_loss():
    trained = model()
    trained.network.tower.output_layer.bias.assign([1e4, -1e4])
    (losses, _), gradients = trained.loss_and_gradients(labelled())
    assert np.isfinite(losses["loss"])
    assert all(np.isfinite(tf.convert_to_tensor(gradient)).all() for gradient in gradients)


@pytest.mark.parametrize(("kind", "backbone"), [(TaskModel, "mmoe"), (MetaTaskModel, "metaheac")])
def test_training_lowers_the_loss(kind, backbone, jit_compile):
    trained = model(kind, jit_compile, backbone=backbone, dropout=0.2)
    step = tf.function(trained.train_step, jit_compile=jit_compile)
    losses = [float(step(labelled(rows=16)).losses["loss"]) for _ in range(40)]
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])


def test_the_inner_step_takes_support_rows_alone():
    trained = model(MetaTaskModel, backbone="metaheac", local_learning_rate=1.0)
    batch = labelled(rows=16)
    seed = tf.zeros(2, tf.int32)
    halves = {key: tf.split(value, 4)[0] for key, value in batch.items()}
    slow = trained.network.task_embedding.numpy()
    fast = trained.fast_task_embedding(halves, seed).numpy()
    assert np.any(fast != slow)
    np.testing.assert_array_equal(trained.network.task_embedding, slow)
    moved = {**halves, "click": 1 - halves["click"]}
    assert np.any(trained.fast_task_embedding(moved, seed).numpy() != fast)
