"""Item neighbours through the launchers: their tables, their verdict, what their export answers."""

import json

import numpy as np
import pytest
import tensorflow as tf

from launchers import finished_run
from tests.end_to_end import launching
from tests.end_to_end.launching import SMALL_READING
from tfcdr.ranking.neighbours import ease

FLAGS = ("--system=neighbours", *SMALL_READING, "--evaluation.negatives=20", "--nojit_compile")


@pytest.fixture(scope="module")
def finished(small_data, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("neighbours") / "run"
    wishes = ("--report", "--export", "--compare_no_transfer")
    where = (f"--data_dir={small_data}", f"--workdir={workdir}")
    outcome = launching.call("train", *FLAGS, *wishes, *where)
    assert outcome.status == 0, outcome.err
    return workdir, outcome


@pytest.fixture(scope="module")
def run(finished):
    return finished_run.load(finished[0])[""]


def test_the_bar_is_this_very_model(finished):
    workdir, outcome = finished
    metrics = json.loads((workdir / "metrics.json").read_text())
    for rows in metrics["tables"].values():
        figures = {
            (row["protocol"], row["group"], row.pop("scorer")): row for row in map(dict, rows)
        }
        for protocol, group, scorer in list(figures):
            if scorer == "item neighbours":
                model = figures[protocol, group, "model"]
                assert figures[protocol, group, scorer] == pytest.approx(model)
    assert "above most popular: test NDCG@10 " in outcome.out
    assert "the same as item neighbours: test NDCG@10 " in outcome.out
    assert metrics["bars"]["most popular"]["all"]["low"] > 0
    assert set(metrics["bars"]["item neighbours"]) == {"all", "cold", "warm"}
    assert "transfer " in outcome.out


def test_every_choice_of_settings_is_an_epoch_and_the_best_is_kept(finished, run):
    lines = [json.loads(line) for line in (finished[0] / "metrics.jsonl").read_text().splitlines()]
    assert len(lines) == len(run.model.settings)
    assert len({tuple(line["figures"].items()) for line in lines}) == len(lines)
    best = max(lines, key=lambda line: line["validation"]["NDCG@10"])
    assert run.model.decay.numpy() == pytest.approx(best["figures"]["decay"])
    assert run.model.other_weight.numpy() == pytest.approx(best["figures"]["other_weight"])
    page = (finished[0] / "report" / "index.html").read_text()
    assert "above most popular: test NDCG@10 " in page
    # The run without transfer has a choice less, since there is no other domain to weigh.
    alone = (finished[0] / "no_transfer" / "metrics.jsonl").read_text().splitlines()
    assert 3 * len(alone) == len(lines)


def test_export_answers_what_evaluation_ranks(finished, run):
    recommend = tf.saved_model.load(str(finished[0] / "export" / "1")).signatures["recommend"]
    request = run.experiment._stages[-1].evaluation
    batch = next(iter(request.batches(run.source, "test", 16, seed=0)))
    user = run.model.query(batch).user
    scores = run.model.score_range(user, 1, run.model.num_items).numpy()
    joint, target = (run.source.vocabulary(space).tokens for space in ("joint", "target"))

    def raw(tokens, ids):
        return tf.constant([[tokens[i - 1] if i else "" for i in row] for row in ids.numpy()])

    answer = recommend(
        history=raw(joint, batch["recent_items"]), seen_items=raw(target, batch["seen_items"])
    )
    for row, seen in enumerate(batch["seen_items"].numpy()):
        scores[row, seen[seen > 0] - 1] = -1
        best = np.argsort(-scores[row], kind="stable")[:10]
        found = [item.decode() for item in answer["items"].numpy()[row]]
        assert found == [target[place] for place in best]
        np.testing.assert_allclose(answer["scores"][row], scores[row, best], rtol=1e-5)


@pytest.mark.parametrize(
    "asked", [["--neighbours.kind=ease"], ["--system=timirec", "--timirec.blend_neighbours=ease"]]
)
def test_ease_refuses_a_catalogue_that_is_too_large(asked, small_data, tmp_path, monkeypatch):
    monkeypatch.setattr(ease, "MOST_ITEMS", 50)
    where = (f"--data_dir={small_data}", f"--workdir={tmp_path / 'run'}")
    outcome = launching.call("train", *FLAGS, *asked, *where)
    assert outcome.status == 1
    assert "a catalogue too large for EASE: it inverts a matrix of all items, 110," in outcome.error
    assert f"use {asked[-1].removesuffix('ease')}cosine" in outcome.error
    assert not (tmp_path / "run").exists()


def test_ease_stands_beside_item_neighbours(small_data, tmp_path):
    flags = (*FLAGS, "--neighbours.kind=ease", f"--data_dir={small_data}")
    whole = launching.call("train", *flags, f"--workdir={tmp_path / 'whole'}")
    assert whole.status == 0, whole.err
    assert "item neighbours: test NDCG@10 " in whole.out
    metrics = json.loads((tmp_path / "whole" / "metrics.json").read_text())
    rows = {
        row["scorer"]: row["NDCG@10"]
        for row in metrics["tables"]["test"]
        if (row["protocol"], row["group"]) == ("full", "all")
    }
    assert rows["model"] > rows["most popular"]


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--neighbours.kind=knn", "kind must be one of cosine, ease. Received: 'knn'."),
        ("--neighbours.neighbours=0", "neighbours must be positive. Received: 0."),
    ],
)
def test_bad_choices_are_one_line(small_data, tmp_path, flag, message):
    where = (f"--data_dir={small_data}", f"--workdir={tmp_path / 'run'}")
    outcome = launching.call("train", *FLAGS, flag, *where)
    assert outcome.status == 2
    assert message in outcome.error


def test_one_process_fits(small_data, tmp_path):
    where = (f"--data_dir={small_data}", f"--workdir={tmp_path / 'run'}")
    outcome = launching.forked("train", *FLAGS, "--strategy=mirrored", *where)
    assert outcome.status == 1
    assert "stage fit is fitted by one process: use --strategy=default in place of" in outcome.error
