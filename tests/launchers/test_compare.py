"""compare.py: runs side by side, and which one to serve."""

import json
import shutil

import pandas as pd
import pytest

from data_pipelines.prepared.dataset import open_prepared
from data_pipelines.prepared.reading import reopen
from tests.end_to_end import launching


@pytest.fixture
def compare(tmp_path):
    """Runs compare.py."""

    def run(*runs, flags=(), output=tmp_path / "comparison"):
        named = ",".join(map(str, runs))
        return launching.forked("compare", *flags, f"--runs={named}", f"--output={output}")

    return run


@pytest.fixture
def another_seed(finished, tmp_path):
    """A copy of the finished run that says that it had another seed."""
    folder = tmp_path / "seed_1"
    shutil.copytree(finished[0], folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "seed": 1}))
    return folder


def test_seeds_of_one_system_stand_beside_what_every_table_has(
    compare, finished, another_seed, tmp_path
):
    outcome = compare(finished[0], another_seed)
    assert outcome.status == 0, outcome.err
    table = pd.read_csv(tmp_path / "comparison" / "comparison.csv")
    assert {"all", "cold", "warm"} <= set(table["group"])
    whole = table[table["group"] == "all"].set_index("recommender")
    assert whole.loc["peterrec", "seeds"] == 2
    assert whole.loc["peterrec", "spread"] == "0.0000"  # the second seed is a copy
    bars = json.loads((finished[0] / "metrics.json").read_text())["bars"]
    for name, of_groups in bars.items():  # means over users, too
        figure = pytest.approx(of_groups["all"]["of_bar"], abs=1e-4)
        assert whole.loc[name, "test NDCG@10"] == figure
    assert "\nServe " in outcome.out
    page = (tmp_path / "comparison" / "index.html").read_text()
    assert page.count("<svg") == 1
    assert "<img" not in page  # one file


def test_two_systems_stand_side_by_side(compare, finished, finished_timirec, tmp_path):
    outcome = compare(finished[0], finished_timirec[0])
    table = pd.read_csv(tmp_path / "comparison" / "comparison.csv")
    whole = table[table["group"] == "all"].set_index("recommender")
    assert list(whole.index[:2]) == ["peterrec", "timirec"]
    assert len(set(whole["users"])) == 1
    assert "One seed each" in outcome.out
    assert f"{100 - 5 / 3:.2f} % interval" in table.columns

    # Without bars there is one comparison, or none.
    alone = compare(finished[0], flags=["--nobars"])
    assert "--nobars leaves nothing beside peterrec" in alone.error
    compare(finished[0], finished_timirec[0], flags=["--nobars"])
    table = pd.read_csv(tmp_path / "comparison" / "comparison.csv")
    assert list(table[table["group"] == "all"]["recommender"]) == ["peterrec", "timirec"]
    assert "95 % interval" in table.columns


def test_runs_on_other_data_are_refused_with_both_fingerprints(compare, finished, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(finished[0], other)
    config = json.loads((other / "config.json").read_text())
    data = tmp_path / "data"
    shutil.copytree(config["data_dir"], data)
    prepared = json.loads((data / "prepared.json").read_text())
    (data / "prepared.json").write_text(json.dumps({**prepared, "fingerprint": "0" * 16}))
    read = reopen(open_prepared(data), config["reading"])
    settings = {**config, "seed": 1, "data_dir": str(data), "data_fingerprint": read.fingerprint}
    (other / "config.json").write_text(json.dumps(settings))
    error = compare(finished[0], other).error
    assert "other" in error
    assert prepared["fingerprint"] in error and "0" * 16 in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--output=x",), "--runs is missing"),
        (("--runs=x",), "--output is missing"),
        (("--runs=nowhere*", "--output=x"), "nowhere*: no such folder"),
    ],
)
def test_what_is_missing_is_named(arguments, message):
    assert message in launching.forked("compare", *arguments).error


def test_a_run_that_is_not_finished_is_refused(compare, finished, tmp_path):
    halted = tmp_path / "halted"
    shutil.copytree(finished[0], halted)
    (halted / "metrics.json").unlink()
    assert f"{halted}: the run is not finished" in compare(finished[0], halted).error
