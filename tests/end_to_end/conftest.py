import json

import pytest

from tests import made_once
from tests.end_to_end import launching
from tests.end_to_end.launching import (
    SMALL_DATA,
    SMALL_IMPRESSIONS,
    SMALL_RUN,
    SMALL_TIMIREC_RUN,
    Outcome,
)


def made_once_with_outcome(factory, name, run):
    """Folder and outcome of a run that is made once; not to be changed.

    Args:
      factory: pytest's.
      name: of the run.
      run: returns the outcome of a run in a folder.
    """

    def fill(folder):
        outcome = run(folder / "run")
        assert outcome.status == 0, outcome.err
        (folder / "outcome.json").write_text(json.dumps(outcome))

    folder = made_once.folder(factory, name, fill)
    return folder / "run", Outcome(*json.loads((folder / "outcome.json").read_text()))


@pytest.fixture(scope="session")
def small_data(tmp_path_factory):
    """Folder of the small demo data; not to be changed."""

    def fill(folder):
        outcome = launching.call("convert", *SMALL_DATA, f"--data_dir={folder / 'data'}")
        assert outcome.status == 0, outcome.err

    return made_once.folder(tmp_path_factory, "small_data", fill) / "data"


@pytest.fixture(scope="session")
def reproducible(small_data):
    """Flags of a small run that gives the same bits again."""
    epochs = ("--peterrec.pretrain_epochs=3", "--peterrec.finetune_epochs=3")
    return (*SMALL_RUN, *epochs, f"--data_dir={small_data}", "--deterministic")


@pytest.fixture(scope="session")
def finished(reproducible, tmp_path_factory):
    """Folder and outcome of such a run, whole and by the script itself."""
    return made_once_with_outcome(
        tmp_path_factory,
        "finished_run",
        lambda workdir: launching.script("train", *reproducible, f"--workdir={workdir}"),
    )


@pytest.fixture(scope="session")
def finished_timirec(small_data, tmp_path_factory):
    """Folder and outcome of a run of TiMiRec with report and export."""
    flags = (*SMALL_TIMIREC_RUN, f"--data_dir={small_data}")
    return made_once_with_outcome(
        tmp_path_factory,
        "finished_timirec_run",
        lambda workdir: launching.call("train", *flags, f"--workdir={workdir}"),
    )


@pytest.fixture(scope="session")
def impression_data(tmp_path_factory):
    """Folder of a small demo data set of impressions; not to be changed."""

    def fill(folder):
        where = ("--log=impressions", f"--data_dir={folder / 'data'}")
        outcome = launching.call("convert", *SMALL_IMPRESSIONS, *where)
        assert outcome.status == 0, outcome.err

    return made_once.folder(tmp_path_factory, "impression_data", fill) / "data"
