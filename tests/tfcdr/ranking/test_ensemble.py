"""An ensemble's members learn as each would alone, and their mean ranks."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tests.compilation import compiled_or_plain
from tests.tfcdr.memory_data import TARGETS, MemoryData
from tfcdr.errors import RunError
from tfcdr.systems.timirec.config import TiMiRecConfig
from tfcdr.systems.timirec.system import TiMiRec

SYSTEM = TiMiRec()
# All that draws: dropout, shared negatives. The penalty makes an update depend on a loss's scale.
CONFIG = TiMiRecConfig(
    embedding_size=4,
    attention_size=2,
    layers=2,
    extractor_dropout=0.3,
    loss="sampled_softmax",
    shared_negatives=4,
    l2=0.1,
    ensemble_members=2,
)
HISTORIES = tf.constant([[0, 0, 3, 12, 5], [0, 0, 0, 0, 0], [7, 2, 20, 4, 1]])
STAGES = ("pretrain", "finetune")


def compiled(stage, config=CONFIG, seed=0):
    tf.keras.utils.set_random_seed(0)
    model = SYSTEM.build(stage, config, MemoryData(), seed)
    model.compile(SYSTEM.optimizers(stage, config))
    model.build_optimizers()
    return model


def step(model, batch):
    """A train step without tracing it, which takes longer than it gives."""
    report, gradients = model.loss_and_gradients(batch)
    model.apply_gradients(gradients)
    return report


def first_batch():
    request = SYSTEM.stages(CONFIG)[0].training
    return next(iter(request.batches(MemoryData(), "train", 22, 0)))


@pytest.mark.parametrize(
    ("stage", "table_update"), [("pretrain", "touched_rows"), ("finetune", "all_rows")]
)
def test_a_member_learns_as_it_would_alone(stage, table_update):
    config = dataclasses.replace(CONFIG, table_update=table_update)
    ensemble, batch = compiled(stage, config), first_batch()
    alone_config = dataclasses.replace(config, ensemble_members=1)
    alone = [compiled(stage, alone_config, member._seed) for member in ensemble.members]
    for model, member in zip(alone, ensemble.members, strict=True):
        model.set_weights(member.get_weights())
    losses = []
    for _ in range(2):
        reports = [step(model, batch) for model in alone]
        report = step(ensemble, batch)
        assert set(report.losses) == set(reports[0].losses)
        for name, value in report.losses.items():
            of_members = [float(each.losses[name]) for each in reports]
            np.testing.assert_allclose(value, np.mean(of_members), rtol=1e-5, atol=1e-6)
        losses.append(of_members)
    assert losses[0][0] != losses[0][1]
    for model, member in zip(alone, ensemble.members, strict=True):
        for ours, theirs in zip(member.get_weights(), model.get_weights(), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-7)


def test_xla_makes_the_same_step():
    ensemble, batch = compiled("pretrain"), first_batch()
    made = [
        compiled_or_plain(ensemble.loss_and_gradients, jit_compile)(batch)
        for jit_compile in (False, True)
    ]
    assert float(made[1][0].losses["loss"]) == pytest.approx(float(made[0][0].losses["loss"]))
    for plain, xla in zip(made[0][1], made[1][1], strict=True):
        xla, plain = (tf.convert_to_tensor(gradient) for gradient in (xla, plain))
        np.testing.assert_allclose(xla, plain, atol=1e-6)


def test_two_replicas_make_the_step_of_one():
    ensemble, batch = compiled("pretrain"), first_batch()
    halves = [
        {key: value[part] for key, value in batch.items()} for part in (slice(5), slice(5, 22))
    ]
    totals = [ensemble.batch_totals(half) for half in halves]
    totals = tf.nest.map_structure(lambda *of: tf.add_n(of), *totals)
    report, gradients = ensemble.loss_and_gradients(batch)
    shares = [ensemble.loss_and_gradients(half, totals) for half in halves]
    added = sum(float(share.losses["loss"]) for share, _ in shares)
    assert added == pytest.approx(float(report.losses["loss"]), rel=1e-5)
    for whole, *parts in zip(gradients, *(of for _, of in shares), strict=True):
        parts = [tf.convert_to_tensor(part) for part in parts]
        np.testing.assert_allclose(sum(parts), tf.convert_to_tensor(whole), atol=1e-6)


@pytest.mark.parametrize(
    "draws", [{"shared_negatives": 0, "loss": "softmax"}, {"extractor_dropout": 0.0}]
)
def test_members_start_apart_and_draw_apart(draws):
    """Of dropout and shared negatives each draws apart; one of them is off."""
    one, other = compiled("pretrain", dataclasses.replace(CONFIG, **draws)).members
    for ours, theirs in zip(one.get_weights(), other.get_weights(), strict=True):
        assert np.ptp(ours) == 0 or not np.array_equal(ours, theirs)
    other.set_weights(one.get_weights())
    batch = first_batch()
    assert float(one.compute_losses(batch).losses["loss"]) != float(
        other.compute_losses(batch).losses["loss"]
    )


@pytest.mark.parametrize("stage", STAGES)
def test_the_mean_ranks(stage, jit_compile):
    ensemble = compiled(stage)
    score = tf.function(
        lambda history: ensemble.score_range(ensemble.encode_history(history), 2, TARGETS - 1),
        jit_compile=jit_compile,
    )
    expected = np.mean(
        [
            member.score_range(member.encode_history(HISTORIES), 2, TARGETS - 1)
            for member in ensemble.members
        ],
        axis=0,
    )
    np.testing.assert_allclose(score(HISTORIES), expected, rtol=1e-5, atol=1e-7)
    ids = np.array([[2, 9, 4], [3, 2, 8], [3, 5, 7]])
    found = ensemble.score_candidates(ensemble.encode_history(HISTORIES), tf.constant(ids))
    np.testing.assert_allclose(
        found, np.take_along_axis(expected, ids - 2, 1), rtol=1e-5, atol=1e-7
    )


def test_a_later_stage_starts_from_each_members_extractor():
    before, after = compiled("pretrain"), compiled("finetune")
    random = np.random.default_rng(0)
    before.set_weights([random.normal(size=weight.shape) for weight in before.get_weights()])
    SYSTEM.warm_start(after, before)
    for ours, theirs in zip(after.members, before.members, strict=True):
        for weight, expected in zip(
            ours.extractor.get_weights(), theirs.extractor.get_weights(), strict=True
        ):
            np.testing.assert_array_equal(weight, expected)


def test_has_no_single_vector_of_an_item_to_search():
    with pytest.raises(RunError, match="brute_force"):
        compiled("pretrain").item_factors()
