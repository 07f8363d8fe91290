"""What BIAO's benchmark measures and compares with."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from launchers.benchmarking import line_up
from launchers.benchmarking.generated.generator import DataSizes
from launchers.benchmarking.line_up import Plan
from tfcdr.benchmark import HistorySizes
from tfcdr.systems.biao.config import BiaoConfig
from tfcdr.systems.biao.model import DESCENT, DEVELOPING, OUTER_STEP, TRAINING, BiaoModel
from tfcdr.systems.biao.system import Biao
from tfcdr.systems.biao.tables import TableSizes

SIZES = HistorySizes(items=100, length=6, users=120, categories=20)
CATEGORIES = tuple("abcde")
CONFIG = BiaoConfig(embedding_size=4, hidden_widths=(6, 5), batch_size=8, attention_heads=2)
ROWS = TableSizes(user=5, target_item=5, target_category=5, source_item=5, source_category=5)


def random_batch(model, rows):
    """Returns a batch of positive ids and labels of both kinds."""
    random = np.random.default_rng(0)
    batch = {}
    for name, spec in model.batch_spec.items():
        shape = [rows if size is None else size for size in spec.shape]
        values = random.integers(1, 6, shape) if spec.dtype == tf.int32 else np.ones(shape)
        batch[name] = tf.constant(values, spec.dtype)
    batch["source_effect"] = tf.ones([rows], tf.int32)
    batch["liked"] = tf.constant(np.arange(rows) % 2, tf.float32)
    return batch


def test_pytorch_is_told_the_configuration_and_the_tables():
    (peer,) = Biao.benchmark.peers
    (stage,) = Biao().stages(CONFIG)
    told = peer.invoke(stage, CONFIG, SIZES, {})
    assert told.settings == {"config": dataclasses.asdict(CONFIG), **SIZES._asdict()}


@pytest.mark.parametrize(
    ("fields", "does"),
    [
        ({"source_loss": "uniform"}, True),
        ({}, False),
        ({"source_loss": "uniform", "backbone": "minet"}, False),
        ({"source_loss": "uniform", "table_update": "touched_rows"}, False),
    ],
)
def test_pytorch_does_the_work_of_plain_conet_alone(fields, does):
    (peer,) = Biao.benchmark.peers
    assert peer.does_work_of("train", dataclasses.replace(CONFIG, **fields)) == does


def test_what_it_is_compared_with_can_be_started():
    plan = Plan("biao", "train", CONFIG, DataSizes(), True)
    assert Biao.benchmark.rivals
    for rival in Biao.benchmark.rivals:
        line_up.parse(plan, rival)


@pytest.mark.parametrize("source_loss", ["weighted", "uniform", "none"])
def test_every_phase_is_computed_from_a_batch(source_loss):
    config = dataclasses.replace(CONFIG, source_loss=source_loss)
    (stage,) = Biao().stages(config)
    model = BiaoModel(config, ROWS, 3, CATEGORIES)
    model.compile(Biao().optimizers("train", config))
    phases = Biao.benchmark.phases(config, stage)
    assert ("weights" in [phase.name for phase in phases]) == (source_loss == "weighted")
    for phase in phases:
        getattr(model, phase.method)(random_batch(model, 4))


def test_without_descent_an_outer_step_leaves_the_replacement_head():
    config = dataclasses.replace(CONFIG, descent_steps=0)
    ((step,),) = (stage.periodic_steps for stage in Biao().stages(config))
    assert step.feeds.keys() == {DEVELOPING, TRAINING}
    model = BiaoModel(config, ROWS, 3, CATEGORIES)
    model.compile(Biao().optimizers("train", config))
    model.build_optimizers()
    feed = {name: values[tf.newaxis] for name, values in random_batch(model, 4).items()}
    kept = [variable.numpy() for variable in model.replacement_head.weights]
    moved = [variable.numpy() for variable in model.importance.trainable_variables]
    report = model.periodic_step(OUTER_STEP, {DEVELOPING: feed, TRAINING: feed})
    assert "replacement_loss" not in report.losses
    np.testing.assert_array_equal(model.replacement_head.weights[0], kept[0])
    assert any(
        np.any(variable.numpy() != before)
        for variable, before in zip(model.importance.trainable_variables, moved, strict=True)
    )
    assert DESCENT in {name for s in Biao().stages(CONFIG) for name in s.periodic_steps[0].feeds}
