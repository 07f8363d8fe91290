"""What a run leaves in its folder, and that the folder belongs to one configuration."""

import json
import shutil

import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from data_pipelines.prepared.dataset import open_prepared
from data_pipelines.prepared.reading import reopen
from tests.end_to_end import launching

STAGES = ("pretrain", "finetune")
KS = (1, 5, 10, 20)
METRICS = {f"{name}@{k}" for name in ("HR", "NDCG", "MRR", "Recall") for k in KS} | {"MRR", "AUC"}


@pytest.fixture(scope="module")
def workdir(finished):
    return finished[0]


@pytest.fixture(scope="module")
def metrics(workdir):
    return json.loads((workdir / "metrics.json").read_text())


@pytest.fixture(scope="module")
def epochs(workdir):
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def test_folder_holds_what_the_design_says(workdir):
    names = {path.name for path in workdir.iterdir()}
    assert names == {"config.json", "metrics.json", "metrics.jsonl", "checkpoints", "tensorboard"}


def test_config_holds_every_setting(workdir, small_data):
    config = json.loads((workdir / "config.json").read_text())
    assert config["system"] == "peterrec"
    assert config["config"]["channels"] == 16
    assert config["config"]["cardinality"] == 1  # A default.
    assert config["evaluation"]["negatives"] == 20
    assert (config["seed"], config["deterministic"], config["jit_compile"]) == (0, True, True)
    reading = config["reading"]
    assert (reading["target"], reading["sources"]) == ("target", ["source"])
    assert reading["examples"]["cold_share"] == 0.1
    source = reopen(open_prepared(small_data), reading)
    assert config["data_fingerprint"] == source.fingerprint
    assert config["shared_fingerprint"] == source.shared_fingerprint
    assert config["data_dir"] == str(small_data)
    assert {"python", "tensorflow", "tf-keras", "tfcdr"} <= config["versions"].keys()


def test_a_line_for_each_epoch(epochs):
    assert [(line["stage"], line["epoch"]) for line in epochs] == [
        (stage, epoch) for stage in STAGES for epoch in (1, 2, 3)
    ]
    for line in epochs:
        assert line["loss"] > 0
        assert line["seconds"] > 0
        assert line["examples_per_second"] > 0
        assert line["validation"].keys() == METRICS


def test_final_metrics(metrics, epochs):
    assert metrics.keys() == {"stages", "validation", "test", "tables", "bars"}
    for split in ("validation", "test"):
        assert metrics[split].keys() == METRICS
        assert all(0 <= value <= 1 for value in metrics[split].values())
        assert metrics[split]["HR@1"] <= metrics[split]["HR@5"] <= metrics[split]["HR@20"]
    for stage in STAGES:
        trained = metrics["stages"][stage]
        of_stage = [line for line in epochs if line["stage"] == stage]
        best = max(of_stage, key=lambda line: line["validation"]["NDCG@10"])
        assert trained["epochs"] == 3
        assert trained["best_epoch"] == best["epoch"]
        assert trained["validation"] == best["validation"]
        assert trained["seconds"] == pytest.approx(sum(line["seconds"] for line in of_stage), 0.01)
        assert trained["examples_per_second"] > 0
    # The best epoch is what is evaluated in the end.
    assert metrics["validation"] == pytest.approx(metrics["stages"]["finetune"]["validation"])


@pytest.mark.parametrize("split", ["validation", "test"])
def test_tables_compare_with_most_popular_for_cold_and_warm_users(metrics, split):
    rows = metrics["tables"][split]
    assert [(row["protocol"], row["group"], row["scorer"]) for row in rows] == [
        (protocol, users, scorer)
        for protocol in ("full", "sampled")
        for users in ("all", "cold", "warm")
        for scorer in ("model", "most popular", "item neighbours")
    ]
    by_group = {(row["protocol"], row["group"]): row for row in rows if row["scorer"] == "model"}
    for protocol in ("full", "sampled"):
        everyone, cold, warm = (by_group[protocol, users] for users in ("all", "cold", "warm"))
        assert everyone["interactions"] == cold["interactions"] + warm["interactions"]
        assert everyone["HR@10"] * everyone["interactions"] == pytest.approx(
            cold["HR@10"] * cold["interactions"] + warm["HR@10"] * warm["interactions"]
        )
    assert {name: by_group["full", "all"][name] for name in METRICS} == metrics[split]


