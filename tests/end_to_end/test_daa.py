"""DAA through the launchers: training, tables, report, export, resume, what it refuses."""

import json
import re

import numpy as np
import pytest
import tensorflow as tf

from data_pipelines.prepared import dataset
from data_pipelines.prepared.impression_source import ImpressionSource
from launchers import finished_run
from tests.end_to_end import launching
from tests.end_to_end.launching import SMALL_DAA_RUN, SMALL_IMPRESSIONS


@pytest.fixture(scope="module")
def data_dir(impression_data):
    return impression_data


@pytest.fixture(scope="module")
def finished(data_dir, tmp_path_factory):
    """Folder and outcome of a run with everything that follows it; not to be changed."""
    workdir = tmp_path_factory.mktemp("daa") / "run"
    outcome = train(data_dir, workdir, "--compare_no_transfer", "--report", "--export")
    assert outcome.status == 0, outcome.err
    return workdir, outcome


def train(data_dir, workdir, *arguments):
    return launching.call(
        "train", *SMALL_DAA_RUN, f"--data_dir={data_dir}", f"--workdir={workdir}", *arguments
    )


def test_tables_stand_beside_the_source_model_and_the_best_constant(finished):
    workdir, outcome = finished
    metrics = json.loads((workdir / "metrics.json").read_text())
    assert list(metrics["stages"]) == ["source", "adapt"]
    scorers = [(row["task"], row["scorer"]) for row in metrics["tables"]["test"]]
    assert scorers == [
        (task, scorer)
        for task in ("click", "conversion")
        for scorer in ("model", "source model", "constant")
    ]
    assert set(metrics["measurements"]) == {
        f"domain_auc_{name}" for name in ("before", "after", "between_models")
    }
    lines = outcome.out.splitlines()
    (box,) = [place for place, line in enumerate(lines) if line.startswith("╭")]
    verdict = lines[box - 7 : box]  # with the report and the export behind it
    assert any(re.match(r"transfer (helped|HURT|made no).*test AUC 0\.\d{4}", v) for v in verdict)
    assert metrics["transfer"]["metric"] == "AUC"
    losses = json.loads((workdir / "metrics.jsonl").read_text().splitlines()[-1])
    assert losses["critic_loss"] != 0
    assert losses["gradient_penalty"] > 0


def test_no_audit_of_what_ranks_nothing(finished):
    outcome = launching.forked("audit", f"--workdir={finished[0]}")
    assert outcome.status == 1
    assert "daa ranks no items" in outcome.err


def test_the_report_shows_features_and_losses(finished):
    workdir, _ = finished
    page = (workdir / "report" / "index.html").read_text()
    for text in ("domain AUC", "loss terms", "without transfer", ">impressions<", "constant"):
        assert text in page


def test_the_export_answers_by_column_names(finished, data_dir):
    workdir, _ = finished
    data = ImpressionSource(dataset.open_prepared(data_dir))
    batch = next(iter(data.batches("impression", "test", batch_size=16, seed=0, domain="target")))
    named = {
        name: tf.cast(batch["categorical"][:, place], tf.int64)
        for place, name in enumerate(data.categorical_columns)
    }
    for place, name in enumerate(data.numerical_columns):
        named[name] = batch["numerical"][:, place]
    loaded = tf.saved_model.load(str(workdir / "export" / "1"))
    answer = loaded.signatures["serving_default"](**named)
    model = finished_run.load(workdir)[""].model
    expected = model.probabilities(batch["categorical"], batch["numerical"]).numpy()
    np.testing.assert_allclose(answer["click"], expected[:, 0], rtol=1e-5)
    np.testing.assert_allclose(answer["conversion"], expected[:, 1], rtol=1e-5)


def test_a_finished_run_is_not_trained_again(finished, data_dir):
    workdir, _ = finished
    before = (workdir / "metrics.jsonl").read_bytes()
    outcome = train(data_dir, workdir)
    assert "this run is finished" in outcome.out
    assert (workdir / "metrics.jsonl").read_bytes() == before


@pytest.mark.parametrize("adaptation", ["gradient_reversal", "fine_tune"])
def test_other_adaptations_take_the_source_model_over(finished, data_dir, tmp_path, adaptation):
    workdir, _ = finished
    arguments = (f"--pretrained={workdir}", f"--daa.adaptation={adaptation}")
    outcome = train(data_dir, tmp_path / "run", *arguments)
    assert outcome.status == 0, outcome.err
    assert f"source: taken from {workdir}" in outcome.out
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert list(metrics["stages"]) == ["adapt"]


