"""Stages, how they start from each other, whole runs on data in memory."""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf

from tests.tfcdr.systems.daa.memory_impressions import MemoryImpressions
from tests.tfcdr.systems.daa.small import config
from tfcdr.data_source import DomainPairs
from tfcdr.distribution.one_device import Distribution
from tfcdr.errors import RunError
from tfcdr.label_prediction.evaluator import LabelEvaluationOptions
from tfcdr.runs.experiment import Experiment
from tfcdr.runs.pretrained_run import PretrainedRun
from tfcdr.runs.run_folder import RunFolder
from tfcdr.systems.daa.adaptation import AlternatingModel, ReversalModel
from tfcdr.systems.daa.system import Daa
from tfcdr.systems.daa.task_model import MetaTaskModel, TaskModel

SYSTEM = Daa()
SMALL = {
    "source_batch_size": 16,
    "adapt_batch_size": 16,
    "source_epochs": 2,
    "adapt_epochs": 2,
    "critic_steps": 2,
    "source_learning_rate": 1e-2,
}


def experiment(path, *, data=None, jit_compile=False, pretrained=None, **fields):
    settings, data = config(**{**SMALL, **fields}), data or MemoryImpressions()
    folder = RunFolder(path)
    about = {"system": "daa", "data_fingerprint": data.fingerprint}
    about["shared_fingerprint"] = data.shared_fingerprint
    folder.claim({"config": dataclasses.asdict(settings), **about})
    options = LabelEvaluationOptions(batch_size=32)
    return Experiment(
        system=SYSTEM,
        config=settings,
        data=data,
        folder=folder,
        options=options,
        seed=0,
        jit_compile=jit_compile,
        pretrained=pretrained,
    )


@pytest.mark.parametrize(
    ("adaptation", "kind", "names"),
    [
        ("alternating", AlternatingModel, ["source", "adapt"]),
        ("gradient_reversal", ReversalModel, ["source", "adapt"]),
        ("fine_tune", TaskModel, ["source", "adapt"]),
        ("target_only", TaskModel, ["adapt"]),
    ],
)
def test_stages_and_models(adaptation, kind, names):
    chosen = config(adaptation=adaptation)
    stages = SYSTEM.stages(chosen)
    assert [stage.name for stage in stages] == names
    assert isinstance(stages[-1].training, DomainPairs) == (kind not in (TaskModel,))
    assert isinstance(SYSTEM.build("adapt", chosen, MemoryImpressions(), 0), kind)


def test_metaheac_trains_by_its_meta_step():
    chosen = config(backbone="metaheac", source_batch_size=16, adapt_batch_size=16)
    assert isinstance(SYSTEM.build("source", chosen, MemoryImpressions(), 0), MetaTaskModel)


@pytest.mark.parametrize("adaptation", ["alternating", "fine_tune"])
def test_adapting_starts_from_the_source_model(adaptation):
    chosen, data = config(adaptation=adaptation), MemoryImpressions()
    source = SYSTEM.build("source", chosen, data, 0)
    source.network.bottom.norms[0].running_mean.assign_add([1.0] * 6)
    adapted = SYSTEM.build("adapt", chosen, data, 0)
    SYSTEM.warm_start(adapted, source)
    rows = data.columns("target")
    columns = rows["categorical"], rows["numerical"]
    np.testing.assert_array_equal(adapted.probabilities(*columns), source.probabilities(*columns))


def test_a_random_start_has_the_source_stage_settings():
    rates = {
        adaptation: float(
            SYSTEM.optimizers("adapt", config(adaptation=adaptation))["model"].learning_rate
        )
        for adaptation in ("fine_tune", "target_only")
    }
    assert rates == {"fine_tune": pytest.approx(1e-4), "target_only": pytest.approx(1e-3)}


def test_without_transfer_trains_on_the_target_alone():
    assert SYSTEM.without_transfer(config()).adaptation == "target_only"


