"""Whole runs of a small PeterRec on data in memory: order, figures, resume."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

from tests.tfcdr.memory_data import MemoryData
from tfcdr.errors import RunError
from tfcdr.ranking.held_out_ranks import EvaluationOptions
from tfcdr.runs.experiment import Experiment
from tfcdr.runs.pretrained_run import PretrainedRun
from tfcdr.runs.run_folder import RunFolder
from tfcdr.systems.peterrec.config import PeterRecConfig
from tfcdr.systems.peterrec.system import PeterRec

CONFIG = PeterRecConfig(
    channels=8,
    dilations=(1,),
    sampled_share=0.5,
    pretrain_batch_size=8,
    pretrain_epochs=2,
    pretrain_learning_rate=0.01,
    finetune_batch_size=8,
    finetune_epochs=2,
    finetune_learning_rate=0.01,
)
OPTIONS = EvaluationOptions(ks=(1, 3), monitor="NDCG@3", negatives=4, batch_size=8)


def experiment(
    path, *, config=CONFIG, options=OPTIONS, jit_compile=False, seed=0, data=None, pretrained=None
):
    folder, data = RunFolder(path), data or MemoryData()
    settings = {
        "system": "peterrec",
        "data_fingerprint": data.fingerprint,
        "shared_fingerprint": data.shared_fingerprint,
    }
    folder.claim({**dataclasses.asdict(config), **settings})
    return Experiment(
        system=PeterRec(),
        config=config,
        data=data,
        folder=folder,
        options=options,
        seed=seed,
        jit_compile=jit_compile,
        pretrained=pretrained,
    )


def without_clock(figures):
    """Drops what only the clock decides, at any depth."""
    if isinstance(figures, dict):
        timed = ("seconds", "examples_per_second")
        return {key: without_clock(value) for key, value in figures.items() if key not in timed}
    if isinstance(figures, list):
        return [without_clock(value) for value in figures]
    return figures


def epochs(path):
    return without_clock([json.loads(line) for line in (path / "metrics.jsonl").open()])


class Killed(BaseException):
    pass


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    path = tmp_path_factory.mktemp("finished")
    data = MemoryData()
    run = experiment(path, data=data)
    return path, run, run.run(), data


def test_killed_run_ends_with_the_same_bits(tmp_path, monkeypatch, finished):
    """Killed once behind each epoch but the last: within a stage, between stages."""
    path, whole, expected, _ = finished
    add_epoch, written = RunFolder.add_epoch, []

    def kill_at_next(self, line):
        if len(written) == 1:
            raise Killed
        written.append(line)
        add_epoch(self, line)

    monkeypatch.setattr(RunFolder, "add_epoch", kill_at_next)
    for after in (1, 2, 3):
        written.clear()
        with pytest.raises(Killed):
            experiment(tmp_path).run()
        assert len(epochs(tmp_path)) == after
    monkeypatch.undo()
    resumed = experiment(tmp_path)
    assert without_clock(resumed.run()) == without_clock(expected)
    assert epochs(tmp_path) == epochs(path)
    for left, right in zip(
        resumed.best_model().get_weights(), whole.best_model().get_weights(), strict=True
    ):
        np.testing.assert_array_equal(left, right)


def test_stages_run_in_order_and_leave_their_figures(finished):
    path, _, metrics, _ = finished
    order = [(line["stage"], line["epoch"]) for line in epochs(path)]
    assert order == [("pretrain", 1), ("pretrain", 2), ("finetune", 1), ("finetune", 2)]
    assert json.loads((path / "metrics.json").read_text()) == json.loads(json.dumps(metrics))
    assert set(metrics["stages"]) == {"pretrain", "finetune"}
    for summary in metrics["stages"].values():
        assert summary["epochs"] == 2
        assert 1 <= summary["best_epoch"] <= 2
        assert summary["seconds"] > 0
        assert summary["examples_per_second"] >= 0
    names = {f"{name}@{k}" for name in ("HR", "NDCG", "MRR", "Recall") for k in (1, 3)} | {
        "AUC",
        "MRR",
    }
    assert set(metrics["validation"]) == set(metrics["test"]) == names


def test_validation_of_the_best_epoch_is_what_the_final_evaluation_finds(finished):
    _, _, metrics, _ = finished
    assert metrics["validation"] == pytest.approx(metrics["stages"]["finetune"]["validation"])


def test_tables_hold_protocols_groups_and_bars(finished):
    _, run, metrics, _ = finished
    rows = {(row["protocol"], row["group"], row["scorer"]) for row in metrics["tables"]["test"]}
    assert len(rows) == 2 * 3 * 3
    run.print_tables(metrics)


def test_the_best_model_gives_the_written_figures_again(finished):
    _, run, metrics, _ = finished
    again = run.evaluate(run.best_model())
    for key in ("validation", "test", "tables"):
        assert again[key] == metrics[key]


def test_only_the_ranked_stage_asks_for_candidates(finished):
    asked = {
        (view, split): options.get("candidates") for view, split, options in finished[3].requests
    }
    assert asked["transfer", "test"] == 4
    assert asked["next_item", "validation"] is None
    assert asked["transfer", "train"] is None


def test_finetuning_starts_from_the_best_pretrained_trunk(finished):
    _, run, _, _ = finished
    pretraining = run._model_of(run._stages[0], run._folder)
    # The item table is frozen while fine-tuning.
    np.testing.assert_array_equal(
        run.best_model().trunk.item_embedding.embeddings,
        pretraining.trunk.item_embedding.embeddings,
    )


def test_sampled_protocol_selects_by_sampled_ranks(tmp_path):
    options = dataclasses.replace(OPTIONS, protocol="sampled")
    config = dataclasses.replace(CONFIG, adaptation="from_scratch", finetune_epochs=1)
    metrics = experiment(tmp_path, config=config, options=options).run()
    (row,) = [
        row
        for row in metrics["tables"]["test"]
        if (row["protocol"], row["group"], row["scorer"]) == ("sampled", "all", "model")
    ]
    assert {name: row[name] for name in metrics["test"]} == metrics["test"]
    assert list(metrics["stages"]) == ["finetune"]
    assert metrics["stages"]["finetune"]["validation"] == pytest.approx(metrics["validation"])


def test_no_negatives_leave_the_sampled_protocol_out(tmp_path):
    options = dataclasses.replace(OPTIONS, negatives=0)
    config = dataclasses.replace(CONFIG, stages="pretrain", causal=False, pretrain_epochs=1)
    metrics = experiment(tmp_path, config=config, options=options).run()
    assert {row["protocol"] for row in metrics["tables"]["test"]} == {"full"}


def test_seed_decides_the_outcome(tmp_path, finished):
    """That the same seed gives the same bits, the killed runs show."""
    other = experiment(tmp_path, seed=1)
    other.run()
    for stage in (0, 1):
        models = [run._model_of(run._stages[stage], run._folder) for run in (finished[1], other)]
        first, second = (model.get_weights() for model in models)
        assert not all(map(np.array_equal, first, second))


def test_a_lengthened_run_is_as_if_it_had_been_asked_for_so_much(tmp_path, finished):
    shutil.copytree(finished[0], tmp_path / "longer")
    config = dataclasses.replace(CONFIG, finetune_epochs=4)
    folder = RunFolder(tmp_path / "longer")
    folder.lengthen({**folder.config(), **dataclasses.asdict(config)})
    assert folder.metrics() is None
    longer = experiment(tmp_path / "longer", config=config).run()
    whole = experiment(tmp_path / "whole", config=config).run()
    assert without_clock(longer) == without_clock(whole)
    assert epochs(tmp_path / "longer") == epochs(tmp_path / "whole")


def test_takes_earlier_stages_over_from_a_pretrained_run(tmp_path, finished):
    path, _, expected, _ = finished
    last = experiment(tmp_path, pretrained=PretrainedRun(RunFolder(path, writable=False)))
    last.check_data()
    metrics = last.run()
    assert list(metrics["stages"]) == ["finetune"]
    assert without_clock(metrics["tables"]) == without_clock(expected["tables"])
    assert {line["stage"] for line in epochs(tmp_path)} == {"finetune"}


def test_a_pretrained_run_may_be_of_another_target(tmp_path, finished):
    of_other_target = MemoryData()
    of_other_target.fingerprint = "another target"
    pretrained = PretrainedRun(RunFolder(finished[0], writable=False))
    last = experiment(tmp_path, data=of_other_target, pretrained=pretrained)
    last.check_data()
    _, stages = last.train()
    assert list(stages) == ["finetune"]


def test_a_run_of_one_stage_takes_none_over(tmp_path):
    experiment(tmp_path / "whole")
    pretrained = PretrainedRun(RunFolder(tmp_path / "whole", writable=False))
    config = dataclasses.replace(CONFIG, adaptation="from_scratch")
    run = experiment(tmp_path / "run", pretrained=pretrained, config=config)
    with pytest.raises(RunError, match="finetune alone"):
        run.check_data()


def test_a_pretrained_run_without_a_checkpoint_is_refused(tmp_path):
    experiment(tmp_path / "whole")
    pretrained = PretrainedRun(RunFolder(tmp_path / "whole", writable=False))
    with pytest.raises(RunError, match="no checkpoint of stage pretrain; train first"):
        experiment(tmp_path / "run", pretrained=pretrained).run()
