import json

import pytest
from absl.testing import flagsaver

from data_pipelines.errors import DataError
from data_pipelines.prepared import dataset
from launchers import data_flags, program
from tests.end_to_end import launching

CSV = "user_id,item_id,domain,timestamp\n" + "".join(
    f"u{user},{domain[0]}{(user * 3 + k) % 11},{domain},{10 * k + (domain == 'toys')}\n"
    for user in range(12)
    for domain in ("books", "toys")
    for k in range(5)
)


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text(CSV)
    return path


@pytest.fixture
def convert_in_process(log, tmp_path):
    """Runs the program in this process; returns (exit status, stdout, last line of stderr)."""

    def run(*arguments):
        defaults = (f"--data_dir={tmp_path / 'data'}", f"--input={log}", "--split.target=toys")
        defaults += ("--reader=csv", "--read.domains=books,toys")
        outcome = launching.call("convert", *defaults, *arguments)
        return outcome.status, outcome.out, outcome.err.strip().split("\n")[-1]

    return run


def test_converts_and_summarises_as_a_script(log, tmp_path):
    """The script itself, as people and other programs call it."""
    command = ["--reader=csv", f"--input={log}"]
    command += ["--view=next_item,masked_item,transfer", f"--data_dir={tmp_path / 'data'}"]
    command += ["--split.target=toys", "--read.domains=books,toys", "--examples.max_length=4"]
    done = launching.script("convert", *command)
    assert done.status == 0, done.err
    lines = done.out.splitlines()
    assert any(line.split()[:2] == ["toys", "(target)"] for line in lines)
    assert any(line.split()[:3] == ["transfer", "train", "36"] for line in lines)
    assert "transfer train: 100%" in done.err
    prepared = dataset.open_prepared(tmp_path / "data")
    assert prepared.views == ("next_item", "masked_item", "transfer")
    assert prepared.metadata["options"]["reader"] == "csv"
    assert prepared.max_length == 4

    again = launching.forked("convert", *command)
    assert again.status == 1
    assert again.error == f"error: {tmp_path / 'data'}: exists; use --overwrite to replace it."


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--view=sideways"], 2, "--view=sideways: it takes some of next_item, masked_item, tran"),
        (["--view="], 2, "--view=: it takes some of"),
        (["--reader=xml"], 2, "flag --reader=xml"),
        (["--data_dir="], 2, "--data_dir is missing"),
        (["--examples.max_length=1"], 2, "--examples.*: max_length must be at least 2"),
        (["--num_shards=-1"], 2, "flag --num_shards=-1"),
        (["--nonsense=1"], 2, "nonsense"),
        (["--split.target=moon"], 1, "--split.target=moon: the log has no such domain"),
        (["--input=nowhere.csv"], 1, "nowhere.csv"),
    ],
)
def test_mistakes_are_one_line_and_write_nothing(
    convert_in_process, tmp_path, arguments, status, message
):
    code, out, error = convert_in_process(*arguments)
    assert (code, out) == (status, "")
    assert error.startswith("error: ")
    assert message in error
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log.csv"]


def test_bad_line_is_named(convert_in_process, log, tmp_path):
    log.write_text(CSV + "u1,b1,books,yesterday\n")
    code, _, error = convert_in_process()
    assert code == 1
    assert "log.csv" in error and "122" in error and "timestamp" in error
    assert not (tmp_path / "data").exists()


def test_overwrite_replaces(convert_in_process, tmp_path):
    assert convert_in_process("--view=next_item")[0] == 0
    assert convert_in_process("--view=transfer")[0] == 1
    assert convert_in_process("--view=transfer", "--overwrite")[0] == 0
    assert dataset.open_prepared(tmp_path / "data").views == ("transfer",)


def parse(*arguments):
    data_flags.flags.FLAGS(["train.py", *arguments])


@flagsaver.flagsaver()
def test_training_prepares_a_missing_data_set_once(log, tmp_path):
    arguments = ["--reader=csv", f"--input={log}", "--split.target=toys"]
    arguments += ["--read.domains=books,toys", "--examples.max_length=4"]
    parse(*arguments)
    folder = tmp_path / "data"
    built = data_flags.open_or_build(folder, ["next_item", "transfer"], progress=False)
    written = (folder / "prepared.json").stat().st_mtime_ns
    again = data_flags.open_or_build(folder, ["transfer"], progress=False)
    assert again.fingerprint == built.fingerprint
    assert (folder / "prepared.json").stat().st_mtime_ns == written
    with pytest.raises(DataError, match="has no view masked_item"):
        data_flags.open_or_build(folder, ["masked_item"])
    parse(*arguments, "--examples.max_length=5")
    with pytest.raises(DataError, match=r"--examples\.max_length=4, but the flags now say 5"):
        data_flags.open_or_build(folder, ["transfer"])


@pytest.mark.parametrize(
    ("argument", "error", "message"),
    [
        (
            "--read.category_separator=;",
            DataError,
            r"prepared with --read\.category_separator=\|, but the flags now say ;",
        ),
        ("--reader=movielens", DataError, "--reader=csv, but the flags now say movielens"),
        ("--split.seed=1", DataError, r"--split\.seed=0, but the flags now say 1"),
        ("--read.padding=0", program.FlagError, r"--read\.padding has no meaning for --reader=csv"),
        (
            "--impression_split.seed=1",
            program.FlagError,
            r"--impression_split\.seed has no meaning without --view=impression",
        ),
    ],
)
@flagsaver.flagsaver()
def test_a_data_set_of_other_flags_is_refused(log, tmp_path, argument, error, message):
    arguments = ["--reader=csv", f"--input={log}", "--split.target=toys"]
    folder = tmp_path / "data"
    try:
        parse(*arguments)
        data_flags.build_data(folder, ["transfer"], progress=False)
        parse(*arguments, argument)
        with pytest.raises(error, match=message):
            data_flags.open_or_build(folder, ["transfer"])
    finally:
        data_flags.flags.FLAGS.unparse_flags()


