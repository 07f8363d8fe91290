"""evaluate.py prints what training printed, and names what is damaged."""

import json
import shutil

import pandas as pd
import pytest

from launchers import finished_run
from tests.end_to_end import launching
from tests.end_to_end.launching import SMALL_DATA, SMALL_RUN
from tfcdr.errors import RunError


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Folder of a small run that has prepared its own data, and what training printed."""
    workdir = tmp_path_factory.mktemp("trained") / "run"
    flags = (*SMALL_DATA, *SMALL_RUN, "--nojit_compile", f"--workdir={workdir}")
    outcome = launching.call("train", *flags)
    assert outcome.status == 0, outcome.err
    return workdir, outcome.out


@pytest.fixture
def broken(trained, tmp_path):
    """A copy of the run to damage."""
    return shutil.copytree(trained[0], tmp_path / "run")


def damage(path, kind):
    content = bytearray(path.read_bytes())
    if kind == "truncated":
        del content[len(content) * 2 // 3 :]
    else:
        content[len(content) // 2] ^= 1
    path.write_bytes(content)


def tables(out):
    """Tables and verdicts, without what training ends with."""
    return out[out.index("\nvalidation\n") :].partition("╭")[0].rstrip()


def test_prints_the_same_tables_as_training(trained):
    workdir, printed = trained
    before = launching.files(workdir)
    outcome = launching.script("evaluate", f"--workdir={workdir}")
    assert outcome.status == 0, outcome.err
    assert tables(outcome.out) == tables(printed)
    # The tables are those of metrics.json.
    metrics = json.loads((workdir / "metrics.json").read_text())
    shown = [line.split() for line in outcome.out.splitlines()]
    [validation, test] = [row for row in shown if row[:3] == ["full", "all", "model"]]
    for row, split in ((validation, "validation"), (test, "test")):
        names = [f"{name}@10" for name in ("HR", "NDCG", "MRR", "Recall")] + ["AUC"]
        assert row[4:] == [f"{metrics[split][name]:.4f}" for name in names]
    assert launching.files(workdir) == before


def test_metrics_cutoffs_and_groups_are_chosen_and_written(trained, tmp_path):
    workdir, _ = trained
    path = tmp_path / "tables.csv"
    chosen = ("--metrics=NDCG,coverage,popularity", "--ks=10,40", "--groups=cold,all")
    outcome = launching.forked("evaluate", f"--workdir={workdir}", *chosen, f"--output={path}")
    assert outcome.status == 0, outcome.err
    table = pd.read_csv(path)
    names = [f"{name}@{k}" for name in ("NDCG", "coverage", "popularity") for k in (10, 40)]
    assert set(table.columns[5:]) == set(names)
    assert set(table["group"]) == {"all", "cold"}
    assert set(table["split"]) == {"validation", "test"}
    metrics = json.loads((workdir / "metrics.json").read_text())
    model = table.query("split == 'test' and protocol == 'full' and group == 'all'")
    by_scorer = model.set_index("scorer")
    assert by_scorer["NDCG@10"]["model"] == pytest.approx(metrics["test"]["NDCG@10"])
    # Of 50 items; most popular leaves out what each has taken, and nothing else.
    assert by_scorer["coverage@10"]["most popular"] < by_scorer["coverage@10"]["item neighbours"]
    assert by_scorer["coverage@40"]["model"] <= 1
    assert by_scorer["popularity@10"].idxmax() == "most popular"
    assert table[table["protocol"] == "sampled"]["coverage@10"].isna().all()
    assert f"wrote {path}" in outcome.out
    assert " item neighbours: test NDCG@10 " in outcome.out  # the verdict


def test_a_cutoff_that_is_none_is_one_line(trained):
    outcome = launching.forked("evaluate", f"--workdir={trained[0]}", "--ks=0")
    assert outcome.status == 2
    assert "--ks=0: cut-offs are whole numbers from 1" in outcome.error


def test_a_killed_export_is_exported_by_the_same_command(broken, trained):
    (broken / "export" / ".unfinished-x" / "saved_model").mkdir(parents=True)
    # And one that a damaged disk has emptied is none.
    (broken / "export" / "1").mkdir()
    (broken / "export" / "1" / "saved_model.pb").touch()
    flags = (*SMALL_DATA, *SMALL_RUN, "--nojit_compile", f"--workdir={broken}", "--export")
    outcome = launching.call("train", *flags, f"--data_dir={broken / 'data'}")
    assert outcome.status == 0, outcome.err
    assert f"exported {broken}/export/2" in outcome.out
    assert sorted(path.name for path in (broken / "export").iterdir()) == ["1", "2"]
    again = launching.call("train", *flags, f"--data_dir={broken / 'data'}")
    assert "exported" not in again.out


def test_finds_data_that_has_moved(broken, trained):
    moved = broken.parent / "moved"
    (broken / "data").rename(moved)
    config = json.loads((broken / "config.json").read_text())
    config["data_dir"] = str(broken / "data")
    (broken / "config.json").write_text(json.dumps(config))
    with pytest.raises(RunError, match=f"was in {broken / 'data'}, .* new folder with --data_dir"):
        finished_run.load(broken)
    found = launching.forked("evaluate", f"--workdir={broken}", f"--data_dir={moved}")
    assert found.status == 0, found.err
    assert tables(found.out) == tables(trained[1])


def test_a_shard_with_a_wrong_byte_is_named(broken):
    [shard] = (broken / "data").rglob("histories-users.tfrecord-*")
    damage(shard, "flipped")
    outcome = launching.forked("evaluate", f"--workdir={broken}", f"--data_dir={broken / 'data'}")
    assert outcome.status == 1
    assert f"{shard}: damaged or truncated; convert the data again." in outcome.error


def test_training_names_a_truncated_shard_before_it_writes(broken, tmp_path):
    [shard] = (broken / "data").rglob("histories-users.tfrecord-*")
    damage(shard, "truncated")
    workdir = tmp_path / "new"
    where = (f"--data_dir={broken / 'data'}", f"--workdir={workdir}")
    outcome = launching.call("train", *SMALL_RUN, *where)
    assert outcome.status == 1
    assert f"{shard}: damaged or changed since the conversion; convert" in outcome.error
    assert not workdir.exists()


@pytest.mark.parametrize("stage", ["pretrain", "finetune"])
def test_a_checkpoint_of_another_shape_is_refused_by_training(broken, trained, stage):
    """As if someone had copied the checkpoints of a wider model into the run."""
    config = json.loads((broken / "config.json").read_text())
    config["config"]["channels"] = 32
    (broken / "config.json").write_text(json.dumps(config))
    (broken / "metrics.json").unlink()
    if stage == "finetune":
        wide = broken.parent / "wide"
        flags = ("--peterrec.channels=32", "--nojit_compile", f"--data_dir={broken / 'data'}")
        pretrain = ("--peterrec.stages=pretrain", f"--workdir={wide}")
        assert launching.call("train", *SMALL_RUN, *flags, *pretrain).status == 0
        shutil.rmtree(broken / "checkpoints" / "pretrain")
        shutil.copytree(wide / "checkpoints" / "pretrain", broken / "checkpoints" / "pretrain")
    before = launching.files(broken / "checkpoints")
    flags = ("--peterrec.channels=32", "--nojit_compile", f"--data_dir={broken / 'data'}")
    outcome = launching.call("train", *SMALL_RUN, *flags, f"--workdir={broken}")
    assert outcome.status == 1
    assert str(broken / "checkpoints" / stage / "latest") in outcome.error
    assert "the checkpoint does not fit the model" in outcome.error
    assert launching.files(broken / "checkpoints") == before


def test_a_checkpoint_of_another_stage_does_not_fit(broken):
    folder = broken / "checkpoints" / "finetune" / "best"
    shutil.rmtree(folder)
    shutil.copytree(broken / "checkpoints" / "pretrain" / "best", folder)
    outcome = launching.forked("evaluate", f"--workdir={broken}")
    assert outcome.status == 1
    assert str(folder) in outcome.error
    assert "the checkpoint does not fit the model" in outcome.error


@pytest.mark.parametrize("kind", ["truncated", "flipped"])
@pytest.mark.parametrize("pattern", ["*.index", "*.data-*"])
def test_a_damaged_checkpoint_is_named(broken, kind, pattern):
    [path] = (broken / "checkpoints" / "finetune" / "best").glob(pattern)
    damage(path, kind)
    with pytest.raises(RunError, match=f"{path.parent}.*: the checkpoint does not fit the model"):
        finished_run.load(broken)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.json", b"{", "config.json: damaged"),
        ("metrics.jsonl", None, "metrics.jsonl: lacks epochs of stage pretrain, 0 of 1"),
        ("data/users.txt", b"", "users.txt: damaged"),
        ("checkpoints/pretrain/latest/checkpoint", b"", "checkpoint: damaged, so that no"),
        ("checkpoints/finetune/best/checkpoint", None, "best: no checkpoint of stage finetune"),
    ],
)
def test_a_run_that_goes_on_names_what_is_damaged(broken, name, content, message):
    """Whether emptied or gone: one line that says what to do, and nothing is changed."""
    (broken / "metrics.json").unlink()
    (broken / name).unlink()
    if content is not None:
        (broken / name).write_bytes(content)
    before = launching.files(broken / "checkpoints")
    flags = (*SMALL_DATA, *SMALL_RUN, "--nojit_compile", f"--workdir={broken}")
    outcome = launching.call("train", *flags)
    assert outcome.status == 1
    assert str(broken / name).removesuffix("/checkpoint") in outcome.error
    assert message in outcome.error
    assert "remove" in outcome.error or "convert the data again" in outcome.error
    assert launching.files(broken / "checkpoints") == before


def test_a_run_without_a_checkpoint_is_named(broken):
    shutil.rmtree(broken / "checkpoints" / "finetune")
    with pytest.raises(RunError, match="no checkpoint of stage finetune; train first"):
        finished_run.load(broken)


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ([], 2, "--workdir is missing"),
        (["--workdir=nowhere"], 1, "nowhere: no run here"),
    ],
)
def test_a_missing_run_is_one_line(arguments, status, message):
    outcome = launching.forked("evaluate", *arguments)
    assert outcome.status == status
    assert message in outcome.error
