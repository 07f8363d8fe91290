"""BIAO through the launchers: training, tables, report, export, resume, what it refuses."""

import json
import re

import numpy as np
import pytest
import tensorflow as tf

from launchers import finished_run
from tests.end_to_end import launching
from tests.end_to_end.launching import SMALL_BIAO_RUN, SMALL_DATA
from tfcdr.system import Serving

RATED_DATA = (*SMALL_DATA, "--synthetic.ratings", "--synthetic.noise_source")


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rated") / "data"
    outcome = launching.call("convert", *RATED_DATA, f"--data_dir={folder}")
    assert outcome.status == 0, outcome.err
    return folder


def train(data_dir, workdir, *arguments):
    return launching.call(
        "train", *SMALL_BIAO_RUN, f"--data_dir={data_dir}", f"--workdir={workdir}", *arguments
    )


@pytest.fixture(scope="module")
def finished(data_dir, tmp_path_factory):
    """Folder and outcome of a run with everything that follows it; not to be changed."""
    workdir = tmp_path_factory.mktemp("biao") / "run"
    outcome = train(data_dir, workdir, "--compare_no_transfer", "--report", "--export")
    assert outcome.status == 0, outcome.err
    return workdir, outcome


def test_tables_stand_beside_a_logistic_regression_and_the_best_constant(finished):
    workdir, outcome = finished
    metrics = json.loads((workdir / "metrics.json").read_text())
    rows = metrics["tables"]["test"]
    assert [row["scorer"] for row in rows if row["group"] == "all"] == [
        "model",
        "logistic regression",
        "constant",
    ]
    assert {row["group"] for row in rows} == {
        *("all", "cold", "warm", "with source", "without source")
    }
    assert metrics["test"]["AUC"] == metrics["test"]["liked_AUC"]
    assert re.search(r"transfer (helped|HURT|made no).*test AUC 0\.\d{4}", outcome.out)


def test_the_weights_are_figures_of_each_epoch(finished):
    workdir, _ = finished
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        figures = line["figures"]
        assert {"weight_by_domain[noise]", "weight_by_domain[source]"} <= set(figures)
        assert 0 < figures["effective_share"] <= 1
        assert any(name.startswith("weight_by_category[noise:interest_") for name in figures)
        assert any(name.startswith("weight_by_category[source:interest_") for name in figures)
        assert {f"weight_by_rating[{rating}]" for rating in range(1, 6)} <= set(figures)
        assert 0 <= figures["weights_up_to[0.5]"] <= figures["weights_up_to[2]"] <= 1
        assert figures["importance/hypergradient_norm"] > 0


def test_the_report_shows_what_was_learned(finished):
    workdir, _ = finished
    page = (workdir / "report" / "index.html").read_text()
    assert "The most and the least transferable categories" in page
    assert "noise:interest_" in page
    for heading in ("logistic regression", "The domains", "Weights of source behaviours"):
        assert heading in page
    assert "drawn at random" not in page  # nothing is recommended


def test_the_export_scores_pairs_of_raw_ids(finished):
    workdir, _ = finished
    run = finished_run.load(workdir)[""]
    rows = next(iter(run.source.batches("known_behaviour", "test", batch_size=16, seed=0)))
    vocabulary = run.source.vocabulary("target")
    items = np.arange(1, 17)
    batch = {
        **rows,
        "target_item": tf.constant(items, tf.int32),
        "target_category": tf.constant(vocabulary.category_of[items], tf.int32),
    }
    expected = run.model.probabilities(batch).numpy()
    users = run.source.user_names(rows["user"].numpy().tolist())
    loaded = tf.saved_model.load(str(workdir / "export" / "1"))
    asked = {
        "user": tf.constant([*users, "nobody", users[0]]),
        "item": tf.constant([*(vocabulary.tokens[item - 1] for item in items), "", "nothing"]),
    }
    answer = loaded.signatures["serving_default"](**asked)
    np.testing.assert_allclose(answer["liked"][:16], expected, rtol=1e-5)
    assert answer["user_known"].numpy().tolist() == [1] * 16 + [0, 1]
    assert answer["item_known"].numpy().tolist() == [1] * 16 + [0, 0]
    assert np.all((answer["liked"] > 0) & (answer["liked"] < 1))


