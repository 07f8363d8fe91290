"""Half precision in training: what computes in it, and that it changes little."""

import pytest
import tensorflow as tf

from tests.tfcdr.memory_data import MemoryData
from tests.tfcdr.runs.test_experiment import CONFIG, OPTIONS
from tfcdr.runs.experiment import Experiment
from tfcdr.runs.run_folder import RunFolder
from tfcdr.systems.peterrec.system import PeterRec


def experiment(path, mixed_precision, jit_compile=False):
    return Experiment(
        system=PeterRec(),
        config=CONFIG,
        data=MemoryData(),
        folder=RunFolder(path),
        options=OPTIONS,
        seed=0,
        jit_compile=jit_compile,
        mixed_precision=mixed_precision,
    )


def test_losses_are_those_of_float32_but_for_rounding(tmp_path, jit_compile):
    losses = {}
    for mixed in (True, False):
        folder = RunFolder(tmp_path / str(mixed))
        folder.claim({})
        experiment(folder.path, mixed, jit_compile).run()
        losses[mixed] = [
            epoch["loss"] for stage in ("pretrain", "finetune") for epoch in folder.epochs(stage)
        ]
    assert losses[True] == pytest.approx(losses[False], rel=2e-2)
    # Half precision did take part.
    assert losses[True] != losses[False]


def test_what_computes_in_half_precision_and_what_does_not(tmp_path):
    RunFolder(tmp_path).claim({})
    mixed = experiment(tmp_path, mixed_precision=True)
    mixed.run()
    model = mixed.best_model()
    assert {weight.dtype for weight in model.variables} == {tf.float32}
    history = tf.ones((2, 6), tf.int32)
    assert model.trunk(history).dtype == tf.float16
    # Scores of half precision would tie.
    assert model.encode_history(history).dtype == tf.float32
    assert isinstance(model.optimizer, tf.keras.mixed_precision.LossScaleOptimizer)
    assert tf.keras.mixed_precision.global_policy().name == "float32"


def test_a_gradient_that_overflows_is_skipped_and_the_scale_halved(tmp_path):
    RunFolder(tmp_path).claim({})
    mixed = experiment(tmp_path, mixed_precision=True)
    mixed.run()
    model = mixed.best_model()
    scale = float(model.optimizer.loss_scale)
    before = [weight.numpy() for weight in model.trainable_variables]
    overflow = [tf.fill(weight.shape, float("inf")) for weight in model.trainable_variables]
    tf.function(model.apply_gradients)(overflow)
    assert float(model.optimizer.loss_scale) == scale / 2
    for weight, old in zip(model.trainable_variables, before, strict=True):
        assert (weight.numpy() == old).all()
