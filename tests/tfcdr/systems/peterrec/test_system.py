"""PeterRec as a system: its stages, what each reads, and what one takes over from the other."""

import dataclasses

import numpy as np
import pytest

from tests.tfcdr.memory_data import LENGTH, ROWS, TARGETS, MemoryData
from tfcdr.errors import RunError
from tfcdr.systems.peterrec.config import PeterRecConfig
from tfcdr.systems.peterrec.system import PeterRec
from tfcdr.systems.registry import SYSTEMS

SMALL = PeterRecConfig(channels=8, dilations=(1, 2), position_embedding=True)


def stages(**fields):
    return {stage.name: stage for stage in PeterRec().stages(dataclasses.replace(SMALL, **fields))}


def test_is_registered_under_its_name():
    assert isinstance(SYSTEMS["peterrec"], PeterRec)
    assert SYSTEMS["peterrec"].config_class is PeterRecConfig


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({}, ["pretrain", "finetune"]),
        ({"adaptation": "fine_tune_all"}, ["pretrain", "finetune"]),
        ({"adaptation": "last_layer"}, ["pretrain", "finetune"]),
        ({"adaptation": "from_scratch"}, ["finetune"]),
        ({"adaptation": "no_pretraining"}, ["finetune"]),
        ({"stages": "pretrain"}, ["pretrain"]),
    ],
)
def test_stages_by_adaptation(fields, names):
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
    assert not pretrain.has_candidates
    assert finetune.has_candidates


@pytest.mark.parametrize(
    ("causal", "view", "cls"), [(True, "next_item", "last"), (False, "masked_item", "both")]
)
def test_views_by_direction(causal, view, cls):
    both = stages(causal=causal)
    for request in (both["pretrain"].training, both["pretrain"].evaluation):
        assert request.view == view
    for request in (both["finetune"].training, both["finetune"].evaluation):
        assert (request.view, request.options["cls"]) == ("transfer", cls)


def test_views_get_what_the_configuration_says():
    options = stages(
        negatives=4, negative_sampler="lambdafm", lambdafm_rho=0.7, negatives_exclude="positive"
    )["finetune"].training.options
    assert options == {
        "cls": "last",
        "negatives": 4,
        "sampler": "lambdafm",
        "lambdafm_rho": 0.7,
        "negatives_exclude": "positive",
    }
    masked = stages(causal=False, mask_share=0.5, max_masked=2)["pretrain"].training.options
    assert masked == {"mask_share": 0.5, "max_masked": 2}


def build(stage, config=SMALL, data=None):
    return PeterRec().build(stage, config, data or MemoryData(), seed=0)


def test_tables_fit_the_vocabularies():
    pretraining, finetuning = build("pretrain"), build("finetune")
    assert pretraining.trunk.item_embedding.embeddings.shape == (ROWS, 8)
    assert finetuning.target_embedding.shape == (TARGETS + 1, 8)
    assert finetuning.trunk.position_embedding.embeddings.shape == (LENGTH + 2, 8)


def test_a_catalogue_too_small_to_sample_is_one_line():
    with pytest.raises(RunError, match="full softmax") as raised:
        build("pretrain", data=MemoryData(sources=4))  # int(0.2 * 4) = 0
    assert "\n" not in str(raised.value)


def test_learning_rates_by_stage():
    config = dataclasses.replace(SMALL, pretrain_learning_rate=0.5, finetune_learning_rate=0.25)
    rates = [
        float(PeterRec().optimizers(stage, config)["model"].learning_rate)
        for stage in ("pretrain", "finetune")
    ]
    assert rates == [0.5, 0.25]


def test_catalogues_by_stage():
    assert [stage.catalogue for stage in PeterRec().stages(PeterRecConfig())] == [
        "source",
        "target",
    ]


@pytest.mark.parametrize("adaptation", ["adapters", "fine_tune_all", "last_layer"])
@pytest.mark.parametrize("insertion", ["serial", "parallel", "serial_single"])
def test_warm_start_copies_the_trunk_and_nothing_else(adaptation, insertion):
    config = dataclasses.replace(SMALL, adaptation=adaptation, insertion=insertion)
    previous, model = build("pretrain", config), build("finetune", config)
    random = np.random.default_rng(0)
    for variable in previous.variables:
        variable.assign(random.normal(size=variable.shape))
    fresh = {variable.ref(): variable.numpy() for variable in model.variables}
    PeterRec().warm_start(model, previous)
    copied = set()
    pairs = zip(model.trunk.pretrained_layers, previous.trunk.pretrained_layers, strict=True)
    for layer, pretrained in pairs:
        for variable, source in zip(layer.weights, pretrained.weights, strict=True):
            np.testing.assert_array_equal(variable, source)
            copied.add(variable.ref())
    # All but the target table and the adapters: a table of items, one of positions, and for each
    # of two blocks two convolutions and two norms of two weights.
    assert len(copied) == 2 + 2 * 4 * 2
    for variable in model.variables:
        if variable.ref() not in copied:
            np.testing.assert_array_equal(variable, fresh[variable.ref()])


def test_without_transfer_the_same_network_reads_the_target_alone():
    config = dataclasses.replace(SMALL, l2=0.5, history_domains="all", own_share=0.5)
    baseline = PeterRec().without_transfer(config)
    assert baseline == dataclasses.replace(
        config, adaptation="from_scratch", history_domains="target", own_share=0.0
    )
    (stage,) = PeterRec().stages(baseline)
    for request in (stage.training, stage.evaluation):
        assert request.view == "leave_one_out"
        assert request.options["history_domains"] == "target"


def test_what_pre_training_adds_is_measured_beside_the_same_histories():
    config = dataclasses.replace(SMALL, l2=0.5)
    scratch = dataclasses.replace(config, adaptation="from_scratch")
    assert PeterRec().ablations(config) == {"pre-training": scratch}
    assert PeterRec().ablations(scratch) == {}


def test_what_reads_the_target_alone_is_not_pre_trained():
    with pytest.raises(ValueError, match="history_domains=target is not pre-trained"):
        dataclasses.replace(SMALL, history_domains="target")
