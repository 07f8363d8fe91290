"""The files of a run: who may write, what survives a kill."""

import json
import tempfile

import pytest

from tfcdr.errors import RunError
from tfcdr.runs.run_folder import RunFolder

CONFIG = {
    "system": "peterrec",
    "config": {"channels": 64, "dilations": (1, 4)},
    "seed": 0,
    "data_dir": "/data",
    "versions": {"tensorflow": "2.20.0"},
}


@pytest.fixture
def folder(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.claim(CONFIG)
    return folder


def line(stage, epoch):
    return {"stage": stage, "epoch": epoch, "loss": 1.5, "validation": {"AUC": 0.5}}


def test_claimed_folder_tells_its_configuration(folder):
    assert folder.config()["config"] == {"channels": 64, "dilations": [1, 4]}


def test_the_same_configuration_may_claim_again(folder):
    folder.claim(CONFIG)


def test_only_a_run_with_figures_and_these_settings_is_finished(folder, tmp_path):
    assert not folder.is_finished(CONFIG)
    folder.finish({"validation": {}, "test": {}})
    assert folder.is_finished({**CONFIG, "data_dir": "/moved"})
    assert not folder.is_finished({**CONFIG, "seed": 1})
    assert not RunFolder(tmp_path / "none").is_finished(CONFIG)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"seed": 1}, "seed: 0 there, 1 now"),
        ({"config": {"channels": 32, "dilations": (1, 4)}}, "config.channels: 64 there, 32 now"),
        (
            {"config": {"channels": 64, "dilations": (1,)}},
            r"config.dilations: \[1, 4\] there, \[1\] now",
        ),
        ({"config": {"dilations": (1, 4)}}, "config.channels: 64 there, None now"),
    ],
)
def test_another_configuration_is_refused_naming_what_differs(folder, change, named):
    with pytest.raises(RunError, match=rf"another configuration \({named}\).*--workdir"):
        folder.claim({**CONFIG, **change})
    assert folder.config()["seed"] == 0


def test_every_difference_is_named(folder):
    with pytest.raises(RunError, match=r"seed.*; system: peterrec there, biao now"):
        folder.claim({**CONFIG, "seed": 3, "system": "biao"})


def test_other_versions_and_moved_data_may_resume(folder):
    folder.claim({**CONFIG, "versions": {"tensorflow": "2.21.0"}, "data_dir": "/elsewhere"})


def test_a_folder_of_other_files_is_refused_and_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(RunError, match="neither an empty folder nor a run"):
        RunFolder(tmp_path).claim(CONFIG)
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("leftover", ["data", ".data.unfinished-x1y2", ".config.json.incomplete"])
def test_what_a_killed_start_leaves_does_not_block_the_next(tmp_path, leftover):
    (tmp_path / leftover).mkdir()
    if leftover.endswith("incomplete"):
        (tmp_path / leftover).rmdir()
        (tmp_path / leftover).write_text('{"sys')
    RunFolder(tmp_path).claim(CONFIG)
    assert RunFolder(tmp_path).config()["system"] == "peterrec"


def test_a_folder_that_cannot_be_written_is_told_before_a_run_goes_on(folder, monkeypatch):
    def read_only(*args, **kwargs):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(tempfile, "mkstemp", read_only)
    with pytest.raises(RunError, match=r"run: cannot be written \(Read-only file system\); mend"):
        folder.claim(CONFIG)
    RunFolder(folder.path, writable=False).claim(CONFIG)
    folder.finish({"test": {}})
    folder.claim(CONFIG)  # Of a finished run nothing is left to write.


def test_no_run_says_what_to_do(tmp_path):
    with pytest.raises(RunError, match=r"no run here.*train\.py"):
        RunFolder(tmp_path).config()


def test_metrics_mark_a_finished_run(folder):
    assert folder.metrics() is None
    folder.finish({"test": {"HR@10": 0.5}})
    folder.add_to_metrics({"transfer": {"gain": 0.1}})
    assert folder.metrics() == {"test": {"HR@10": 0.5}, "transfer": {"gain": 0.1}}
    assert json.loads((folder.path / "metrics.json").read_text()) == folder.metrics()


