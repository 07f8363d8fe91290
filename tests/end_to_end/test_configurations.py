"""Every kind of run that the flags offer trains, and trains what it says."""

import json

import pytest

from launchers import finished_run
from tests.end_to_end import launching
from tests.end_to_end.launching import SMALL_RUN

SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"


@pytest.fixture
def train(small_data, tmp_path):
    """Trains with flags on top of the small ones; returns the folder and the outcome."""

    def run(*arguments):
        workdir = tmp_path / "run"
        flags = (*SMALL_RUN, f"--data_dir={small_data}", f"--workdir={workdir}")
        outcome = launching.call("train", *flags, *arguments)
        assert outcome.status == 0, outcome.err
        return workdir, outcome

    return run


def trunk(workdir, stage):
    return {
        name.removeprefix("model/trunk/").removesuffix(SUFFIX): tensor
        for name, tensor in launching.checkpoint(workdir, stage).items()
        if name.startswith("model/trunk/")
    }


def changed_by_finetuning(workdir):
    """Names of the pre-trained trunk's tensors that fine-tuning has changed."""
    before, after = trunk(workdir, "pretrain"), trunk(workdir, "finetune")
    return launching.differing(before, {name: after[name] for name in before})


def metrics(workdir):
    return json.loads((workdir / "metrics.json").read_text())


# `test_run_files` has causal adapters, compiled.
@pytest.mark.parametrize(
    ("arguments", "changed"),
    [
        (
            ("--peterrec.insertion=parallel", "--nojit_compile"),
            {"blocks/0/norm2/beta", "blocks/0/norm2/gamma"},
        ),
        (
            ("--peterrec.causal=false", "--peterrec.position_embedding"),
            {"blocks/0/norm2/beta", "blocks/0/norm2/gamma"},
        ),
        (
            ("--peterrec.causal=false", "--peterrec.adaptation=last_layer", "--nojit_compile"),
            set(),
        ),
    ],
)
def test_finetuning_changes_only_what_is_not_frozen(train, arguments, changed):
    workdir, outcome = train(*arguments)
    assert changed_by_finetuning(workdir) == changed
    assert metrics(workdir)["stages"].keys() == {"pretrain", "finetune"}
    assert " frozen" in outcome.out


def test_fine_tune_all_has_no_adapters_and_changes_everything(train):
    workdir, _ = train("--peterrec.adaptation=fine_tune_all", "--nojit_compile")
    names = trunk(workdir, "pretrain").keys()
    assert trunk(workdir, "finetune").keys() == names
    assert changed_by_finetuning(workdir) == names


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


def test_pretraining_alone_ranks_the_source(train):
    workdir, _ = train("--peterrec.stages=pretrain", "--nojit_compile")
    assert metrics(workdir)["stages"].keys() == {"pretrain"}
    rows = metrics(workdir)["tables"]["test"]
    assert {row["protocol"] for row in rows} == {"full"}
    source = finished_run.load(workdir)[""].source
    examples = source.num_examples("next_item", "test")
    assert {row["interactions"] for row in rows if row["group"] == "all"} == {examples}


def test_comparison_says_whether_the_transfer_helped(train):
    workdir, outcome = train("--compare_no_transfer", "--nojit_compile")
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
    _, again = train("--compare_no_transfer", "--nojit_compile")
    assert again.out.count("this run is finished; nothing to do.") == 3
    assert again.out.splitlines()[-len(said) :] == said
    assert launching.files(workdir) == before