def test_an_export_of_several_targets_answers_each_row_by_its_own(finished, tmp_path):
    workdir, _ = finished
    runs = [finished_run.load(folder)[""] for folder in (workdir, workdir / "no_transfer")]
    models = dict(zip(("with", "without"), ((run.model, run.source) for run in runs), strict=True))
    system, config = runs[0].system, runs[0].config
    alone = [
        system.export(config, *pair, tmp_path / name, Serving()) for name, pair in models.items()
    ]
    both = system.export_targets(config, models, tmp_path / "both", Serving())
    user = tf.constant(runs[0].source.user_names([3, 1, 2]))
    item = tf.constant(runs[0].source.vocabulary("target").tokens[:3])
    first, second, served = (
        tf.saved_model.load(str(path)).signatures["serving_default"] for path in (*alone, both)
    )
    expected = [of(user=user, item=item)["liked"].numpy() for of in (first, second)]
    assert not np.allclose(*expected)

    def liked(*domain):
        return served(user=user, item=item, domain=tf.constant(domain))["liked"]

    for name, values in zip(models, expected, strict=True):
        np.testing.assert_allclose(liked(name), values, rtol=1e-5)
    mixed = liked("without", "with", "without")
    by_row = [expected[1][0], expected[0][1], expected[1][2]]
    np.testing.assert_allclose(mixed, by_row, rtol=1e-5)
    with pytest.raises(tf.errors.InvalidArgumentError, match="this export has with, without"):
        liked("elsewhere")


def test_a_killed_run_ends_as_one_that_was_not(finished, data_dir, tmp_path):
    """Stopped behind its first epoch: between two outer steps, with all three optimizers."""
    workdir, _ = finished
    resumed = tmp_path / "run"
    assert train(data_dir, resumed, "--biao.epochs=1").status == 0
    # As if the run of two epochs had been killed there.
    (resumed / "metrics.json").unlink()
    config = json.loads((resumed / "config.json").read_text())
    config["config"]["epochs"] = 2
    (resumed / "config.json").write_text(json.dumps(config))
    outcome = train(data_dir, resumed)
    assert outcome.status == 0, outcome.err
    assert " epoch 1/" not in outcome.out
    lines = [
        [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        for folder in (workdir, resumed)
    ]
    for one, other in zip(*lines, strict=True):
        for key in ("loss", "target_loss", "source_loss"):
            np.testing.assert_allclose(one[key], other[key], rtol=1e-4)
        for key, value in one["figures"].items():
            np.testing.assert_allclose(value, other["figures"][key], rtol=2e-3, err_msg=key)


def test_planted_noise_gets_at_most_half_the_weight(tmp_path):
    """The noise source's ratings are random, the other's follow the same users' taste.

    Both are means over behaviours. That the weight has not gone to a few of them, whichever, is
    the second bound; without the noise, half of them could share it.
    """
    sizes = {
        "users": 600,
        "interests": 5,
        "source_items": 60,
        "target_items": 60,
        "target_length": 12,
        "cold_users": 0,
    }
    arguments = {
        "embedding_scale": 0.1,
        "prior_weight": 3,
        "learning_rate": 0.005,
        "batch_size": 256,
        "epochs": 6,
        "patience": 6,
        "warm_up_epochs": 1,
        "interval": 1,
        "descent_steps": 1,
        "developing_batch_size": 600,
        "outer_batch_size": 1024,
        "importance_optimizer": "adam",
        "importance_learning_rate": 0.003,
        "importance_decay": 0,
        "neumann_step": 0.1,
    }
    outcome = launching.call(
        "train",
        "--system=biao",
        "--reader=synthetic",
        "--synthetic.ratings",
        "--synthetic.noise_source",
        *(f"--synthetic.{name}={value}" for name, value in sizes.items()),
        *(f"--biao.{name}={value}" for name, value in arguments.items()),
        "--target=target",
        "--examples.max_length=5",
        "--examples.developing_share=1",
        f"--data_dir={tmp_path / 'data'}",
        f"--workdir={tmp_path / 'run'}",
        "--nojit_compile",
    )
    assert outcome.status == 0, outcome.err
    last = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[-1])
    figures = last["figures"]
    assert figures["weight_by_domain[noise]"] <= figures["weight_by_domain[source]"] / 2
    assert figures["effective_share"] > 0.25
    assert figures["source_weight"] > 0.5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--biao.backbone=mlp"], "backbone must be one of conet, minet"),
        (["--label_evaluation.monitor=NDCG@10"], "monitor must be one of AUC, liked_AUC"),
        (["--examples.positive_above=9"], "validation rows are all alike in liked"),
        (["--biao.source_loss=none", "--compare_no_transfer"], "reads no sources"),
        (["--examples.behaviour_cutoff=never"], "behaviour_cutoff must be example or held_out"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(
    data_dir, tmp_path, arguments, message
):
    outcome = train(data_dir, tmp_path / "run", *arguments)
    assert outcome.status in (1, 2)  # of the data, of the flags
    assert message in outcome.error
    assert not (tmp_path / "run").exists()


def test_a_log_without_ratings_or_categories_names_the_flags(tmp_path):
    convert = launching.call("convert", *SMALL_DATA, f"--data_dir={tmp_path / 'data'}")
    assert convert.status == 0, convert.err
    outcome = train(tmp_path / "data", tmp_path / "run")
    assert outcome.status == 1
    assert "--read.category_column" in outcome.error or "--read.rating_column" in outcome.error