def test_a_source_model_fits_another_target_with_the_same_columns(finished, tmp_path):
    """The domain that was the source is the target here: other data, the same columns."""
    workdir, _ = finished
    other = tmp_path / "other"
    flags = (*SMALL_IMPRESSIONS, "--impression_split.target=source", f"--data_dir={other}")
    converted = launching.call("convert", "--log=impressions", *flags)
    assert converted.status == 0, converted.err
    arguments = (f"--pretrained={workdir}", "--daa.adaptation=fine_tune")
    outcome = train(other, tmp_path / "run", *arguments)
    assert outcome.status == 0, outcome.err
    assert f"source: taken from {workdir}" in outcome.out


@pytest.mark.slow
def test_two_devices_share_the_steps(data_dir, tmp_path):
    workdir = tmp_path / "run"
    where = (
        f"--data_dir={data_dir}",
        f"--workdir={workdir}",
        "--daa.adaptation=gradient_reversal",
    )
    two = ("--strategy=mirrored", "--cpu_devices=2")
    outcome = launching.forked("train", *SMALL_DAA_RUN, *where, *two)
    assert outcome.status == 0, outcome.err
    metrics = json.loads((workdir / "metrics.json").read_text())
    assert 0 < metrics["test"]["AUC"] < 1


def test_alternating_on_two_devices_is_refused_before_anything_is_written(data_dir, tmp_path):
    workdir = tmp_path / "run"
    two = ("--strategy=mirrored", "--cpu_devices=2")
    outcome = launching.forked(
        "train", *SMALL_DAA_RUN, f"--data_dir={data_dir}", f"--workdir={workdir}", *two
    )
    assert outcome.status == 1
    assert "the alternating adaptation runs on one device" in outcome.error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--daa.backbone=magic"], "backbone must be one of singletask"),
        (["--daa.adapt_batch_size=1"], "adapt_batch_size must be at least 2, or batch"),
        (["--daa.backbone=metaheac", "--daa.source_batch_size=6"], "must be a multiple of 4"),
        (["--label_evaluation.monitor=NDCG@10"], "monitor must be one of AUC, click_AUC"),
        (
            ["--compare_no_transfer", "--daa.adaptation=target_only"],
            "transfers nothing already",
        ),
    ],
)
def test_a_bad_flag_is_one_line_before_anything_is_written(data_dir, tmp_path, arguments, message):
    outcome = train(data_dir, tmp_path / "run", *arguments)
    assert outcome.status == 2
    assert message in outcome.error
    assert list(tmp_path.iterdir()) == []


def test_a_source_model_of_another_backbone_is_refused(finished, data_dir, tmp_path):
    workdir, _ = finished
    arguments = (f"--pretrained={workdir}", "--daa.backbone=sharedbottom")
    outcome = train(data_dir, tmp_path / "run", *arguments)
    assert outcome.status == 1
    assert "backbone: mmoe there, sharedbottom now" in outcome.error
    assert list(tmp_path.iterdir()) == []


def test_a_data_set_of_interactions_is_refused(small_data, tmp_path):
    outcome = train(small_data, tmp_path / "run")
    assert outcome.status == 1
    assert "a data set of interactions, but the system reads impressions" in outcome.error
    assert list(tmp_path.iterdir()) == []


def test_one_epoch_on_the_processed_sample(real_data, tmp_path):
    folder = real_data("aliexpress_sample")
    files = {"train": "aliexpress_train_sample.csv", "test": "aliexpress_test_sample.csv"}
    train_csv, test_csv = (folder / files[part] for part in ("train", "test"))
    inputs = f"RU={train_csv}@train,NL={train_csv}@train,NL={test_csv}@test"
    outcome = launching.call(
        "train",
        *SMALL_DAA_RUN,
        "--reader=csv",
        f"--input={inputs}",
        "--impression_split.target=NL",
        "--impression_split.validation_share=0.3",
        "--label_evaluation.monitor=click_AUC",
        "--daa.source_epochs=1",
        "--daa.adapt_epochs=1",
        "--daa.source_batch_size=16",
        "--daa.adapt_batch_size=16",
        f"--workdir={tmp_path / 'run'}",
    )
    assert outcome.status == 0, outcome.err
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    rows = {row["rows"] for row in metrics["tables"]["test"]}
    assert rows == {sum(1 for _ in test_csv.open()) - 1}
