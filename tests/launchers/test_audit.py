"""audit.py on finished runs and on planted truths."""

import json
import shutil

import pandas as pd
import pytest

from launchers.auditing import trials
from tests.end_to_end import launching
from tests.end_to_end.launching import SMALL_TIMIREC_RUN


def train(data_dir, workdir, *flags):
    """Trains one stage, and the same without transfer."""
    one_stage = (*SMALL_TIMIREC_RUN, "--timirec.stages=pretrain", "--compare_no_transfer")
    where = (f"--data_dir={data_dir}", f"--workdir={workdir}")
    outcome = launching.call("train", *one_stage, *flags, *where)
    assert outcome.status == 0, outcome.err
    return workdir


@pytest.fixture(scope="module")
def compared(small_data, tmp_path_factory):
    """Folder of a run with one without transfer beside it."""
    return train(small_data, tmp_path_factory.mktemp("audited") / "run")


def audit(*flags):
    return launching.call("audit", *map(str, flags))


def test_says_the_gain_of_training_by_history_and_what_to_do(compared, tmp_path):
    outcome = audit(f"--workdir={compared}", f"--output={tmp_path}")
    assert outcome.status == 0, outcome.err
    table = pd.read_csv(tmp_path / "audit.csv").set_index("group")
    gain = json.loads((compared / "metrics.json").read_text())["transfer"]
    whole = table.loc["all"]
    assert whole["n"] == gain["rows"]
    assert whole["with transfer"] == pytest.approx(gain["transfer"])
    assert whole["gain"] == f"{gain['gain']:+.4f}"
    by_history = table[table.index.str.startswith("history there: ")]["n"]
    assert by_history.sum() == whole["n"]
    assert (
        f"Nothing that is read of {whole['n']:,} test rows comes after the answer." in outcome.out
    )
    assert outcome.out.count("NDCG@10") >= 1
    page = (tmp_path / "index.html").read_text()
    assert page.count("<svg") == 1


def test_seeds_count_as_trainings(compared, tmp_path):
    config = json.loads((compared / "config.json").read_text())
    metrics = json.loads((compared / "metrics.json").read_text())
    for seed in (0, 1):  # the second is a copy
        shutil.copytree(compared, tmp_path / f"seed-{seed}")
    whole = {**config, "several_seeds": True, "seed": 0}
    (tmp_path / "config.json").write_text(json.dumps(whole))
    (tmp_path / "metrics.json").write_text(json.dumps({**metrics, "seeds": [0, 1]}))
    outcome = audit(f"--workdir={tmp_path}")
    assert outcome.status == 0, outcome.err
    assert "2 trainings" in outcome.out
    assert (tmp_path / "audit" / "audit.csv").exists()


def test_histories_from_after_the_answer_are_not_to_be_trusted(small_data, tmp_path):
    workdir = train(small_data, tmp_path / "run", "--examples.source_history=all")
    outcome = audit(f"--workdir={workdir}")
    assert "Do NOT trust these figures" in outcome.out
    assert "--examples.source_history" in outcome.out


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "--workdir is missing"),
        (["--workdir=nowhere"], "nowhere"),
        (["--workdir=nowhere", "--trials=1"], "--trials audits no run: leave --workdir out."),
    ],
)
def test_what_cannot_be_is_refused(flags, message):
    outcome = audit(*flags)
    assert outcome.status != 0
    assert message in outcome.err


def test_a_run_without_a_comparison_is_refused(finished):
    outcome = audit(f"--workdir={finished[0]}")
    assert outcome.status == 1
    assert "run its command again with --compare_no_transfer" in outcome.err


def test_a_transfer_that_helps_is_found():
    trial = trials.make("helped", seed=0)
    assert trial.is_right
    assert trial.low > 0
    table = trials.table([trial]).set_index("truth")
    assert table.loc["helped", ["trials", "right"]].tolist() == [1, 1]
    assert table.loc["hurt", ["trials", "right"]].tolist() == [0, 0]
