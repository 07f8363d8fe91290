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
        defaults = (f"--data_dir={tmp_path / 'data'}", f"--input={log}")
        defaults += ("--reader=csv", "--read.domains=books,toys")
        outcome = launching.call("convert", *defaults, *arguments)
        return outcome.status, outcome.out, outcome.err.strip().split("\n")[-1]

    return run


def test_converts_and_summarises_as_a_script(log, tmp_path):
    """The script itself, as people and other programs call it."""
    command = ["--reader=csv", f"--input={log}"]
    command += ["--read.domains=books,toys", f"--data_dir={tmp_path / 'data'}"]
    done = launching.script("convert", *command)
    assert done.status == 0, done.err
    rows = [line.split()[:7] for line in done.out.splitlines()]
    # Users, in others, too, items, interactions, train, validation.
    assert ["toys", "12", "12", "11", "60", "36", "12"] in rows
    assert not done.err  # bars are for terminals
    prepared = dataset.open_prepared(tmp_path / "data")
    assert prepared.log == "interactions"
    assert prepared.domains == ("books", "toys")
    assert prepared.metadata["options"]["reader"] == "csv"

    again = launching.forked("convert", *command)
    assert again.status == 1
    assert again.error == f"error: {tmp_path / 'data'}: exists; use --overwrite to replace it."


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--log=sideways"], 2, "flag --log=sideways"),
        (["--view=next_item"], 2, "Unknown command line flag 'view'"),
        (["--split.target=toys"], 2, "Unknown command line flag 'split.target'"),
        (["--reader=xml"], 2, "flag --reader=xml"),
        (["--data_dir="], 2, "--data_dir is missing"),
        (["--split.kind=time", "--split.cut_times=9,3"], 2, "--split.*: cut_times are 9, 3: give"),
        (["--num_shards=-1"], 2, "flag --num_shards=-1"),
        (["--nonsense=1"], 2, "nonsense"),
        (
            ["--split.kind=time", "--split.cut_times=9,300"],
            1,
            "300 lies outside the log, whose tim",
        ),
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
    assert convert_in_process()[0] == 0
    assert convert_in_process("--split.kind=last_of_all")[0] == 1
    assert convert_in_process("--split.kind=last_of_all", "--overwrite")[0] == 0
    assert dataset.open_prepared(tmp_path / "data").metadata["split_kind"] == "last_of_all"


def parse(*arguments):
    data_flags.flags.FLAGS(["train.py", *arguments])


@flagsaver.flagsaver()
def test_training_prepares_a_missing_data_set_once(log, tmp_path):
    arguments = ["--reader=csv", f"--input={log}", "--read.domains=books,toys"]
    parse(*arguments)
    folder = tmp_path / "data"
    built = data_flags.open_or_build(folder, "interactions", progress=False)
    written = (folder / "prepared.json").stat().st_mtime_ns
    again = data_flags.open_or_build(folder, "interactions", progress=False)
    assert again.fingerprint == built.fingerprint
    assert (folder / "prepared.json").stat().st_mtime_ns == written
    with pytest.raises(DataError, match="a data set of interactions, but the system reads impr"):
        data_flags.open_or_build(folder, "impressions")
    parse(*arguments, "--split.kind=ratio")
    with pytest.raises(
        DataError, match=r"--split\.kind=leave_one_out, but the flags now say ratio"
    ):
        data_flags.open_or_build(folder, "interactions")


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
            r"--impression_split\.seed has no meaning for a log of interactions",
        ),
    ],
)
@flagsaver.flagsaver()
def test_a_data_set_of_other_flags_is_refused(log, tmp_path, argument, error, message):
    arguments = ["--reader=csv", f"--input={log}"]
    folder = tmp_path / "data"
    try:
        parse(*arguments)
        data_flags.build_data(folder, progress=False)
        parse(*arguments, argument)
        with pytest.raises(error, match=message):
            data_flags.open_or_build(folder, "interactions")
    finally:
        data_flags.flags.FLAGS.unparse_flags()


@flagsaver.flagsaver()
def test_a_data_set_of_an_older_version_must_be_converted_again(tmp_path):
    parse()
    (tmp_path / "prepared.json").write_text('{"format_version": 1}')
    with pytest.raises(DataError, match=r"format_version is 1, .*run launchers/convert\.py again"):
        data_flags.open_or_build(tmp_path, "interactions")


@flagsaver.flagsaver()
def test_training_without_a_reader_needs_the_data_set(tmp_path):
    parse()
    with flagsaver.flagsaver(reader=None):
        with pytest.raises(DataError, match="no such folder; prepare it with launchers/convert"):
            data_flags.open_or_build(tmp_path / "data", "interactions")
        with pytest.raises(program.FlagError, match="--reader is missing"):
            data_flags.build_data(tmp_path / "data")


def test_beam_writes_what_the_local_engine_writes(convert_in_process, tmp_path):
    code, expected, _ = convert_in_process()
    assert code == 0
    written = (tmp_path / "data" / "prepared.json").read_text()
    code, out, _ = convert_in_process(
        "--overwrite",
        "--engine=beam",
        "--beam_options=--direct_num_workers=1",
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
