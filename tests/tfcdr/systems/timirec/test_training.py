"""Whole runs of both stages: traces, half precision, and what each domain setting reads."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tests.tfcdr.memory_data import MemoryData
from tfcdr.errors import RunError
from tfcdr.ranking.evaluator import RankingEvaluator
from tfcdr.ranking.held_out_ranks import EvaluationOptions
from tfcdr.runs.experiment import Experiment
from tfcdr.runs.pretrained_run import PretrainedRun
from tfcdr.runs.run_folder import RunFolder
from tfcdr.systems.timirec.config import TiMiRecConfig
from tfcdr.systems.timirec.model import InterestModel, PretrainingModel
from tfcdr.systems.timirec.system import TiMiRec

CONFIG = TiMiRecConfig(
    embedding_size=8,
    attention_size=4,
    layers=2,
    pretrain_batch_size=8,  # of 22 users: the last batch is short
    finetune_batch_size=8,
    pretrain_epochs=2,
    finetune_epochs=2,
)
OPTIONS = EvaluationOptions(
    protocol="sampled", ks=(1, 5), negatives=4, batch_size=8, monitor="NDCG@5"
)


def run(folder, config=CONFIG, jit_compile=False, mixed_precision=False, pretrained=None, seed=0):
    run_folder = RunFolder(folder)
    run_folder.claim({"system": "timirec", "data_fingerprint": MemoryData.fingerprint})
    experiment = Experiment(
        system=TiMiRec(),
        config=config,
        data=MemoryData(),
        folder=run_folder,
        options=OPTIONS,
        seed=seed,
        jit_compile=jit_compile,
        mixed_precision=mixed_precision,
        pretrained=pretrained,
    )
    return experiment, experiment.run()


def test_nothing_is_compiled_after_the_first_epoch(tmp_path, jit_compile, monkeypatch):
    traces = []
    compute = InterestModel.loss_and_gradients

    def counting(self, *arguments):
        traces.append(self.name)
        return compute(self, *arguments)

    monkeypatch.setattr(InterestModel, "loss_and_gradients", counting)
    epochs = []
    remember = RunFolder.add_epoch

    def noting(self, line):
        epochs.append((line["stage"], line["epoch"], len(traces)))
        remember(self, line)

    monkeypatch.setattr(RunFolder, "add_epoch", noting)
    run(tmp_path, jit_compile=jit_compile)
    for stage in ("pretrain", "finetune"):
        counts = [count for name, _, count in epochs if name == stage]
        assert len(counts) == 2
        assert len(set(counts)) == 1  # none after the first epoch, the short last batch included
    assert epochs[0][2] > 0
    assert epochs[-1][2] > epochs[0][2]


@pytest.mark.parametrize("history_domains", ["all", "target"])
def test_both_history_settings_train_and_are_ranked(tmp_path, history_domains):
    config = dataclasses.replace(
        CONFIG, history_domains=history_domains, pretrain_epochs=1, finetune_epochs=1
    )
    _, metrics = run(tmp_path, config)
    assert set(metrics["stages"]) == {"pretrain", "finetune"}
    assert 0 <= metrics["test"]["NDCG@5"] <= 1


def test_half_precision_changes_losses_by_rounding(tmp_path):
    losses = {}
    for mixed in (True, False):
        experiment, _ = run(tmp_path / str(mixed), mixed_precision=mixed)
        folder = RunFolder(tmp_path / str(mixed))
        losses[mixed] = [
            epoch["loss"] for stage in ("pretrain", "finetune") for epoch in folder.epochs(stage)
        ]
        model = experiment.best_model()
        history = tf.constant([[0, 0, 1, 2, 3], [0, 0, 0, 0, 0]])
        assert model.encode_history(history).dtype == tf.float32
        assert np.isfinite(model.encode_history(history)).all()
        assert {weight.dtype for weight in model.variables} == {tf.float32}
        hidden = model.extractor.extract(history).hidden
        assert hidden.dtype == (tf.float16 if mixed else tf.float32)
    assert losses[True] == pytest.approx(losses[False], rel=2e-2)
    assert losses[True] != losses[False]


def test_finetuning_needs_a_pretrained_extractor_unless_told_otherwise(tmp_path, monkeypatch):
    starts = []
    warm_start = TiMiRec.warm_start

    def noting(self, model, previous):
        warm_start(self, model, previous)
        starts.append([weight.numpy() for weight in model.extractor.weights])

    monkeypatch.setattr(TiMiRec, "warm_start", noting)
    run_folder = RunFolder(tmp_path / "first")
    run_folder.claim({"system": "timirec", "data_fingerprint": MemoryData.fingerprint})
    with pytest.raises(RunError, match="no checkpoint of stage pretrain; train first"):
        run(
            tmp_path / "refused",
            pretrained=PretrainedRun(RunFolder(tmp_path / "first", writable=False)),
        )
    assert RunFolder(tmp_path / "refused").epochs("finetune") == []

    _, metrics = run(tmp_path / "scratch", dataclasses.replace(CONFIG, from_scratch=True))
    assert set(metrics["stages"]) == {"finetune"}
    assert starts == []

    # An extractor alone is enough.
    extractor, _ = run(tmp_path / "extractor", dataclasses.replace(CONFIG, stages="pretrain"))
    _, metrics = run(
        tmp_path / "second",
        pretrained=PretrainedRun(RunFolder(tmp_path / "extractor", writable=False)),
    )
    assert set(metrics["stages"]) == {"finetune"}
    (start,) = starts
    for weight, taken in zip(extractor.best_model().extractor.weights, start, strict=True):
        np.testing.assert_array_equal(weight, taken)


def test_a_validation_without_histories_says_so(tmp_path):
    class WithoutHistories(MemoryData):
        def batches(self, view, split, **others):
            batches = super().batches(view, split, **others)
            if split == "train":
                return batches
            nothing = ("history", "example_weight")
            return batches.map(lambda b: {**b, **{k: tf.zeros_like(b[k]) for k in nothing}})

    folder = RunFolder(tmp_path)
    folder.claim({"system": "timirec"})
    experiment = Experiment(
        system=TiMiRec(),
        config=CONFIG,
        data=WithoutHistories(),
        folder=folder,
        options=OPTIONS,
        seed=0,
        jit_compile=False,
    )
    with pytest.raises(RunError, match="stage pretrain: no validation user has a history"):
        experiment.run()


def test_a_first_stage_that_validates_better_is_kept(tmp_path, monkeypatch, capsys):
    validate = RankingEvaluator.validation

    def worse_behind_fine_tuning(self, stage, model):
        figures = validate(self, stage, model)
        return {**figures, "NDCG@5": -1.0} if stage.name == "finetune" else figures

    monkeypatch.setattr(RankingEvaluator, "validation", worse_behind_fine_tuning)
    experiment, metrics = run(tmp_path)
    assert metrics["served_stage"] == "pretrain"
    assert "the run keeps the model of pretrain" in capsys.readouterr().out
    model = experiment.best_model()
    assert isinstance(model, PretrainingModel)
    scores = experiment.evaluate(model)
    assert scores["test"] == metrics["test"]


def test_a_blend_is_a_last_stage_that_a_killed_run_finishes(tmp_path):
    config = dataclasses.replace(
        CONFIG,
        stages="pretrain",
        pretrain_epochs=1,
        history_domains="target",
        blend_neighbours="both",
    )
    whole, metrics = run(tmp_path / "whole", config)
    assert set(metrics["stages"]) == {"pretrain", "blend"}
    lines = RunFolder(tmp_path / "whole").epochs("blend")
    scores = [line["validation"]["NDCG@5"] for line in lines]
    # Strength 0 is among them: the blend validates no worse than what it blends.
    trained = RunFolder(tmp_path / "whole").epochs("pretrain")[-1]["validation"]["NDCG@5"]
    assert trained in scores and max(scores) >= trained
    assert metrics["validation"]["NDCG@5"] == max(scores)
    blend = whole.best_model()
    pretrained, _ = run(
        tmp_path / "pretrained", dataclasses.replace(config, blend_neighbours="none")
    )
    for ours, theirs in zip(
        blend.model.get_weights(), pretrained.best_model().get_weights(), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)

    # Taken over from the run without it, and killed behind an epoch of its own.
    folder = tmp_path / "killed"
    taken = PretrainedRun(RunFolder(tmp_path / "pretrained", writable=False))

    class Killed(Exception):
        pass

    remember = RunFolder.add_epoch

    def dying(self, line):
        remember(self, line)
        if line["stage"] == "blend" and line["epoch"] == 9:
            raise Killed

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        patch.setattr(RunFolder, "add_epoch", dying)
        run(folder, config, pretrained=taken)
    _, resumed = run(folder, config, pretrained=taken)
    assert resumed["test"] == metrics["test"]
    assert [line["figures"] for line in RunFolder(folder).epochs("blend")] == [
        line["figures"] for line in lines
    ]

    # A model that the run itself has not kept is not blended.
    found = RunFolder(tmp_path / "pretrained")
    found.finish({**found.metrics(), "served_stage": "another"})
    with pytest.raises(RunError, match="has kept its model of another"):
        run(tmp_path / "rejected", config, pretrained=taken)


def test_a_blend_takes_the_models_of_several_seeds(tmp_path):
    alone = dataclasses.replace(
        CONFIG, stages="pretrain", pretrain_epochs=1, history_domains="target"
    )
    config = dataclasses.replace(alone, blend_neighbours="cosine", ensemble_members=2)
    with pytest.raises(RunError, match="stage blend takes the models of 2 seeds, trained before"):
        run(tmp_path / "nothing", config)
    trained = [run(tmp_path / f"{seed}", alone, seed=seed) for seed in (0, 1)]
    first, second = (RunFolder(tmp_path / name, writable=False) for name in "01")
    taken = PretrainedRun(first, other_seeds=(second,))
    whole, metrics = run(tmp_path / "whole", config, pretrained=taken)
    blend = whole.best_model()
    for member, (experiment, _) in zip(blend.model.members, trained, strict=True):
        for ours, theirs in zip(
            member.get_weights(), experiment.best_model().get_weights(), strict=True
        ):
            np.testing.assert_array_equal(ours, theirs)
    assert whole.evaluate(blend)["test"] == metrics["test"]
    with pytest.raises(RunError, match="no fair comparison"):
        TiMiRec().without_transfer(config)
    # A seed whose run has kept another model cannot be blended.
    second = RunFolder(second.path)
    second.finish({**second.metrics(), "served_stage": "another"})
    with pytest.raises(RunError, match="1: the run has kept its model of another"):
        run(tmp_path / "rejected", config, pretrained=taken)


def test_kinds_of_event_weigh_where_neighbours_are_blended():
    assert not TiMiRec().weighs_events(CONFIG)
    assert TiMiRec().weighs_events(dataclasses.replace(CONFIG, blend_neighbours="cosine"))