def test_epochs_are_kept_by_stage(folder):
    assert folder.epochs("pretrain") == []
    for entry in (line("pretrain", 1), line("pretrain", 2), line("finetune", 1)):
        folder.add_epoch(entry)
    assert folder.epochs("pretrain") == [line("pretrain", 1), line("pretrain", 2)]
    assert folder.epochs("finetune") == [line("finetune", 1)]


def test_forgets_only_one_stages_later_epochs(folder):
    for entry in (line("pretrain", 1), line("pretrain", 2), line("finetune", 2)):
        folder.add_epoch(entry)
    folder.forget_epochs("pretrain", after=1)
    assert folder.epochs("pretrain") == [line("pretrain", 1)]
    assert folder.epochs("finetune") == [line("finetune", 2)]


def test_half_a_last_line_is_dropped_and_the_next_epoch_is_not_lost(folder):
    folder.add_epoch(line("pretrain", 1))
    path = folder.path / "metrics.jsonl"
    path.write_text(path.read_text() + json.dumps(line("pretrain", 2))[:20])
    assert folder.epochs("pretrain") == [line("pretrain", 1)]
    folder.forget_epochs("pretrain", after=1)
    folder.add_epoch(line("pretrain", 2))
    assert folder.epochs("pretrain") == [line("pretrain", 1), line("pretrain", 2)]
    assert len(path.read_text().splitlines()) == 2


def test_a_last_line_without_its_end_does_not_swallow_the_next(folder):
    # Killed between the line's text and its newline: the epoch is whole.
    path = folder.path / "metrics.jsonl"
    path.write_text(json.dumps(line("pretrain", 1)))
    folder.forget_epochs("pretrain", after=1)
    folder.add_epoch(line("pretrain", 2))
    assert folder.epochs("pretrain") == [line("pretrain", 1), line("pretrain", 2)]


def test_stages_have_their_own_checkpoints(folder):
    stages, kinds = ("pretrain", "finetune"), ("best", "latest")
    places = {folder.checkpoints(stage, kind) for stage in stages for kind in kinds}
    assert len(places) == 4
    assert all(str(folder.path) in place for place in places)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"3", b"\xff\xfe", b"[" * 100_000, None])
@pytest.mark.parametrize("name", ["config.json", "metrics.json"])
def test_damaged_state_files_are_named_with_what_to_do(folder, name, content):
    path = folder.path / name
    path.unlink(missing_ok=True)
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(RunError, match=rf"{name}: (damaged|cannot be read) .*; (use|remove) "):
        folder.config() if name == "config.json" else folder.metrics()


def test_lines_of_epochs_that_are_none_are_passed_over_and_none_counts_twice(folder):
    for epoch in (1, 2, 2, 3):
        folder.add_epoch(line("pretrain", epoch))
    with (folder.path / "metrics.jsonl").open("a") as file:
        file.write('[]\n{"stage": "pretrain"}\n3\n{"stage": "pre')
    assert [each["epoch"] for each in folder.epochs("pretrain")] == [1, 2, 3]
    (folder.path / "metrics.jsonl").write_text('{"stage": "pretrain", "epoch": 4}\n')
    with pytest.raises(RunError, match=r"metrics\.jsonl: damaged \(the line of pretrain's epoch 4"):
        folder.epochs("pretrain")
    (folder.path / "metrics.jsonl").write_bytes(b"\xff\xfe")
    with pytest.raises(RunError, match=r"metrics\.jsonl: damaged"):
        folder.epochs("pretrain")


def test_epochs_that_a_checkpoint_has_trained_are_missed(folder):
    folder.add_epoch({"stage": "pretrain", "epoch": 1, "validation": {}})
    folder.check_epochs("pretrain", 1)
    with pytest.raises(RunError, match=r"metrics\.jsonl: lacks epochs of stage pretrain, 1 of 2"):
        folder.check_epochs("pretrain", 2)
