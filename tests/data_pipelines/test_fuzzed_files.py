"""Whatever stands in a file, it is read, or refused in a message that a person can use.

With TFCDR_FUZZ=N in the environment each test takes N inputs, other ones in every run.
"""

import os
import pathlib
import sys
import tempfile

import hypothesis
import hypothesis.strategies as st
import pytest

from data_pipelines import impressions, readers
from data_pipelines.errors import DataError
from data_pipelines.prepared.item_titles import TitleOptions, read_titles
from data_pipelines.splitting import splits
from data_pipelines.splitting.split_log import SplitOptions
from tests.data_pipelines import fuzzed_files
from tests.data_pipelines.fuzzed_files import IMPRESSIONS, INTERACTIONS

MORE = int(os.environ.get("TFCDR_FUZZ", "0"))
fuzz = hypothesis.settings(
    max_examples=MORE or 15,
    derandomize=not MORE,
    database=None,
    suppress_health_check=list(hypothesis.HealthCheck),
    phases=[hypothesis.Phase.generate] if not MORE else list(hypothesis.Phase),
)
SPLITS = [SplitOptions(), SplitOptions(kind="ratio"), SplitOptions(kind="time")]
bad_lines = st.sampled_from([0, 0, 1, 10**6])


def outcome(files, read):
    """Reads files in a folder of their own; returns the message, if they are refused.

    Args:
      files: name -> content.
      read: takes the folder.
    """
    ignored = []
    hook, sys.unraisablehook = sys.unraisablehook, ignored.append
    try:
        with tempfile.TemporaryDirectory() as folder:
            for name, content in files.items():
                path = pathlib.Path(folder, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            try:
                read(folder)
            except DataError as error:
                message = str(error)
                named = any(name in message for name in files) or "--" in message
                assert named, message[:1000]
                return message
            finally:
                assert not ignored, ignored
    finally:
        sys.unraisablehook = hook
    return ""


def read_interactions(case, folder, bad, split):
    options = readers.READERS[case.reader].options(**case.options, max_bad_lines=bad)
    log = readers.read(case.reader, [each.format(folder) for each in case.inputs], options)
    if split is not None:
        splits.split(log, split)


def read_impressions(case, folder, bad):
    options = impressions.READERS[case.reader].options(**case.options, max_bad_lines=bad)
    log = impressions.read(case.reader, [each.format(folder) for each in case.inputs], options)
    with tempfile.TemporaryDirectory() as scratch:
        for _ in log.chunks(pathlib.Path(scratch)):
            pass


def given(strategy, *more):
    return lambda test: fuzz(hypothesis.given(strategy, *more)(test))


@pytest.mark.parametrize("name", INTERACTIONS)
def test_interactions(name):
    case = INTERACTIONS[name]
    assert not outcome(case.files, lambda folder: read_interactions(case, folder, 0, None))
    given_parts = name in ("rechorus", "pairs", "two files")
    kinds = [SplitOptions(kind="given")] if given_parts else SPLITS

    @given(fuzzed_files.mutated_files(case.files), bad_lines, st.sampled_from(kinds))
    def check(files, bad, split):
        outcome(files, lambda folder: read_interactions(case, folder, bad, split))

    check()


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    content = fuzzed_files.aliexpress(tmp_path_factory.mktemp("archive"))
    return fuzzed_files.Case("aliexpress", ("NL={}/nl.zip",), {"nl.zip": content})


@pytest.mark.parametrize("name", [*IMPRESSIONS, "aliexpress"])
def test_impressions(name, archive):
    case = IMPRESSIONS.get(name, archive)
    assert not outcome(case.files, lambda folder: read_impressions(case, folder, 0))

    @given(fuzzed_files.mutated_files(case.files), bad_lines)
    def check(files, bad):
        outcome(files, lambda folder: read_impressions(case, folder, bad))

    check()


@given(
    fuzzed_files.odd_parquet(fuzzed_files.as_columns()),
    bad_lines,
    st.sampled_from([{}, fuzzed_files.CATEGORIES, {"list_separator": "|"}, {"time_unit": "ms"}]),
)
def test_parquet_of_other_types(content, bad, options):
    case = INTERACTIONS["parquet"]._replace(options=options)
    files = {"log.parquet": content}
    outcome(files, lambda folder: read_interactions(case, folder, bad, SplitOptions()))


@given(
    fuzzed_files.odd_parquet(fuzzed_files.as_columns(*fuzzed_files.impressions()[::-1])),
    bad_lines,
    st.sampled_from([{}, {"least_count": 1}, {"missing_numbers": "0"}]),
)
def test_parquet_of_other_types_for_impressions(content, bad, options):
    case = IMPRESSIONS["parquet"]._replace(options=options)
    files = {"log.parquet": content}
    outcome(files, lambda folder: read_impressions(case, folder, bad))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("items.csv", b'item_id,title\n1,"A, b"\n2,C\n'),
        ("u.item", b"1|One (1995)|01-Jan-1995||x|" + fuzzed_files.MARKS.encode() + b"\n"),
        ("a.item", b"item_id:token\ttitle:token_seq\n1\tA b\n"),
    ],
)
def test_titles(name, content):
    def read(folder):
        read_titles(pathlib.Path(folder, name), TitleOptions(path=name))

    assert not outcome({name: content}, read)

    @given(fuzzed_files.mutated(content))
    def check(changed):
        outcome({name: changed}, read)

    check()
