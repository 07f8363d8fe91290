"""audit.py on finished runs and on planted truths."""

import pytest

from data_pipelines.prepared.history_audit import ReadLater
from launchers.auditing import trials
from launchers.auditing.findings import Finding
from launchers.auditing.trials import Trial
from tests.end_to_end import launching
from tfcdr.ranking.transfer_audit import Audit
from tfcdr.transfer_gain import TransferGain


def audit(*flags):
    return launching.forked("audit", *map(str, flags))


def finding(late=0, unknown=0):
    gain = TransferGain("NDCG@10", 0.2, 0.1, 0.1, 0.05, 0.15, rows=10)
    audit = Audit(gain, groups={}, small={}, level=0.95, trainings=3)
    return Finding(audit, ReadLater(10, late, unknown), {})


def test_what_reads_the_future_is_not_to_be_trusted():
    found = finding(late=3)
    assert found.advice()[0].startswith("Do NOT trust these figures")
    assert "3 of 10 test rows" in found.about_times()
    assert "--examples.source_history" in found.about_times()
    assert finding().advice()[0].startswith("Keep the transfer")


def test_times_that_cannot_be_compared_are_said():
    text = finding(unknown=4).about_times()
    assert text.startswith("Nothing that is read of 6 test rows")
    assert "Of 4 others nobody knows" in text


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "--workdir is missing"),
        (["--workdir=nowhere"], "nowhere"),
        (["--workdir=nowhere", "--trials=1"], "--trials audits no run: leave --workdir out."),
        (["--data_dir=nowhere", "--trials=1"], "--trials audits no run: leave --data_dir out."),
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


def test_a_transfer_that_helps_is_found(monkeypatch):
    monkeypatch.setattr(trials, "_TRAININGS", 1)  # a great effect needs no more
    trial = trials.make("helped", seed=0)
    assert trial.is_right
    assert trial.low > 0


def test_the_table_counts_what_was_right():
    made = [
        Trial("helped", 0, "helped", 0.2, 0.1, 0.3),
        Trial("helped", 1, "made no measurable difference", 0.1, -0.1, 0.3),
        Trial("hurt", 0, "HURT", -0.2, -0.3, -0.1),
        Trial("nothing", 0, "made no measurable difference", 0.0, -0.1, 0.1),
        Trial("nothing", 1, "helped", 0.2, 0.1, 0.3),
    ]
    table = trials.table(made).set_index("truth")
    assert table["trials"].to_dict() == {"helped": 2, "nothing": 2, "hurt": 1, "all": 5}
    assert table["right"].to_dict() == {"helped": 1, "nothing": 1, "hurt": 1, "all": 3}
    assert table.loc["all", ["least gain", "greatest gain"]].tolist() == [-0.2, 0.2]
