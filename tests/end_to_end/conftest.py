import json

import pytest

from tests import made_once
from tests.end_to_end import launching
from tests.end_to_end.launching import SMALL_DATA, SMALL_RUN


@pytest.fixture(scope="session")
def small_data(tmp_path_factory):
    """Folder of the small demo data with every view; not to be changed."""

    def fill(folder):
        views = "--view=next_item,masked_item,transfer,leave_one_out"
        outcome = launching.call("convert", *SMALL_DATA, views, f"--data_dir={folder / 'data'}")
        assert outcome.status == 0, outcome.err

    return made_once.folder(tmp_path_factory, "small_data", fill) / "data"


@pytest.fixture(scope="session")
def reproducible(small_data):
    """Flags of a small run that gives the same bits again."""
    epochs = ("--peterrec.pretrain_epochs=3", "--peterrec.finetune_epochs=3")
    return (*SMALL_RUN, *epochs, f"--data_dir={small_data}", "--deterministic")


@pytest.fixture(scope="session")
def finished(reproducible, tmp_path_factory):
    """Folder and outcome of such a run, whole and by the script itself; not to be changed."""

    def fill(folder):
        outcome = launching.script("train", *reproducible, f"--workdir={folder / 'run'}")
        assert outcome.status == 0, outcome.err
        (folder / "outcome.json").write_text(json.dumps(outcome))

    folder = made_once.folder(tmp_path_factory, "finished_run", fill)
    return folder / "run", launching.Outcome(*json.loads((folder / "outcome.json").read_text()))
