"""--seeds: a run of each, and what they say together."""

import json

import numpy as np
import pytest
import tensorflow as tf

from launchers import finished_run, several_seeds
from launchers.comparing import contenders
from tests.end_to_end import launching
from tests.end_to_end.launching import SMALL_READING, SMALL_TIMIREC_RUN
from tfcdr.errors import RunError

# It trains in no time, and in the same way with any seed.
FLAGS = ("--system=neighbours", *SMALL_READING, "--evaluation.negatives=20", "--nojit_compile")


def metrics(gain, figure):
    of_all = {"metric": "NDCG@10", "gain": gain, "low": gain - 0.1, "high": gain + 0.1, "rows": 9}
    transfer = {**of_all, "transfer": figure, "no_transfer": figure - gain, "left_out": 0}
    bar = {**of_all, "bar": "most popular", "model": figure, "of_bar": figure - gain}
    return {
        "validation": {"NDCG@10": figure},
        "test": {"NDCG@10": figure, "AUC": None},
        "transfer": transfer,
        "transfer_groups": {"cold": transfer},
        "transfer_parts": {},
        "baseline_bars": {},
        "bars": {"most popular": {"all": bar, "cold": bar}},
    }


def test_means_with_intervals_over_trainings():
    found = several_seeds.over_seeds({4: metrics(0.1, 0.3), 5: metrics(0.3, 0.5)})
    assert found["seeds"] == [4, 5]
    assert found["test"]["NDCG@10"] == pytest.approx(0.4)
    assert np.isnan(found["test"]["AUC"])
    assert found["by_seed"]["validation"] == {"4": {"NDCG@10": 0.3}, "5": {"NDCG@10": 0.5}}
    for entry in (
        found["transfer"],
        found["transfer_groups"]["cold"],
        found["bars"]["most popular"]["cold"],
    ):
        assert entry["gain"] == pytest.approx(0.2)
        # Either training alone is sure of it; they differ too much for both to be.
        assert entry["low"] < 0 < entry["high"]


def test_runs_of_seeds_and_of_more(small_data, tmp_path):
    workdir = tmp_path / "run"
    where = (f"--data_dir={small_data}", f"--workdir={workdir}")
    outcome = launching.call("train", *FLAGS, "--seed=3", "--seeds=2", *where)
    assert outcome.status == 0, outcome.err
    figures = json.loads((workdir / "metrics.json").read_text())
    of_one = json.loads((workdir / "seed-4" / "metrics.json").read_text())
    assert figures["seeds"] == [3, 4]
    assert figures["test"] == pytest.approx(of_one["test"])
    bar = figures["bars"]["most popular"]["all"]
    assert (bar["low"], bar["high"]) == pytest.approx(
        (
            of_one["bars"]["most popular"]["all"]["low"],
            of_one["bars"]["most popular"]["all"]["high"],
        ),
        abs=0.01,
    )
    box = outcome.out[outcome.out.rindex("╭") :]
    assert "mean of 2 seeds" in box
    assert "/run/seed-*--output=comparison" in "".join(box.replace("│", "").split())
    assert "spread 0.0000" in " ".join(outcome.out.split())

    more = launching.call("train", *FLAGS, "--seed=3", "--seeds=3", *where)
    assert more.status == 0, more.err
    assert more.out.count("this run is finished") == 2
    assert json.loads((workdir / "metrics.json").read_text())["seeds"] == [3, 4, 5]

    alone = launching.call("train", *FLAGS, "--seed=3", *where)
    assert "several_seeds: True there, None now" in alone.error
    with pytest.raises(RunError, match=f"name one of them, as {workdir / 'seed-3'}"):
        finished_run.folders(workdir)


@pytest.mark.slow
def test_the_mean_of_the_seeds_models_is_blended_served_and_compared(small_data, tmp_path):
    run, whole = tmp_path / "run", tmp_path / "whole"
    flags = (*SMALL_TIMIREC_RUN, "--timirec.stages=pretrain", f"--data_dir={small_data}")
    flags = tuple(flag for flag in flags if flag not in ("--report", "--export"))
    outcome = launching.call("train", *flags, "--seeds=2", f"--workdir={run}")
    assert outcome.status == 0, outcome.err
    flags += (
        "--timirec.blend_neighbours=both",
        "--timirec.ensemble_members=2",
        f"--pretrained={run}",
    )
    refused = launching.call("train", *flags, "--seeds=2", f"--workdir={whole}")
    assert "--seeds: the models are those of the seeds that --pretrained names" in refused.error
    outcome = launching.call("train", *flags, "--export", f"--workdir={whole}")
    assert outcome.status == 0, outcome.err
    seeds = [run / f"seed-{seed}" for seed in (0, 1)]
    assert all(f"pretrain: taken from {seed}" in outcome.out for seed in seeds)
    settings = json.loads((whole / "config.json").read_text())
    assert settings["pretrained"] == list(map(str, seeds))

    (loaded,) = finished_run.load(whole).values()
    history = tf.constant([[0, 0, 0, 0, 0, 0, 0, 1, 2, 3]])
    user = loaded.model.encode_history(history)
    scores = loaded.model.score_range(user, 1, loaded.model.num_items)
    serve = tf.saved_model.load(str(whole / "export" / "1")).signatures["recommend"]
    names = loaded.source.vocabulary("joint").tokens[:3]
    answer = serve(history=tf.constant([names]), seen_items=tf.constant([names]))
    best = float(answer["scores"][0, 0])
    assert any(best == pytest.approx(float(score), abs=1e-4) for score in scores[0])

    trained = [json.loads((seed / "metrics.json").read_text())["stages"] for seed in seeds]
    fitted = json.loads((whole / "metrics.json").read_text())["stages"]["blend"]["seconds"]
    expected = fitted + sum(of["pretrain"]["seconds"] for of in trained)
    (target,) = contenders.read([str(whole)], None, bars=True)
    assert target.candidates[0].seconds == pytest.approx(expected)
