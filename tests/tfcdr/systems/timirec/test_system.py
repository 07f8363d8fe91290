"""TiMiRec as a system: its stages, what each reads, and what one takes over from the other."""

import dataclasses

import numpy as np
import pytest

from tests.tfcdr.memory_data import LENGTH, SOURCES, TARGETS, MemoryData
from tfcdr.systems.registry import SYSTEMS
from tfcdr.systems.timirec.config import TiMiRecConfig
from tfcdr.systems.timirec.system import TiMiRec

SMALL = TiMiRecConfig(embedding_size=8, attention_size=4, interests=3)


def stages(**fields):
    return {stage.name: stage for stage in TiMiRec().stages(dataclasses.replace(SMALL, **fields))}


def build(stage, **fields):
    return TiMiRec().build(stage, dataclasses.replace(SMALL, **fields), MemoryData(), seed=0)


def test_is_registered_under_its_name():
    assert isinstance(SYSTEMS["timirec"], TiMiRec)
    assert SYSTEMS["timirec"].config_class is TiMiRecConfig


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({}, ["pretrain", "finetune"]),
        ({"stages": "pretrain"}, ["pretrain"]),
        ({"from_scratch": True}, ["finetune"]),
        ({"variant": "comirec", "transformer_layer": False}, ["pretrain"]),
    ],
)
def test_stages(fields, names):
    assert list(stages(**fields)) == names


def test_each_stage_has_its_own_settings():
    both = stages(
        pretrain_batch_size=3,
        pretrain_epochs=4,
        finetune_batch_size=5,
        finetune_epochs=6,
        patience=7,
    )
    pretrain, finetune = both["pretrain"], both["finetune"]
    assert (pretrain.batch_size, pretrain.epochs, pretrain.patience) == (3, 4, 7)
    assert (finetune.batch_size, finetune.epochs, finetune.patience) == (5, 6, 7)
    assert pretrain.has_candidates and finetune.has_candidates


def test_views_get_what_the_configuration_says():
    both = stages(
        history_domains="target",
        cold_history="sources",
        negatives=4,
        negative_sampler="lambdafm",
        lambdafm_rho=0.7,
        negatives_exclude="positive",
    )
    for stage in both.values():
        assert (stage.training.view, stage.evaluation.view) == ("leave_one_out",) * 2
        assert stage.training.options == {
            "history_domains": "target",
            "negatives": 4,
            "sampler": "lambdafm",
            "lambdafm_rho": 0.7,
            "negatives_exclude": "positive",
        }
        assert stage.evaluation.options == {
            "history_domains": "target",
            "cold_history": "sources",
        }


@pytest.mark.parametrize(
    ("domains", "space", "items"),
    [("all", "joint", SOURCES + TARGETS), ("target", "target", TARGETS)],
)
def test_tables_fit_the_vocabulary_of_histories(domains, space, items):
    config = dataclasses.replace(SMALL, history_domains=domains)
    assert TiMiRec().history_space(config) == space
    for stage in ("pretrain", "finetune"):
        model = build(stage, history_domains=domains)
        assert model.extractor.item_embedding.embeddings.shape == (items + 1, 8)
        assert model.extractor.position_embedding.embeddings.shape == (LENGTH + 1, 8)
        assert model.num_items == TARGETS
    assert {stage.catalogue for stage in TiMiRec().stages(config)} == {"target"}


def test_parameters_are_those_of_the_published_run():
    # TiMiRec SPEC section 5: ml-1m, 3,707 ids with padding.
    config = TiMiRecConfig(interests=2, layers=2)
    data = MemoryData(sources=1, targets=3705)
    data.max_length = 20
    model = TiMiRec().build("finetune", config, data, seed=0)
    assert model.count_params() == 526_748


def test_learning_rates_by_stage():
    config = dataclasses.replace(SMALL, pretrain_learning_rate=0.5, finetune_learning_rate=0.25)
    rates = [
        float(TiMiRec().optimizers(stage, config)["model"].learning_rate)
        for stage in ("pretrain", "finetune")
    ]
    assert rates == [0.5, 0.25]


def test_weights_start_as_published():
    model = build("finetune", embedding_size=32, layers=2)
    for variable in model.variables:
        values = variable.numpy()
        if variable.name.endswith("gamma:0"):
            assert (values == 1).all()
        elif variable.name.endswith("beta:0"):
            assert (values == 0).all()
        elif "recurrent" in variable.name:
            # Uniform in 1/sqrt(d): its deviation is the bound over sqrt(3).
            assert np.abs(values).max() <= 32**-0.5
            assert values.std() == pytest.approx((32 * 3) ** -0.5, rel=0.2)
        elif values.size > 30:
            assert values.std() == pytest.approx(0.01, rel=0.4)
        else:
            assert 0 < np.abs(values).max() < 0.05


def test_layers_of_equal_shape_start_apart():
    transformer = build("pretrain").extractor.transformer
    first, second = transformer.feed_forward1.kernel, transformer.feed_forward2.kernel
    assert (first.numpy() != second.numpy()).any()


def test_warm_start_copies_the_extractor_and_nothing_else():
    previous, model = build("pretrain"), build("finetune")
    random = np.random.default_rng(0)
    for variable in previous.variables:
        variable.assign(random.normal(size=variable.shape))
    fresh = [variable.numpy() for variable in model.predictor.variables]
    TiMiRec().warm_start(model, previous)
    copied = {variable.name: variable.numpy() for variable in model.extractor.variables}
    assert len(copied) == len(previous.variables)
    for variable in previous.variables:
        np.testing.assert_array_equal(copied[variable.name], variable)
    for variable, start in zip(model.predictor.variables, fresh, strict=True):
        np.testing.assert_array_equal(variable, start)
    # Nothing is frozen.
    assert len(model.trainable_variables) == len(model.variables)


def test_without_transfer_reads_the_target_alone():
    config = dataclasses.replace(SMALL, l2=0.5)
    assert TiMiRec().without_transfer(config) == dataclasses.replace(
        config, history_domains="target"
    )