@pytest.mark.parametrize(
    ("backbone", "adaptation"),
    [
        # The two ways of a task's training, and the networks that differ most; the others' steps
        # have tests of their own.
        ("sharedbottom", "alternating"),
        ("aitm", "alternating"),
        ("metaheac", "alternating"),
        ("mmoe", "gradient_reversal"),
        ("metaheac", "target_only"),
    ],
)
def test_a_run_trains_evaluates_and_measures(tmp_path, backbone, adaptation):
    run = experiment(tmp_path, backbone=backbone, adaptation=adaptation)
    run.check_data()
    metrics = run.run()
    assert list(metrics["stages"])[-1] == "adapt"
    assert 0 <= metrics["test"]["AUC"] <= 1
    scorers = {row["scorer"] for row in metrics["tables"]["test"]}
    assert ("source model" in scorers) == (adaptation != "target_only")
    assert json.loads((tmp_path / "metrics.json").read_text())["test"] == metrics["test"]


def test_the_source_model_in_the_table_is_the_one_that_was_trained(tmp_path):
    run = experiment(tmp_path)
    metrics = run.run()
    source = SYSTEM.build("source", config(**SMALL), MemoryImpressions(), 0)
    restored = run._model_of(SYSTEM.stages(config(**SMALL))[0], RunFolder(tmp_path))
    rows = MemoryImpressions().columns("target")
    columns = rows["categorical"], rows["numerical"]
    adapted = run.best_model()
    np.testing.assert_allclose(
        restored.probabilities(*columns),
        np.asarray(1 / (1 + np.exp(-adapted.source_network(*columns).logits))),
        rtol=1e-5,
    )
    assert not np.allclose(source.probabilities(*columns), restored.probabilities(*columns))
    assert metrics["stages"]["source"]["epochs"] == 2


def test_transfer_gain_compares_finished_runs(tmp_path):
    run = experiment(tmp_path / "run", adaptation="fine_tune")
    alone = experiment(tmp_path / "alone", adaptation="target_only")
    run.run(), alone.run()
    gain = run.transfer_gains(alone)["all"]
    assert gain.metric == "AUC"
    assert gain.low <= gain.gain <= gain.high


@pytest.mark.parametrize(("gpus", "gains"), [([], False), (["a GPU"], True)])
def test_xla_is_for_gpus(gpus, gains, monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: gpus)
    assert SYSTEM.gains_from_xla() is gains


def test_alternating_needs_one_device():
    several = Distribution()
    several.num_replicas = 2
    data = MemoryImpressions()
    SYSTEM.check(config(adaptation="gradient_reversal"), data, several)
    with pytest.raises(RunError, match="alternating adaptation runs on one device"):
        SYSTEM.check(config(), data, several)
    with pytest.raises(
        RunError,
        match=r"--daa\.adapt_batch_size must be a multiple of 8, at least 16.*Received: 12",
    ):
        meta = {"backbone": "metaheac", "adaptation": "fine_tune", "adapt_batch_size": 12}
        SYSTEM.check(config(**meta), data, several)


def test_a_source_run_of_another_backbone_is_refused(tmp_path):
    experiment(tmp_path / "source", backbone="mmoe").run()
    run = experiment(
        tmp_path / "run",
        backbone="sharedbottom",
        pretrained=PretrainedRun(RunFolder(tmp_path / "source")),
    )
    with pytest.raises(RunError, match="backbone: mmoe there, sharedbottom now"):
        run.check_data()


def test_epochs_without_a_step_of_the_model_are_refused(tmp_path):
    with pytest.raises(RunError, match=r"4 batches of 16 rows, fewer than --daa\.critic_steps=5"):
        experiment(tmp_path, critic_steps=5).check_data()


def test_a_table_that_is_too_great_names_the_column():
    class Stray(MemoryImpressions):
        field_sizes = (3, 2**31)

    with pytest.raises(RunError, match="column c1 has values up to 2,147,483,647"):
        SYSTEM.build("source", config(), Stray(), seed=0)


def test_pairs_cycle_the_shorter_source():
    pairs = SYSTEM.stages(config())[1].training
    batches = list(
        pairs.batches(MemoryImpressions(source=16), "train", 8, seed=0, epoch=0).as_numpy_iterator()
    )
    assert len(batches) == 8
    source = np.concatenate([batch["source_numerical"] for batch in batches])
    # Four passes over the sixteen rows, in four orders.
    passes = source.reshape(4, 16, -1)
    for one in passes[1:]:
        assert not np.array_equal(one, passes[0])
        np.testing.assert_array_equal(np.sort(one, 0), np.sort(passes[0], 0))
