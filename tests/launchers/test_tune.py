"""tune.py: searches on validation alone, goes on after a stop, and gives a flagfile that trains."""

import json

import pytest

from launchers.tuning import trials
from tests.end_to_end import launching
from tests.end_to_end.launching import SMALL_RUN

SEARCH = """
[peterrec]
finetune_learning_rate = {low = 1e-3, high = 1e-1, log = true}
l2 = [0.0, 1e-3]
"""
RUN = (*SMALL_RUN, "--peterrec.finetune_epochs=2", "--nojit_compile")
ONE_STAGE = "--peterrec.adaptation=from_scratch"


@pytest.fixture
def tune(small_data, tmp_path):
    """Calls tune.py in this process."""

    def run(*arguments, text=SEARCH, flags=(*RUN, ONE_STAGE)):
        search = tmp_path / "search.toml"
        search.write_text(text)
        where = (f"--data_dir={small_data}", f"--workdir={tmp_path / 'search'}")
        return launching.call("tune", *flags, f"--search={search}", *where, *arguments)

    return run


def test_a_search_goes_on_where_it_stopped_and_its_best_trains(
    tune, small_data, tmp_path, monkeypatch
):
    def interrupted(*_):
        raise KeyboardInterrupt

    folder = tmp_path / "search"
    kept = "--titles.path=titles.csv"  # nothing to a search, but to the run of its best
    with monkeypatch.context() as patch:
        patch.setattr(trials.optuna.Trial, "should_prune", interrupted)
        stopped = tune("--trials=1", kept)
    assert stopped.status == 130
    assert (folder / "trials" / "0" / "checkpoints").exists()

    outcome = tune("--trials=1", kept)
    assert outcome.status == 0, outcome.err
    assert "finetune epoch 1" not in outcome.out  # as trial 0 goes on
    assert "2 trials, by validation NDCG@10" in outcome.out
    # The test of no trial was read, and no weights are left.
    assert not list(folder.glob("trials/*/metrics.json"))
    assert not list(folder.glob("trials/*/checkpoints"))

    best = (folder / "best.cfg").read_text()
    assert kept in best.splitlines()
    score = float(best.splitlines()[0].partition("NDCG@10 ")[2].partition(" ")[0])
    again = ("--data_dir", small_data, "--workdir", tmp_path / "best")
    trained = launching.call("train", f"--flagfile={folder / 'best.cfg'}", *again)
    assert trained.status == 0, trained.err
    metrics = json.loads((tmp_path / "best" / "metrics.json").read_text())
    assert metrics["validation"]["NDCG@10"] == pytest.approx(score, abs=5e-5)

    other = tune("--trials=3", kept, "--seed=1")
    assert "a search with another flag (none there, --seed=1 now)" in other.error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--search=",), "--search is missing"),
        (("--trials=0",), "flag --trials=0"),
    ],
)
def test_what_cannot_be_searched_is_refused(tune, arguments, message):
    assert message in tune(*arguments).error


def test_fields_of_other_systems_are_refused(tune):
    outcome = tune(flags=("--system=timirec", "--target=target"))
    assert "'peterrec' is none of the groups that can be searched: [timirec]" in outcome.error


def test_several_targets_are_refused(tune):
    outcome = tune(
        flags=("--system=timirec", "--target=all"), text="[examples]\nmax_length = [5, 10]"
    )
    assert "a search has one target" in outcome.error


def test_settings_that_do_not_fit_are_named(tune):
    # Each fits the other flags, but an adapter needs channels that its branches can share.
    text = "[peterrec]\nchannels = [4]\ncardinality = [2]"
    outcome = tune("--trials=2", flags=RUN, text=text)
    assert "trial 1: refused: channels must be a multiple of 4 * cardinality" in outcome.out
    assert "no trial came to its end; see trials.csv" in outcome.error
