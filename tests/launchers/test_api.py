"""Runs from Python: the notebook as it stands, and what the launcher makes of the same run."""

import importlib.metadata
import json

import pandas as pd
import pytest

import tfcdr
from data_pipelines.errors import DataError
from tests.end_to_end import launching
from tfcdr.errors import RunError

NOTEBOOK = launching.REPOSITORY / "launchers" / "notebooks" / "own_log.ipynb"


@pytest.fixture(scope="module")
def notebook(tmp_path_factory):
    """Folder and variables of the notebook after its last cell."""
    folder = tmp_path_factory.mktemp("notebook")
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    variables = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for cell in cells:
            if cell["cell_type"] == "code":
                exec(compile("".join(cell["source"]), str(NOTEBOOK), "exec"), variables)
    return folder, variables


@pytest.fixture
def run(notebook, monkeypatch):
    monkeypatch.chdir(notebook[0])
    return notebook[1]["run"]


def test_the_notebook_recommends_to_everybody(notebook):
    folder, variables = notebook
    everybody, log = variables["everybody"], variables["log"]
    assert set(everybody["user_id"]) == set(log["user_id"])
    assert (everybody.groupby("user_id").size() == 5).all()
    toys = log[log["domain"] == "toys"]
    taken = set(zip(toys["user_id"], toys["item_id"], strict=True))
    assert not taken & set(zip(everybody["user_id"], everybody["item_id"], strict=True))
    metrics = json.loads((folder / "runs/own_log/metrics.json").read_text())
    [row] = variables["test"].query("scorer == 'model'").to_dict("records")
    assert row["NDCG@10"] == metrics["test"]["NDCG@10"]
    assert (folder / "runs/own_log/export/1/saved_model.pb").exists()


def test_tables_of_users_are_histories_too(run, notebook):
    log = notebook[1]["log"]
    mine = log[log["user_id"] == "user 7"]
    in_time = mine.sort_values("timestamp", kind="stable")
    named = {"user 7": [f"{d}:{i}" for d, i in zip(in_time.domain, in_time.item_id, strict=True)]}
    pd.testing.assert_frame_equal(run.recommend(mine), run.recommend(named))
    pd.testing.assert_frame_equal(
        run.recommend(in_time[["user_id", "item_id"]]), run.recommend(named)
    )
    pd.testing.assert_frame_equal(run.evaluate(), run.metrics())
    assert run.epochs()["epoch"].tolist() == [*range(1, 19)]
    assert "neighbours" in repr(run)
    assert tfcdr.__version__ == importlib.metadata.version("tfcdr")


def test_the_launcher_takes_it_for_its_own_run(notebook):
    """There is one way to train: the same settings by flags are the same run, and finished."""
    workdir = notebook[0] / "runs" / "own_log"
    flags = ("--system=neighbours", "--target=toys", "--evaluation.negatives=20")
    where = (f"--workdir={workdir}", f"--data_dir={workdir / 'data'}", "--compare_no_transfer")
    outcome = launching.call("train", *flags, *where)
    assert outcome.status == 0, outcome.err
    assert f"{workdir}: this run is finished; nothing to do." in outcome.out


def test_mistakes_are_errors_that_say_what_to_do(notebook, run, tmp_path):
    log = notebook[1]["log"]
    neighbours = {"system": "neighbours", "target": "toys"}
    with pytest.raises(DataError, match="was prepared of another log"):
        tfcdr.train("runs/own_log", log[1:], **neighbours)
    with pytest.raises(RunError, match=r"no system 'neighbors'; the systems are .*neighbours"):
        tfcdr.train(tmp_path, log, system="neighbors")
    with pytest.raises(ValueError, match="kind must be one of cosine, ease"):
        tfcdr.train(tmp_path, log, **neighbours, config={"kind": "x"})
    with pytest.raises(RunError, match="daa reads impressions"):
        tfcdr.train(tmp_path, log, system="daa")
    with pytest.raises(DataError, match="column 'domain' is missing"):
        tfcdr.train(tmp_path, log.drop(columns="domain"), **neighbours)
    with pytest.raises(RunError, match="no run here"):
        tfcdr.open_run(tmp_path)
    with pytest.raises(DataError, match="history of 'u' is a text"):
        run.recommend({"u": "books 1"})
    with pytest.raises(AttributeError, match="no attribute 'fit'"):
        _ = tfcdr.fit
    assert list(tmp_path.iterdir()) == []
