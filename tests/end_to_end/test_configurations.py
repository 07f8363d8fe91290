"""Every kind of run that the flags offer trains, and trains what it says."""

import json

import pytest

from launchers import finished_run
from tests.end_to_end import launching
from tests.end_to_end.launching import SMALL_RUN
from tfcdr.runs.experiment import Experiment

SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"


@pytest.fixture
def train(small_data, tmp_path):
    """Trains with flags on top of the small ones; returns the folder and the outcome."""
    return lambda *arguments: run(small_data, tmp_path / "run", *arguments)


@pytest.fixture(scope="module")
def pretrained(small_data, tmp_path_factory):
    """Folder of a run of the first stage alone, from which others start."""
    workdir = tmp_path_factory.mktemp("pretrained") / "run"
    return run(small_data, workdir, "--peterrec.stages=pretrain", "--nojit_compile")[0]


def run(data_dir, workdir, *arguments):
    flags = (*SMALL_RUN, f"--data_dir={data_dir}", f"--workdir={workdir}")
    outcome = launching.call("train", *flags, *arguments)
    assert outcome.status == 0, outcome.err
    return workdir, outcome


def trunk(workdir, stage):
    return {
        name.removeprefix("model/trunk/").removesuffix(SUFFIX): tensor
        for name, tensor in launching.checkpoint(workdir, stage).items()
        if name.startswith("model/trunk/")
    }


def changed_by_finetuning(before, after):
    """Names of the tensors of the trunk pre-trained in a run that another's fine-tuning changed."""
    first, second = trunk(before, "pretrain"), trunk(after, "finetune")
    return launching.differing(first, {name: second[name] for name in first})


def metrics(workdir):
    return json.loads((workdir / "metrics.json").read_text())


# `test_run_files` has causal adapters, compiled.
NORMS_OF_ADAPTERS = {"blocks/0/norm2/beta", "blocks/0/norm2/gamma"}


def test_finetuning_of_what_looks_both_ways_changes_only_what_is_not_frozen(train):
    workdir, outcome = train("--peterrec.causal=false", "--peterrec.position_embedding")
    assert changed_by_finetuning(workdir, workdir) == NORMS_OF_ADAPTERS
    assert metrics(workdir)["stages"].keys() == {"pretrain", "finetune"}
    assert " frozen" in outcome.out


@pytest.mark.parametrize(
    ("flag", "changed"),
    [
        ("insertion=parallel", NORMS_OF_ADAPTERS),
        ("adaptation=last_layer", set()),
        ("adaptation=fine_tune_all", None),
    ],
)
def test_finetuning_changes_only_what_is_not_frozen(train, pretrained, flag, changed):
    workdir, outcome = train(f"--peterrec.{flag}", f"--pretrained={pretrained}", "--nojit_compile")
    names = trunk(pretrained, "pretrain").keys()
    everything = changed is None
    assert changed_by_finetuning(pretrained, workdir) == (set(names) if everything else changed)
    # Who tunes everything or the last layer alone, has no adapters.
    assert (trunk(workdir, "finetune").keys() == names) == ("adaptation" in flag)
    assert ("parameters, 0 frozen" in outcome.out) == everything


@pytest.mark.parametrize(
    ("adaptation", "causal", "has_adapters", "is_frozen"),
    [("from_scratch", "true", False, False), ("no_pretraining", "false", True, True)],
)
def test_without_pretraining_there_is_one_stage(train, adaptation, causal, has_adapters, is_frozen):
    workdir, outcome = train(
        f"--peterrec.adaptation={adaptation}", f"--peterrec.causal={causal}", "--nojit_compile"
    )
    assert metrics(workdir)["stages"].keys() == {"finetune"}
    assert {path.name for path in (workdir / "checkpoints").iterdir()} == {"finetune"}
    assert any("adapter" in name for name in trunk(workdir, "finetune")) == has_adapters
    assert ("parameters, 0 frozen" in outcome.out) != is_frozen


def test_pretraining_alone_ranks_the_source(pretrained):
    assert metrics(pretrained)["stages"].keys() == {"pretrain"}
    rows = metrics(pretrained)["tables"]["test"]
    assert {row["protocol"] for row in rows} == {"full"}
    source = finished_run.load(pretrained)[""].source
    examples = source.num_examples("next_item", "test")
    assert {row["interactions"] for row in rows if row["group"] == "all"} == {examples}


def test_comparison_says_whether_the_transfer_helped(train, pretrained):
    flags = ("--compare_no_transfer", f"--pretrained={pretrained}", "--nojit_compile")
    workdir, outcome = train(*flags)
    lines = outcome.out.splitlines()
    # The verdict may be followed by a warning that the baseline itself is below a bar.
    verdict = next(line for line in lines if line.startswith("transfer "))
    (box,) = [place for place, line in enumerate(lines) if line.startswith("╭")]
    said = lines[lines.index(verdict) :]
    cold, warm, pretraining = lines[box - 4 : box - 1]
    for row in ("the model ", "item neighbours ", "without transfer ", "without pre-training "):
        assert sum(line.startswith(f"│ {row}") for line in lines[box:]) == 1
    assert "│ next     python launchers/recommend.py" in outcome.out
    # The model's own tables are the only ones, and last.
    assert outcome.out.count("\ntest\n") == 1
    assert verdict.startswith("transfer ")
    assert verdict.endswith(", over users of one training")
    assert (cold.split(":")[0], warm.split(":")[0]) == ("  cold", "  warm")
    assert pretraining.startswith("pre-training ")
    gain = metrics(workdir)["transfer"]
    for lacking in ("no_transfer", "no_pretraining"):
        assert metrics(workdir / lacking)["stages"].keys() == {"finetune"}
    tested = {
        part: next(row for row in of["tables"]["test"] if row["group"] == "cold")
        for part, of in (("all", metrics(workdir)), ("none", metrics(workdir / "no_transfer")))
    }
    # Whom the baseline cannot rank, having no history in the target, gets the most popular from it.
    assert tested["none"]["interactions"] < tested["all"]["interactions"]
    compared = metrics(workdir)["transfer_groups"]["cold"]["rows"]
    assert compared == tested["all"]["interactions"]
    assert gain["metric"] == "NDCG@10"
    assert gain["gain"] == pytest.approx(gain["transfer"] - gain["no_transfer"])
    assert gain["low"] <= gain["gain"] <= gain["high"]
    assert f"{gain['transfer']:.4f}" in verdict

    before = launching.files(workdir)
    with pytest.MonkeyPatch.context() as patch:
        # What is finished reads no splits any more.
        patch.delattr(Experiment, "check_data")
        _, again = train(*flags)
    assert again.out.count("this run is finished; nothing to do.") == 3
    assert again.out.splitlines()[-len(said) :] == said
    assert launching.files(workdir) == before