# The options of all readers at their defaults, as data sets held them before readers had their own.
OLD_READ = {
    **{f"{name}_column": name for name in ("timestamp", "rating", "category", "domain", "part")},
    "user_column": "user_id",
    "item_column": "item_id",
    "category_separator": "|",
    "separator": "",
    "domains": [],
    "domain_by": "",
    "item_ranges": [],
    "padding": "",
    "shared_users_below": 0,
    "lines_start_with_user": True,
    "max_bad_lines": 0,
}
PAIRS = "".join(f"{user} {(user * 3 + k) % 11}\n" for user in range(12) for k in range(5))
PETERREC = "".join(f"0,{k % 7 + 1},{k % 5 + 1},,{k % 3 + 1},{k % 4 + 4}\n" for k in range(12))


@pytest.mark.parametrize(
    ("reader", "prefix", "text", "read", "flags", "refused"),
    [
        ("csv", "", CSV, {}, [], "--read.domain_by=item_range"),
        # Empty said something here: it is no stand-in for the default.
        (
            "csv",
            "",
            CSV,
            {"timestamp_column": ""},
            ["--read.timestamp_column="],
            "--read.timestamp_column=timestamp",
        ),
        ("pairs", "toys=", PAIRS, {}, [], "--read.shared_users_below=3"),
        ("sequences", "toys=", PAIRS, {}, [], "--read.padding=0"),
        ("peterrec", "", PETERREC, {}, [], "--read.padding=1"),
        (
            "peterrec",
            "",
            PETERREC,
            {"domains": ["books", "toys"], "padding": "1"},
            ["--read.domains=books,toys", "--read.padding=1"],
            "--read.padding=0",
        ),
    ],
)
@flagsaver.flagsaver()
def test_a_data_set_of_an_older_version_is_opened(
    tmp_path, reader, prefix, text, read, flags, refused
):
    path, folder = tmp_path / "log.csv", tmp_path / "data"
    path.write_text(text)
    arguments = [f"--reader={reader}", f"--input={prefix}{path}", *flags]
    try:
        parse(*arguments)
        built = data_flags.build_data(folder, ["next_item"], progress=False)
        built["options"].update(read={**OLD_READ, **read}, synthetic={"users": 4000})
        (folder / "prepared.json").write_text(json.dumps(built))
        opened = data_flags.open_or_build(folder, ["next_item"], progress=False)
        assert opened.fingerprint == built["fingerprint"]
        parse(*arguments, refused)
        with pytest.raises(DataError, match=rf"prepared with {refused.partition('=')[0]}="):
            data_flags.open_or_build(folder, ["next_item"])
    finally:
        data_flags.flags.FLAGS.unparse_flags()


@flagsaver.flagsaver()
def test_training_without_a_reader_needs_the_data_set(tmp_path):
    parse()
    with flagsaver.flagsaver(reader=None):
        with pytest.raises(DataError, match="no such folder; prepare it with launchers/convert"):
            data_flags.open_or_build(tmp_path / "data", ["transfer"])
        with pytest.raises(program.FlagError, match="--reader is missing"):
            data_flags.build_data(tmp_path / "data", ["transfer"])


def test_beam_writes_what_the_local_engine_writes(convert_in_process, tmp_path):
    code, expected, _ = convert_in_process("--view=next_item")
    assert code == 0
    written = (tmp_path / "data" / "prepared.json").read_text()
    code, out, _ = convert_in_process(
        "--view=next_item",
        "--overwrite",
        "--engine=beam",
        "--beam_options=--runner=DirectRunner,--direct_num_workers=1",
        "--beam_options=--direct_running_mode=in_memory",
    )
    assert (code, out) == (0, expected)
    assert (tmp_path / "data" / "prepared.json").read_text() == written


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--engine=spark"], 2, "flag --engine=spark"),
        (["--beam_options=--runner=DirectRunner"], 2, "no meaning without --engine=beam"),
        (["--engine=beam", "--beam_options=DirectRunner"], 2, "--beam_options=DirectRunner: write"),
        (
            ["--engine=beam", "--beam_options=--runner=HopRunner,--experiments=a,b"],
            1,
            "--beam_options=--runner=HopRunner: this runner cannot be used",
        ),
        (
            ["--engine=beam", "--beam_options=--temp_location=gs://bucket/tmp"],
            1,
            "--temp_location=gs://bucket/tmp: cannot be written",
        ),
        (
            ["--engine=beam", "--input=gs://bucket/log.csv"],
            1,
            "gs://bucket/log.csv: cannot be read",
        ),
        (["--engine=beam", "--input=nowhere.csv"], 1, "nowhere.csv: no such file"),
    ],
)
def test_mistakes_about_the_engine(convert_in_process, tmp_path, arguments, status, message):
    code, out, error = convert_in_process(*arguments)
    assert (code, out) == (status, "")
    assert error.startswith("error: ")
    assert message in error
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log.csv"]


def test_beam_names_a_bad_line(convert_in_process, log, tmp_path):
    log.write_text(CSV + "u1,b1,books,yesterday\n")
    code, _, error = convert_in_process("--engine=beam")
    assert code == 1
    assert error.startswith(f"error: {log}, line 122: timestamp 'yesterday'")
    assert not (tmp_path / "data").exists()
