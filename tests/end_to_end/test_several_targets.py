"""One data set, several targets: in one run, and by a run that was pre-trained for another."""

import json

import pytest
import tensorflow as tf

from tests.end_to_end import launching
from tests.end_to_end.launching import SMALL_DATA, SMALL_RUN

# Later flags win.
RUN = (*SMALL_RUN, "--nojit_compile", "--target=target,noise")


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("three_domains") / "data"
    flags = (*SMALL_DATA, "--synthetic.noise_source", f"--data_dir={folder}")
    outcome = launching.call("convert", *flags)
    assert outcome.status == 0, outcome.err
    return folder


@pytest.fixture(scope="module")
def trained(data_dir, tmp_path_factory):
    """Folder and outcome of a run with two targets."""
    workdir = tmp_path_factory.mktemp("two_targets") / "run"
    wishes = ("--export", "--report", "--compare_no_transfer")
    where = (f"--data_dir={data_dir}", f"--workdir={workdir}")
    outcome = launching.call("train", *RUN, *wishes, *where)
    assert outcome.status == 0, outcome.err
    return workdir, outcome


def metrics(folder):
    return json.loads((folder / "metrics.json").read_text())


def test_all_targets_share_one_pretraining(trained):
    workdir, outcome = trained
    first, second = workdir / "target-target", workdir / "target-noise"
    assert list(metrics(first)["stages"]) == ["pretrain", "finetune"]
    assert list(metrics(second)["stages"]) == ["finetune"]
    assert f"pretrain: taken from {first}" in outcome.out
    for folder in (first, second):
        reading = json.loads((folder / "config.json").read_text())["reading"]
        assert (reading["sources"], reading["targets"]) == (["source"], ["target", "noise"])
        assert (folder / "report" / "index.html").exists()
        assert metrics(folder / "no_transfer")["stages"].keys() == {"finetune"}


def test_figures_are_means_and_those_of_each_target(trained):
    workdir, _ = trained
    whole = metrics(workdir)
    assert list(whole["targets"]) == ["target", "noise"]
    for split in ("validation", "test"):
        of_targets = [metrics(workdir / f"target-{name}")[split] for name in whole["targets"]]
        for name, value in whole[split].items():
            assert value == pytest.approx(sum(of[name] for of in of_targets) / 2)
    assert whole["targets"]["noise"]["transfer"]["metric"] == "NDCG@10"


def test_every_target_has_its_tables_and_verdict(trained):
    workdir, outcome = trained
    titles = [
        line for line in outcome.out.splitlines() if line in ("target target", "target noise")
    ]
    assert titles == ["target target", "target noise"]
    verdicts = [line for line in outcome.out.splitlines() if line.startswith("transfer ")]
    assert len(verdicts) == 2
    evaluated = launching.forked("evaluate", f"--workdir={workdir}")
    assert evaluated.status == 0, evaluated.err
    for table in evaluated.out.split("\ntarget ")[1:]:
        assert table.partition("\n")[2].strip() in outcome.out


def test_recommendations_are_of_the_domain_that_is_asked_for(trained):
    workdir, _ = trained
    recommend = tf.saved_model.load(str(workdir / "export" / "1")).signatures["recommend"]
    answer = recommend(
        history=tf.constant([["source_item_1"], ["source_item_1"]]),
        seen_items=tf.constant([[""], [""]]),
        domain=tf.constant(["noise", "target"]),
    )
    for row, prefix in zip(answer["items"].numpy(), (b"noise_item_", b"target_item_"), strict=True):
        assert len(set(row)) == 10
        assert all(item.startswith(prefix) for item in row)


def test_finished_runs_are_not_trained_again(trained, data_dir):
    workdir, _ = trained
    before = launching.files(workdir)
    where = (f"--data_dir={data_dir}", f"--workdir={workdir}")
    again = launching.call("train", *RUN, "--compare_no_transfer", *where)
    assert again.status == 0, again.err
    assert again.out.count("this run is finished; nothing to do.") == 2 * 3
    assert launching.files(workdir) == before
    other = launching.call("train", *RUN, "--target=target", *where)
    assert other.status == 1
    assert "holds a run of another configuration" in other.error


def test_a_run_of_another_target_can_be_taken_over(data_dir, tmp_path):
    """It says what that run has read which this one's pre-training would have left out."""

    def run(name, *flags):
        where = (f"--data_dir={data_dir}", f"--workdir={tmp_path / name}")
        return launching.call("train", *RUN, *where, *flags)

    first = run("first", "--target=target", "--sources=source", "--peterrec.stages=pretrain")
    assert first.status == 0, first.err
    taken = f"--pretrained={tmp_path / 'first'}"
    second = run("second", "--target=noise", "--sources=source", taken)
    assert second.status == 0, second.err
    [said] = [line for line in second.out.splitlines() if "pre-trained for target." in line]
    assert int(said.split("It has read ")[1].split()[0].replace(",", "")) > 0
    assert list(metrics(tmp_path / "second")["stages"]) == ["finetune"]
