"""`train.py --report` draws a run and a finished one again, with the titles it is given."""

import json
import shutil

import pytest

from tests.end_to_end import launching
from tests.end_to_end.launching import SMALL_TIMIREC_RUN


@pytest.fixture(scope="module")
def page(finished_timirec):
    """The page of the run's first report."""
    workdir, outcome = finished_timirec
    path = workdir / "report" / "index.html"
    assert f"report {path}" in outcome.out
    return path.read_text()


def test_the_page_holds_the_systems_pictures_and_tables(page, finished_timirec):
    assert [path.name for path in (finished_timirec[0] / "report").iterdir()] == ["index.html"]
    for heading in ("by group of test rows", "The domains", "drawn at random", "loss terms"):
        assert heading in page
    assert "How much each interest counts" in page
    assert "target_item_" in page  # without titles, raw ids


def test_a_finished_run_is_drawn_again_with_titles_and_not_trained(
    page, finished_timirec, small_data, tmp_path
):
    workdir = shutil.copytree(finished_timirec[0], tmp_path / "run")
    titles = tmp_path / "titles.csv"
    lines = (f"target_item_{n},<The {n}th>\n" for n in range(100))
    titles.write_text("item_id,title\n" + "".join(lines))
    before = {path: path.read_bytes() for path in workdir.glob("metrics.*")}
    where = (f"--data_dir={small_data}", f"--workdir={workdir}")
    outcome = launching.call("train", *SMALL_TIMIREC_RUN, *where, f"--titles.path={titles}")
    assert outcome.status == 0, outcome.err
    assert "this run is finished" in outcome.out
    assert {path: path.read_bytes() for path in workdir.glob("metrics.*")} == before
    assert "titles" not in json.loads((workdir / "config.json").read_text())
    again = (workdir / "report" / "index.html").read_text()
    assert "target_item_" in page and "target_item_" not in again
    assert "&lt;The " in again and "<The " not in again
    assert "source_item_" in again
