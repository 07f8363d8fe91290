"""The log of the next day: a run goes on for longer, and its model is where the next one starts."""

import json
import re

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from tests.end_to_end import launching

FLAGS = (
    "--reader=csv",
    "--system=timirec",
    "--target=toys",
    "--examples.max_length=6",
    "--evaluation.negatives=5",
    "--timirec.stages=pretrain",
    "--timirec.embedding_size=4",
    "--timirec.interests=2",
    "--timirec.pretrain_batch_size=64",
    "--nojit_compile",
    "--export",
)


def log_of(days):
    """Users 0 to 39 + days of two tastes; on each day some take an item that is new."""
    random = np.random.default_rng(0)
    rows = []
    for day in range(days):
        for user in range(40 + day):
            for hour in range(6 if day == 0 else 1):
                domain = ("books", "toys")[hour % 2 if day == 0 else user % 2]
                item = f"{domain[0]}{user % 2}{random.integers(10)}"
                if day and user < 20:
                    item = f"{domain[0]}new{day}"
                rows.append((f"u{user}", item, domain, 1000 * day + 10 * hour))
    return pd.DataFrame(rows, columns=["user_id", "item_id", "domain", "timestamp"])


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("logs")
    for name, days in {"monday": 1, "tuesday": 2}.items():
        log_of(days).to_csv(folder / f"{name}.csv", index=False)
    return folder


def train(workdir, log, *flags):
    return launching.call("train", *FLAGS, f"--workdir={workdir}", f"--input={log}", *flags)


@pytest.fixture(scope="module")
def monday(logs, tmp_path_factory):
    """A finished run on monday's log, exported, then asked for two epochs more."""
    workdir = tmp_path_factory.mktemp("runs") / "monday"
    first = train(workdir, logs / "monday.csv", "--timirec.pretrain_epochs=1")
    assert first.status == 0, first.err
    longer = train(workdir, logs / "monday.csv", "--timirec.pretrain_epochs=3")
    assert longer.status == 0, longer.err
    return workdir, longer.out


def lines_of(workdir):
    return [json.loads(line) for line in (workdir / "metrics.jsonl").open()]


def test_a_finished_run_goes_on_and_its_export_is_refreshed(monday):
    workdir, out = monday
    assert f"{workdir}: goes on with the run that is there, for longer" in out
    assert [line["epoch"] for line in lines_of(workdir)] == [1, 2, 3]
    assert "pretrain epoch 1/" not in out
    assert f"exported {workdir}/export/2" in out
    assert json.loads((workdir / "config.json").read_text())["config"]["pretrain_epochs"] == 3


@pytest.mark.slow
def test_the_next_days_run_starts_from_it_and_is_served_in_its_place(monday, logs, tmp_path):
    served = monday[0] / "export"
    flags = (
        "--timirec.pretrain_epochs=1",
        "--timirec.blend_neighbours=cosine",
        f"--pretrained={monday[0]}",
        f"--export_dir={served}",
    )
    outcome = train(tmp_path / "tuesday", logs / "tuesday.csv", *flags)
    assert outcome.status == 0, outcome.err
    assert "blend: is fitted anew" in outcome.out
    assert re.search(r"has trained on 0 of the \d+ interactions that are held out", outcome.out)
    found = re.search(r"starts from .*, which knows (\d+) of the (\d+) names", outcome.out)
    known, names = map(int, found.groups())
    assert names - known == 2  # a book and a toy
    # Where the model begins, it already knows what it learnt on Monday.
    first = lines_of(tmp_path / "tuesday")[0]
    assert first["loss"] < lines_of(monday[0])[0]["loss"]
    assert f"exported {served}/3" in outcome.out
    recommend = tf.saved_model.load(str(served / "3")).signatures["recommend"]
    taken = tf.constant([["toys:tnew1", "books:bnew1"]])
    answer = recommend(history=taken, seen_items=taken)
    assert answer["known"].numpy().tolist() == [2]


def test_other_things_are_refused(monday, logs, tmp_path):
    log = log_of(1)
    log["item_id"] = "other " + log["item_id"]
    log.to_csv(tmp_path / "other.csv", index=False)
    flags = ("--timirec.pretrain_epochs=1", f"--pretrained={monday[0]}")
    outcome = train(tmp_path / "run", tmp_path / "other.csv", *flags)
    assert outcome.error.endswith(
        f"{monday[0]}: none of its items, users or values is one of this run's: it is of other "
        "things, or its log calls them otherwise."
    )
    assert not (tmp_path / "run" / "config.json").exists()
    flags = (*flags, "--timirec.embedding_size=8")
    outcome = train(tmp_path / "wider", logs / "tuesday.csv", *flags)
    assert "The configurations differ in embedding_size: 4 there, 8 now" in outcome.error
