import pytest
from absl.testing import flagsaver

from data_pipelines.errors import DataError
from data_pipelines.prepared import dataset
from data_pipelines.prepared.impression_source import ImpressionSource
from launchers import data_flags
from tests.data_pipelines.impressions.raw_files import default_files, item_line, write_archive
from tests.end_to_end import launching

SMALL = ("--synthetic_impressions.source_pages=20", "--synthetic_impressions.target_pages=10",
         "--synthetic_impressions.test_pages=5")  # fmt: skip


@pytest.fixture
def convert_in_process(tmp_path):
    """Runs the program in this process; returns (exit status, stdout, last line of stderr)."""

    def run(*arguments):
        defaults = [f"--data_dir={tmp_path / 'data'}", "--log=impressions"]
        outcome = launching.call("convert", *defaults, *arguments)
        return outcome.status, outcome.out, outcome.err.strip().split("\n")[-1]

    return run


def test_archives_become_a_data_set(convert_in_process, tmp_path):
    for name in ("ru", "nl"):
        write_archive(tmp_path / f"{name}.zip", default_files())
    code, out, error = convert_in_process(
        "--reader=aliexpress",
        f"--raw_dir={tmp_path}",
        "--input=RU=ru.zip,NL=nl.zip",
        "--impression_split.target=NL",
        "--impression_split.negative_rate=0.5",
        "--impression_split.validation_share=0",
        "--impression_read.field_sizes=11,4,7,2,33,7,50,8,8,2,2,2,2,2,2,2",
    )
    assert code == 0, error
    assert "left out: NL: training rows without a click" in out
    data = ImpressionSource(dataset.open_prepared(tmp_path / "data"))
    assert data.field_sizes == (11, 4, 7, 2, 33, 7, 50, 8, 8, 2, 2, 2, 2, 2, 2, 2)
    assert data.num_examples("impression", "train", domain="source") == 10
    assert 3 <= data.num_examples("impression", "train", domain="target") < 10
    options = data.prepared.metadata["options"]
    assert options["input"] == ["RU=ru.zip", "NL=nl.zip"]
    assert options["impression_split"]["negative_rate"] == 0.5
    code, _, error = convert_in_process("--reader=synthetic", *SMALL)
    assert (code, error.endswith("exists; use --overwrite to replace it.")) == (1, True)
    assert convert_in_process("--reader=synthetic", "--overwrite", *SMALL)[0] == 0


def test_bad_line_is_named_and_nothing_written(convert_in_process, tmp_path):
    files = default_files()
    files["nl_item_test"].append(item_line(20, 7))
    path = write_archive(tmp_path / "nl.zip", files)
    code, out, error = convert_in_process("--reader=aliexpress", f"--input=NL={path}")
    assert (code, out) == (1, "")
    assert error.startswith(
        f"error: {path}/NL/nl_item_test.zip/nl_item_test.csv, line 5: column 49: 7 is not 0"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["nl.zip"]


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--reader=movielens"], 2, "--reader=movielens reads no impressions, which take"),
        (["--reader=aliexpress", "--log=interactions"], 2, "it reads impressions."),
        (["--reader=csv", "--split.seed=1"], 2, "--split.seed has no meaning for a log of impres"),
        (["--reader=csv", "--engine=beam"], 2, "--engine=beam has no meaning for impressions"),
        (
            ["--reader=csv", "--log=interactions", "--impression_split.seed=1"],
            2,
            "--impression_split.seed has no meaning for a log of interactions",
        ),
        (["--reader=csv", "--impression_read.field_sizes=3,x"], 2, "field_sizes"),
        (
            ["--reader=csv", "--input=NL=nowhere.csv"],
            1,
            "nowhere.csv: no such file",
        ),
        (
            ["--reader=synthetic", "--impression_split.target=NL"],
            1,
            "--impression_split.target=NL: the log has no such domain; it has source, target",
        ),
        (
            ["--reader=synthetic", "--impression_split.validation_share=2"],
            2,
            "--impression_split.*: validation_share is 2.0: it must be in [0, 1).",
        ),
    ],
)
def test_mistakes_are_one_line_and_write_nothing(
    convert_in_process, tmp_path, arguments, status, message
):
    code, out, error = convert_in_process(*arguments)
    assert (code, out) == (status, "")
    assert error.startswith("error: ")
    assert message in error
    assert not list(tmp_path.iterdir())


@flagsaver.flagsaver()
def test_training_prepares_a_missing_data_set_once(tmp_path):
    arguments = ["train.py", "--reader=synthetic", *SMALL, "--impression_split.target=target"]
    data_flags.flags.FLAGS(arguments)
    folder = tmp_path / "data"
    built = data_flags.open_or_build(folder, "impressions", progress=False)
    again = data_flags.open_or_build(folder, "impressions", progress=False)
    assert again.fingerprint == built.fingerprint
    data_flags.flags.FLAGS([*arguments, "--impression_split.seed=9"])
    with pytest.raises(DataError, match=r"--impression_split\.seed=0, but the flags now say 9"):
        data_flags.open_or_build(folder, "impressions")
