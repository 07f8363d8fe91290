"""What a search leaves: its table, what mattered, the best flagfile."""

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState, create_trial

from launchers.tuning import outcome

RATE, KIND = FloatDistribution(1e-4, 1e-1, log=True), CategoricalDistribution(["a", "b"])


def trial(score, rate, kind, state=TrialState.COMPLETE, reached=()):
    return create_trial(
        value=score,
        state=state,
        params={"rate": rate, "kind": kind},
        distributions={"rate": RATE, "kind": KIND},
        intermediate_values=dict(enumerate(reached, start=1)),
    )


@pytest.fixture
def study():
    """The rate decides, the kind does not matter."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    made = optuna.create_study(direction="maximize")
    for place in range(8):
        rate = 1e-4 * 2**place
        made.add_trial(trial(place / 10, rate, "ab"[place % 2], reached=[0.0, place / 10]))
    made.add_trial(trial(None, 1e-3, "a", TrialState.PRUNED, reached=[0.35]))
    return made


def test_the_table_orders_trials_by_what_they_reached(study):
    table = outcome.table(study)
    assert list(table["score"]) == [0.7, 0.6, 0.5, 0.4, 0.35, 0.3, 0.2, 0.1, 0.0]
    assert list(table["trial"][:2]) == [7, 6]
    assert table["state"][4] == "stopped early"
    assert table["epochs"][4] == 1


def test_what_mattered_is_the_field_that_moves_the_score(study):
    mattered = outcome.importances(study)
    assert list(mattered) == ["rate", "kind"]
    assert mattered["rate"] > 0.8


def test_nothing_is_said_about_what_mattered_after_few_trials():
    study = optuna.create_study(direction="maximize")
    study.add_trial(trial(0.1, 1e-3, "a"))
    assert outcome.importances(study) == {}


def test_the_best_flagfile_overrides_what_trials_share(study):
    text = outcome.flagfile(study, "NDCG@10", ["--system=x", "--kind=a", "--nojit_compile"])
    first, *lines = text.splitlines()
    assert first == "# The best of 8 trials: validation NDCG@10 0.7000 (trial 7)."
    assert lines == ["--system=x", "--nojit_compile", "--rate=0.0128", "--kind=b"]


def test_pictures_and_table_are_written(study, tmp_path):
    written = outcome.write(study, "NDCG@10", ["--system=x"], tmp_path)
    assert [path.name for path in written] == ["trials.csv", "search.png", "best.cfg"]
    assert (tmp_path / "search.png").read_bytes().startswith(b"\x89PNG")
