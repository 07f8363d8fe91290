"""SyNCRec through the launcher: one model for all targets, its figures, page and export."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from launchers import finished_run
from tests.end_to_end import launching
from tests.end_to_end.launching import SMALL_DATA
from tests.end_to_end.test_reruns import without_times

DOMAINS = ("source", "noise", "target")
RUN = (
    "--system=syncrec",
    "--target=all",
    "--examples.max_length=10",
    "--evaluation.negatives=20",
    "--syncrec.hidden_size=8",
    "--syncrec.layers=1",
    "--syncrec.experts=3",
    "--syncrec.cross_expert_ratio=0.6",
    "--syncrec.epochs=2",
    "--syncrec.batch_size=64",
    "--nojit_compile",
    "--deterministic",
)
# Dies in the second epoch, behind its line and before its latest checkpoint.
DIES = """
import os, signal
from launchers import train
from tfcdr.runs.run_folder import RunFolder

whole = RunFolder.add_epoch

def add_epoch(folder, line):
    whole(folder, line)
    if line["epoch"] == 2:
        os.kill(os.getpid(), signal.SIGKILL)

RunFolder.add_epoch = add_epoch
train.run()
"""


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("three_domains") / "data"
    flags = ("--synthetic.noise_source", "--split.kind=last_of_all", f"--data_dir={folder}")
    outcome = launching.call("convert", *SMALL_DATA, *flags)
    assert outcome.status == 0, outcome.err
    return folder


@pytest.fixture(scope="module")
def trained(data_dir, tmp_path_factory):
    """Folder and outcome of a whole run."""
    workdir = tmp_path_factory.mktemp("syncrec") / "run"
    where = (f"--data_dir={data_dir}", f"--workdir={workdir}")
    wishes = ("--export", "--report", "--compare_no_transfer")
    outcome = launching.forked("train", *RUN, *wishes, *where)
    assert outcome.status == 0, outcome.err
    return workdir, outcome


def metrics(folder):
    return json.loads((folder / "metrics.json").read_text())


def epochs(folder):
    return [without_times(json.loads(line)) for line in (folder / "metrics.jsonl").open()]


def test_one_model_is_ranked_in_each_domain(trained):
    workdir, outcome = trained
    found = metrics(workdir)
    assert list(found["stages"]) == ["train"]
    rows = [row for row in found["tables"]["test"] if row["scorer"] == "model"]
    full = {row["group"]: row["interactions"] for row in rows if row["protocol"] == "full"}
    assert set(DOMAINS) < set(full)
    assert sum(full[name] for name in DOMAINS) == full["all"] > 100
    assert {"HR@1", "NDCG@5", "HR@10", "NDCG@20", "MRR"} <= set(found["test"])
    gains = found["transfer_groups"]
    assert all(gains[name]["low"] <= gains[name]["gain"] <= gains[name]["high"] for name in DOMAINS)
    assert "source: " in outcome.out


def test_the_memory_is_shown_while_training_and_kept(trained):
    workdir, outcome = trained
    for line in epochs(workdir):
        weights = [line["figures"][f"rebalancing_weight[{name}]"] for name in DOMAINS]
        assert sum(weights) == pytest.approx(1)
        assert sum(line["figures"][f"gate_usage[{n}]"] for n in (1, 2, 3)) == pytest.approx(1)
    assert "rebalancing_weight[noise] " in outcome.out
    delta = [
        array
        for name, array in launching.checkpoint(workdir, "train").items()
        if "rebalancing/delta" in name
    ]
    assert delta[0].shape == (3,) and np.ptp(delta[0]) > 0


def test_a_killed_run_ends_like_one_that_was_never_stopped(trained, data_dir, tmp_path):
    workdir = tmp_path / "run"
    command = (*RUN, f"--data_dir={data_dir}", f"--workdir={workdir}")
    killed = launching.finish(launching.start("train", *command, code=DIES))
    assert killed.status == -9, killed.err
    resumed = launching.forked("train", *command)
    assert resumed.status == 0, resumed.err
    assert "train epoch 1" not in resumed.out
    assert epochs(workdir) == epochs(trained[0])
    for kind in ("best", "latest"):
        ours, theirs = (
            launching.checkpoint(folder, "train", kind) for folder in (workdir, trained[0])
        )
        for of_folder in (ours, theirs):
            of_folder.pop("save_counter/.ATTRIBUTES/VARIABLE_VALUE")
        assert launching.differing(ours, theirs) == set()


def test_the_page_says_which_domains_suffer(trained):
    page = (trained[0] / "report" / "index.html").read_text()
    for heading in ("by group of test rows", "figures of the training steps", "Which experts"):
        assert heading in page
    # A group for each domain, in which the model stands beside the one without transfer.
    assert page.count(">without transfer<") >= 4


def test_the_audit_says_whom_the_other_domains_help(trained, tmp_path):
    """Two trainings, of which the second is a copy."""
    found = metrics(trained[0])
    whole = {**json.loads((trained[0] / "config.json").read_text()), "several_seeds": True}
    (tmp_path / "config.json").write_text(json.dumps(whole))
    (tmp_path / "metrics.json").write_text(json.dumps({**found, "seeds": [0, 1]}))
    for seed in (0, 1):
        shutil.copytree(trained[0], tmp_path / f"seed-{seed}")
    outcome = launching.forked("audit", f"--workdir={tmp_path}")
    assert outcome.status == 0, outcome.err
    table = pd.read_csv(tmp_path / "audit" / "audit.csv").set_index("group")
    assert table.loc["all", "n"] == found["transfer"]["rows"]
    for name in DOMAINS:
        gain = found["transfer_groups"][name]
        assert table.loc[name, "with transfer"] == pytest.approx(gain["transfer"])
        assert table.loc[name, "gain"] == pytest.approx(gain["gain"])
    for prefix in ("history there: ", "history elsewhere: "):
        assert table[table.index.str.startswith(prefix)]["n"].sum() == table.loc["all", "n"]
    rows = table.loc["all", "n"]
    assert f"Nothing that is read of {rows:,} test rows comes after the answer." in outcome.out
    assert "2 trainings" in outcome.out
    assert (tmp_path / "audit" / "index.html").read_text().count("<svg") == 1


def test_the_export_recommends_items_of_the_domain_that_is_asked_for(trained):
    workdir, _ = trained
    signatures = tf.saved_model.load(str(workdir / "export" / "1")).signatures
    source = finished_run.load(workdir)[""].source
    catalogue = set(source.prepared.items.ids)
    histories = [
        ["source:source_item_1", "noise:noise_item_2", "target:target_item_3"],
        ["source:source_item_1", "", ""],
        ["nobody knows", "these", "items"],
    ]
    answer = signatures["recommend"](
        history=tf.constant(histories),
        seen_items=tf.constant([[""], ["noise_item_1"], [""]]),
        domain=tf.constant(DOMAINS),
    )
    for row, name in zip(answer["items"].numpy(), DOMAINS, strict=True):
        assert len(set(row)) == 10
        assert all(item.decode().startswith(f"{name}_item_") for item in row)
        assert {item.decode() for item in row} <= catalogue
    assert b"noise_item_1" not in answer["items"][1].numpy()
    assert np.isfinite(answer["scores"]).all()
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"has source, noise, target.*music"):
        signatures["recommend"](
            history=tf.constant(histories),
            seen_items=tf.constant([[""]] * 3),
            domain=tf.constant(["source", "music", "target"]),
        )


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--target=",), "no domain is a target"),
        (("--target=music",), "--target=music: the data set has no such domain"),
        (("--evaluation.negatives=60",), "of the 60 items of source, which leaves"),
    ],
)
def test_what_cannot_be_done_is_one_line(data_dir, tmp_path, flags, message):
    where = (f"--data_dir={data_dir}", f"--workdir={tmp_path / 'run'}")
    outcome = launching.call("train", *RUN, *where, *flags)
    assert outcome.status == 1
    assert message in outcome.error
