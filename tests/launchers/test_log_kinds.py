"""Kinds of log: which flags belong to which, and that launchers know no kind by name."""

import pytest
from absl.testing import flagsaver

from data_pipelines import impressions, readers
from data_pipelines.splitting.split_log import SplitOptions
from launchers import data_flags, impression_flags, interaction_flags, program
from launchers.log_kinds import LogKind
from tests.end_to_end import launching

# Kind, its readers, the prefix of the flags of those that read files and of the one that draws.
KINDS = {
    "interactions": (interaction_flags.KIND, readers.READERS, "read", "synthetic"),
    "impressions": (
        impression_flags.KIND,
        impressions.READERS,
        "impression_read",
        "synthetic_impressions",
    ),
}
READERS = [(kind, reader) for kind in KINDS for reader in KINDS[kind][1]]


def flags_of(kind, reader):
    """The names of all flags that a reader takes."""
    _, known, of_files, of_drawn = KINDS[kind]
    prefix = of_drawn if reader == "synthetic" else of_files
    return {f"{prefix}.{field}" for field in known[reader].options.__dataclass_fields__}


@pytest.fixture
def parse():
    """Gives a function that parses command-line arguments into the launchers' flags."""
    with flagsaver.flagsaver():
        yield lambda *arguments: data_flags.flags.FLAGS(["convert.py", *arguments])
        data_flags.flags.FLAGS.unparse_flags()


def test_every_reader_belongs_to_a_kind():
    assert tuple(kind for kind, *_ in KINDS.values()) == data_flags.KINDS
    for kind, known, *_ in KINDS.values():
        assert kind.readers == tuple(known)


@pytest.mark.parametrize(("kind", "reader"), READERS)
def test_without_flags_a_reader_has_its_own_defaults(parse, kind, reader):
    parse()
    subject, known, *_ = KINDS[kind]
    options = subject.options(reader)
    assert next(iter(options.values())) == known[reader].options()
    assert {f"{next(iter(options))}.{name}" for name in vars(next(iter(options.values())))} == (
        flags_of(kind, reader)
    )


def test_flags_reach_the_reader(parse):
    parse("--read.padding=", "--read.domains=books,toys", "--read.max_bad_lines=3")
    options = interaction_flags.KIND.options("peterrec")["read"]
    assert (options.padding, options.domains, options.max_bad_lines) == ("", ("books", "toys"), 3)


@pytest.mark.parametrize(("kind", "reader"), READERS)
def test_every_reader_refuses_the_flags_that_it_does_not_take(tmp_path, kind, reader):
    known = KINDS[kind][1]
    foreign = set().union(*(flags_of(kind, other) for other in known)) - flags_of(kind, reader)
    arguments = (f"--reader={reader}", f"--log={kind}", "--input=nowhere")
    assert foreign
    for flag in sorted(foreign):
        outcome = launching.call(
            "convert", *arguments, f"--data_dir={tmp_path / 'data'}", f"--{flag}=1"
        )
        assert outcome.status == 2
        assert outcome.error == (
            f"error: --{flag} has no meaning for --reader={reader}: leave it out."
        )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--reader=aliexpress", "--log=interactions"],
            "--reader=aliexpress reads no interactions, which take amazon, csv, movielens, pairs, "
            "peterrec, rechorus, sequences, syncrec, synthetic; it reads impressions.",
        ),
        (
            ["--reader=movielens", "--log=impressions"],
            "--reader=movielens reads no impressions, which take aliexpress, csv, synthetic; it "
            "reads interactions.",
        ),
        (
            ["--reader=synthetic", "--log=impressions", "--beam_options=--runner=DirectRunner"],
            "--beam_options has no meaning without --engine=beam.",
        ),
    ],
)
def test_flags_that_do_not_fit_are_refused(tmp_path, arguments, message):
    outcome = launching.call("convert", f"--data_dir={tmp_path / 'data'}", *arguments)
    assert (outcome.status, outcome.error) == (2, f"error: {message}")
    assert not list(tmp_path.iterdir())


class ShelfLogs(LogKind):
    """A kind that writes nothing and remembers what it was asked for."""

    name = "shelves"
    readers = ("csv",)

    def __init__(self):
        self.conversions = []
        self.flag = ""

    def refuse_flags(self, log):
        if self.flag:
            raise program.FlagError(f"--{self.flag} is for shelves, not for {log}.")

    def options(self, reader):
        return {"split": SplitOptions(seed=len(reader))}

    def reading_flags(self, reader):
        return []

    def build(self, conversion):
        self.conversions.append(conversion)
        return {"shelves": 7}


@pytest.fixture
def shelves(monkeypatch):
    """A third kind, as one line in `data_flags.KINDS` adds it."""
    kind = ShelfLogs()
    monkeypatch.setattr(data_flags, "KINDS", (*data_flags.KINDS, kind))
    return kind


def test_another_kind_needs_no_other_code(shelves, parse, tmp_path):
    parse("--reader=csv", "--input=A=a.csv", "--raw_dir=raw", "--num_shards=3")
    metadata = data_flags.build_data(tmp_path, "shelves", overwrite=True, progress=False)
    assert metadata == {"shelves": 7}
    [conversion] = shelves.conversions
    assert conversion.inputs == ["A=raw/a.csv"]
    assert (conversion.reader, conversion.data_dir) == ("csv", tmp_path)
    assert (conversion.num_shards, conversion.overwrite, conversion.progress) == (3, True, False)
    assert conversion.provenance["input"] == ["A=a.csv"]
    assert conversion.provenance["split"]["seed"] == 3


def test_another_kind_refuses_and_is_refused(shelves, parse, tmp_path):
    parse("--reader=csv", "--split.seed=1")
    with pytest.raises(program.FlagError, match=r"--split\.seed has no meaning for a log of shel"):
        data_flags.build_data(tmp_path, "shelves")
    shelves.flag = "shelf.height"
    with pytest.raises(program.FlagError, match=r"--shelf\.height is for shelves, not for inter"):
        data_flags.build_data(tmp_path)
    assert not shelves.conversions
