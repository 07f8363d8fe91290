import pytest

from tests.end_to_end import launching
from tests.end_to_end.launching import SMALL_DATA, SMALL_RUN


@pytest.fixture(scope="package")
def small_data(tmp_path_factory):
    """Folder of the small demo data with every view."""
    folder = tmp_path_factory.mktemp("small") / "data"
    views = "--view=next_item,masked_item,transfer,leave_one_out"
    outcome = launching.call("convert", *SMALL_DATA, views, f"--data_dir={folder}")
    assert outcome.status == 0, outcome.err
    return folder


@pytest.fixture(scope="package")
def reproducible(small_data):
    """Flags of a small run that gives the same bits again."""
    epochs = ("--peterrec.pretrain_epochs=3", "--peterrec.finetune_epochs=3")
    return (*SMALL_RUN, *epochs, f"--data_dir={small_data}", "--deterministic")


@pytest.fixture(scope="package")
def finished(reproducible, tmp_path_factory):
    """Folder and outcome of such a run, whole and by the script itself; not to be changed."""
    workdir = tmp_path_factory.mktemp("finished") / "run"
    outcome = launching.script("train", *reproducible, f"--workdir={workdir}")
    assert outcome.status == 0, outcome.err
    return workdir, outcome