def test_checkpoints_are_best_and_latest(workdir, metrics):
    for stage in STAGES:
        for kind, epoch in (("latest", 3), ("best", metrics["stages"][stage]["best_epoch"])):
            indices = (workdir / "checkpoints" / stage / kind).glob("*.index")
            assert [path.name for path in indices] == [f"ckpt-{epoch}.index"]
    assert (
        launching.checkpoint(workdir, "finetune", "latest")["epoch/.ATTRIBUTES/VARIABLE_VALUE"] == 3
    )


def test_tensorboard_shows_loss_and_metrics_of_each_epoch(workdir, epochs):
    for stage in STAGES:
        events = EventAccumulator(str(workdir / "tensorboard" / stage), {"tensors": 0}).Reload()
        tags = events.Tags()["tensors"]
        assert METRICS | {"loss"} <= set(tags)
        of_stage = [line for line in epochs if line["stage"] == stage]
        for tag, values in (
            ("loss", [line["loss"] for line in of_stage]),
            ("NDCG@10", [line["validation"]["NDCG@10"] for line in of_stage]),
        ):
            written = events.Tensors(tag)
            assert [event.step for event in written] == [1, 2, 3]
            shown = [float(tf.make_ndarray(event.tensor_proto)) for event in written]
            assert shown == pytest.approx(values, rel=1e-6)


def test_terminal_shows_data_parameters_progress_and_tables(finished):
    _, outcome = finished
    for text in (
        "target (target)",  # The data's summary.
        "stage 1 of 2, pretrain: ",
        "trainable parameters, 0 frozen",
        "finetune epoch 3/3: NDCG@10 ",
        "finetune: best epoch ",
        "\nvalidation\n",
        "\ntest\n",
        "most popular",
        " item neighbours: test NDCG@10 ",
    ):
        assert text in outcome.out
    # Nothing of TensorFlow's own, and no bar where there is no terminal.
    assert outcome.err == ""


def test_a_finished_run_says_so_and_does_nothing(workdir, reproducible):
    before = launching.files(workdir)
    outcome = launching.forked("train", *reproducible, f"--workdir={workdir}")
    assert outcome.status == 0
    assert f"{workdir}: this run is finished; nothing to do." in outcome.out
    assert "epoch" not in outcome.out
    assert launching.files(workdir) == before


@pytest.mark.parametrize(
    ("flag", "setting"),
    [
        ("--peterrec.channels=32", "config.channels: 16 there, 32 now"),
        ("--evaluation.ks=5,10", "evaluation.ks: [1, 5, 10, 20] there, [5, 10] now"),
        ("--seed=1", "seed: 0 there, 1 now"),
        ("--nojit_compile", "jit_compile: True there, False now"),
    ],
)
def test_a_folder_of_another_configuration_is_refused(workdir, reproducible, flag, setting):
    flags = [flag for flag in reproducible if flag != "--deterministic"]
    before = launching.files(workdir)
    outcome = launching.call("train", *flags, f"--workdir={workdir}", flag)
    assert outcome.status == 1
    assert setting in outcome.error
    assert "give another --workdir" in outcome.error
    assert launching.files(workdir) == before


def test_a_folder_of_other_data_is_refused(workdir, reproducible, small_data, tmp_path):
    other = shutil.copytree(small_data, tmp_path / "data")
    metadata = json.loads((other / "prepared.json").read_text())
    metadata["fingerprint"] = "0" * 64
    (other / "prepared.json").write_text(json.dumps(metadata))
    flags = [flag for flag in reproducible if flag != "--deterministic"]
    outcome = launching.call("train", *flags, f"--workdir={workdir}", f"--data_dir={other}")
    assert outcome.status == 1
    assert "data_fingerprint" in outcome.error
    evaluated = launching.forked("evaluate", f"--workdir={workdir}", f"--data_dir={other}")
    assert evaluated.status == 1
    assert f"{other}: not the data that the run" in evaluated.error
