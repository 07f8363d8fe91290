"""`train.py --report` draws a run and a finished one again, with the titles it is given."""

import json

import pytest

from tests.end_to_end import launching
from tests.end_to_end.launching import SMALL_DATA

SMALL_TIMIREC = (
    "--system=timirec",
    "--evaluation.negatives=20",
    "--timirec.embedding_size=8",
    "--timirec.pretrain_epochs=1",
    "--timirec.finetune_epochs=1",
    "--nojit_compile",
)


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    return tmp_path_factory.mktemp("reported") / "run"


@pytest.fixture(scope="module")
def train(workdir):
    """Trains in the folder of this module's run."""

    def run(*arguments):
        where = (*SMALL_DATA, f"--workdir={workdir}")
        outcome = launching.call("train", *where, *SMALL_TIMIREC, "--report", *arguments)
        assert outcome.status == 0, outcome.err
        return outcome

    return run


@pytest.fixture(scope="module")
def page(train, workdir):
    """The page of the run's first report."""
    outcome = train()
    path = workdir / "report" / "index.html"
    assert f"report {path}" in outcome.out
    return path.read_text()


def test_the_page_holds_the_systems_pictures_and_tables(page, workdir):
    names = {path.name for path in (workdir / "report").iterdir()}
    assert names == {"index.html", "curves.png", "losses.png", "interest_weights.png"}
    assert "How much each interest counts" in page
    assert "target_item_" in page  # without titles, raw ids


def test_a_finished_run_is_drawn_again_with_titles_and_not_trained(page, train, workdir, tmp_path):
    titles = tmp_path / "titles.csv"
    lines = (f"target_item_{n},<The {n}th>\n" for n in range(100))
    titles.write_text("item_id,title\n" + "".join(lines))
    before = {path: path.read_bytes() for path in workdir.glob("metrics.*")}
    outcome = train(f"--titles.path={titles}")
    assert "this run is finished" in outcome.out
    assert {path: path.read_bytes() for path in workdir.glob("metrics.*")} == before
    assert "titles" not in json.loads((workdir / "config.json").read_text())
    again = (workdir / "report" / "index.html").read_text()
    assert "target_item_" not in again
    assert "&lt;The " in again and "<The " not in again
    assert "source_item_" in again
