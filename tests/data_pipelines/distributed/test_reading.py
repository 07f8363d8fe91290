"""Whatever stands in a table, both engines read the same interactions, or none.

With TFCDR_FUZZ=N in the environment N/20 tables are tried, other ones in every run.
"""

import tempfile

import hypothesis
import hypothesis.strategies as st
import pandas as pd
import pytest

from data_pipelines import readers
from data_pipelines.distributed import pieces, reading, running
from data_pipelines.distributed.work_folder import WorkFolder
from tests.data_pipelines import fuzzed_files
from tests.data_pipelines.fuzzed_files import INTERACTIONS
from tests.data_pipelines.test_fuzzed_files import MORE, fuzz, outcome

TABLES = sorted(name for name, case in INTERACTIONS.items() if case.reader == "csv")
# The engine says itself that it cannot do this.
ONLY_LOCAL = "use --engine=local"


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    monkeypatch.setattr(pieces, "_PIECE_BYTES", 200)
    monkeypatch.setattr(reading, "_FEWEST_GROUPS", 2)


def texts(rows):
    """Rows of a log as texts, in order, whatever their columns' types."""
    columns = sorted(rows.columns)
    plain = [rows[name].astype(str) for name in columns]
    return columns, sorted(zip(*plain, strict=True))


def by_memory(inputs, options):
    return readers.read("csv", inputs, options).interactions


def by_beam(inputs, options):
    with tempfile.TemporaryDirectory() as folder:
        work = WorkFolder(folder)
        log = reading.group_tables(inputs, options, work, running.pipeline_options([]))
        return pd.concat([log.load_group(work, group) for group in log.groups])


def compare(case, files, bad):
    options = readers.READERS["csv"].options(**case.options, max_bad_lines=bad)
    found, messages = [], []
    for read in (by_memory, by_beam):

        def read_all(folder, read=read):
            inputs = [entry.format(folder) for entry in case.inputs]
            found.append(texts(read(inputs, options)))

        messages.append(outcome(files, read_all))
    if ONLY_LOCAL not in messages[1]:
        assert bool(messages[0]) == bool(messages[1]), messages
        assert found[1:] == found[:1] if found else True


@pytest.mark.parametrize("name", ["events", "two files"])
def test_whole_tables(name):
    case = INTERACTIONS[name]
    compare(case, case.files, 0)


@hypothesis.settings(fuzz, max_examples=MORE // 20 or 8)
@hypothesis.given(st.data())
def test_damaged_tables(data):
    case = INTERACTIONS[data.draw(st.sampled_from(TABLES))]
    files = data.draw(fuzzed_files.mutated_files(case.files))
    compare(case, files, data.draw(st.sampled_from([0, 1, 10**6])))
