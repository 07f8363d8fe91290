"""train.py: what it refuses, in one line and before anything is written; its help."""

import dataclasses

import pytest
from absl import flags

from data_pipelines.prepared.item_titles import TitleOptions
from data_pipelines.readers import READERS
from data_pipelines.readers.synthetic import SyntheticOptions
from data_pipelines.splitting.split_log import SplitOptions
from data_pipelines.views.example_options import ExampleOptions
from launchers import config_flags, data_flags, run_help
from tests.end_to_end import launching
from tests.end_to_end.launching import SMALL_DATA, SMALL_RUN
from tfcdr.errors import RunError
from tfcdr.runs.experiment import Experiment
from tfcdr.systems.registry import SYSTEMS

GROUPS = {
    "split": SplitOptions,
    "synthetic": SyntheticOptions,
    "examples": ExampleOptions,
    **{system.evaluation_group: system.evaluation_options for system in SYSTEMS.values()},
    "titles": TitleOptions,
    **{name: system.config_class for name, system in SYSTEMS.items()},
}
FILE_READERS = {name: of.options for name, of in READERS.items() if name != "synthetic"}
ROWS = [
    f"u{user},{domain[0]}{(user * 3 + k) % 11},{domain},{10 * k + (domain == 'toys')},4\n"
    for user in range(12)
    for domain in ("books", "toys")
    for k in range(5)
]
HEADER = "user_id,item_id,domain,timestamp,rating\n"


@pytest.fixture
def train(tmp_path):
    """Calls train.py in this process on the small demo log."""

    def run(*arguments):
        return launching.call(
            "train", *SMALL_DATA, *SMALL_RUN, f"--workdir={tmp_path / 'run'}", *arguments
        )

    return run


@pytest.fixture
def train_from_csv(tmp_path):
    """Calls train.py in this process on a csv file with the given text."""

    def run(text, *arguments):
        log = tmp_path / "log.csv"
        log.write_text(text)
        of_log = ("--reader=csv", f"--input={log}", "--target=toys")
        where = (f"--workdir={tmp_path / 'run'}", "--evaluation.negatives=2", "--nojit_compile")
        of_run = [
            flag
            for flag in SMALL_RUN
            if not (flag.startswith("--peterrec.") and "--system=timirec" in arguments)
        ]
        return launching.call("train", *of_run, *of_log, *where, *arguments)

    return run


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--nonsense=1"], "Unknown command line flag 'nonsense'"),
        (["--peterrec.chanels=8"], "Unknown command line flag 'peterrec.chanels'"),
        (["nonsense"], "unexpected argument 'nonsense'"),
        (["--workdir="], "--workdir is missing"),
        (["--system=magic"], "flag --system=magic"),
        (["--seed=-1"], "flag --seed=-1"),
        (["--seed=one"], "flag --seed=one"),
        (["--peterrec.channels=0"], "--peterrec.*: channels must be positive. Received: 0"),
        (["--peterrec.channels=wide"], "flag --peterrec.channels=wide"),
        (["--peterrec.channels=10"], "channels must be a multiple of 4 * cardinality"),
        (["--peterrec.dilations=1,0"], "dilations must be positive"),
        (["--peterrec.dilations=1,x"], "flag --peterrec.dilations=1,x"),
        (["--peterrec.mask_share=1.5"], "mask_share must be in (0, 1]. Received: 1.5"),
        (["--peterrec.adaptation=magic"], "adaptation must be one of adapters, "),
        (["--evaluation.monitor=Luck@10"], "--evaluation.*: monitor must be one of "),
        (["--label_evaluation.monitor=AUC"], "has no meaning for --system=peterrec"),
        (["--system=daa", "--evaluation.ks=5"], "--evaluation.ks has no meaning for --system=daa"),
        (["--timirec.interests=3"], "--timirec.interests has no meaning for --system=peterrec"),
        (["--cluster_timeout=9"], "--cluster_timeout has no meaning for --strategy=default"),
        (["--peterec.channels=8"], "Unknown command line flag 'peterec.channels'"),
        (["--evaluation.ks=0"], "--evaluation.*: ks must be positive"),
        (["--evaluation.protocol=sampled", "--evaluation.negatives=0"], "negatives must be at"),
        (["--examples.max_length=1"], "--examples.*: max_length must be at least 2"),
        (["--synthetic.users=0"], "--synthetic.*: users is 0: it must be at least 1"),
        (["--split.kind=magic"], "magic"),
        (["--flagfile=nowhere.cfg"], "nowhere.cfg"),
        (["--report", "--titles.path=a", "--titles.text=title"], "--titles.*: text 'title' names"),
        (["--compare_no_transfer", "--evaluation.monitor=AUC"], "metric must be HR@k, NDCG@k"),
        (
            [
                "--compare_no_transfer",
                "--peterrec.adaptation=from_scratch",
                "--peterrec.history_domains=target",
            ],
            "transfers nothing already",
        ),
    ],
)
def test_a_bad_flag_is_one_line_and_status_2(train, tmp_path, arguments, message):
    outcome = train(*arguments)
    assert message in outcome.error
    assert (outcome.status, outcome.out) == (2, "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "flag",
    ["--input=a.csv", "--split.kind=ratio", "--impression_read.max_bad_lines=1", "--engine=beam"],
)
def test_flags_about_raw_logs_are_refused_without_a_reader(tmp_path, flag):
    outcome = launching.call("train", f"--workdir={tmp_path / 'run'}", flag)
    assert outcome.status == 2
    assert f"{flag.partition('=')[0]} says how to prepare a data set" in outcome.error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("flag", ["--target=all", "--sources=a", "--examples.max_length=9"])
def test_a_system_with_one_target_takes_no_roles(tmp_path, flag):
    outcome = launching.call("train", "--system=daa", f"--workdir={tmp_path / 'run'}", flag)
    assert outcome.status == 2
    assert f"{flag.partition('=')[0]} has no meaning for --system=daa, whose only" in outcome.error
    assert "peterrec, syncrec, timirec take any domains" in outcome.error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--compare_no_transfer", "--peterrec.stages=pretrain"], "trains nothing on the target"),
        (["--report", "--titles.path=nowhere"], "--titles.path=nowhere: no such file"),
        (["--report", "--titles.path=.", "--raw_dir=/dev"], "--titles.path=/dev: no such file"),
        (["--workdir=/dev/null"], "/dev/null: neither an empty folder nor a run"),
        (["--workdir=/dev/null/run"], "/dev/null/run"),
    ],
)
def test_bad_data_is_one_line_and_status_1(train, tmp_path, arguments, message):
    outcome = train(*arguments)
    assert message in outcome.error
    assert (outcome.status, outcome.out) == (1, "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "arguments", "message"),
    [
        ("", [], "log.csv: the file is empty"),
        (HEADER, [], "log.csv: "),
        (
            HEADER.replace("item_id", "thing") + "".join(ROWS),
            [],
            "log.csv, line 1: no column 'item_id'",
        ),
        (
            HEADER + "".join(ROWS) + "u1,b1,books,yesterday,4\n",
            [],
            "log.csv, line 122: timestamp",
        ),
        (HEADER + "".join(ROWS) + "u1,b1,books,7,good\n", [], "log.csv, line 122: rating"),
        (
            HEADER + "".join(ROWS) + "u1,b1,moon,7,4\n",
            ["--read.domains=books,toys"],
            "log.csv, line 122: domain",
        ),
        (HEADER + "".join(ROWS), ["--input=nowhere.csv"], "nowhere.csv: "),
        # Nobody is left to train on.
        (HEADER + "u1,b1,books,1,4\nu1,t1,toys,2,4\n", [], "train"),
    ],
)
def test_a_bad_file_is_named_with_line_and_field(
    train_from_csv, tmp_path, text, arguments, message
):
    outcome = train_from_csv(text, *arguments)
    assert message in outcome.error
    assert (outcome.status, outcome.out) == (1, "")
    assert [path.name for path in tmp_path.iterdir()] == ["log.csv"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--target=moon"], "--target=moon: the data set has no such domain; it has books, toys"),
        (["--target=toys,toys"], "--target=toys,toys: name each domain once"),
        (["--target=toys", "--sources=moon"], "--sources=moon: the data set has no such domain"),
        (["--target=toys", "--sources=toys"], "--sources=toys: toys is a target; a domain is one"),
        (["--target="], "view transfer needs a target domain: name it with --target"),
        (
            ["--target=all"],
            "peterrec pre-trains on the domains that are no targets, and none is",
        ),
        (
            ["--examples.source_validation_share=0"],
            "split validation of view next_item is empty (n",
        ),
    ],
)
def test_roles_that_do_not_fit_are_refused_before_training(
    train_from_csv, tmp_path, arguments, message
):
    outcome = train_from_csv(HEADER + "".join(ROWS), *arguments)
    assert outcome.status == 1
    assert message in outcome.error
    assert not (tmp_path / "run" / "config.json").exists()


def test_targets_that_cannot_be_trained_are_named_with_those_that_can(train_from_csv, tmp_path):
    rare = "".join(f"u{user},r{user},rare,{user},4\n" for user in range(3))
    timirec = ("--system=timirec", "--target=all", "--timirec.embedding_size=8")
    outcome = train_from_csv(HEADER + "".join(ROWS) + rare, *timirec)
    assert outcome.status == 1
    assert "target rare, split train of view leave_one_out is empty (n = 0)" in outcome.error
    assert "These targets can be trained: --target=books,toys." in outcome.error
    assert not (tmp_path / "run" / "config.json").exists()


def test_users_with_too_few_interactions_are_no_labels(train_from_csv, tmp_path):
    lonely = "".join(f"lonely{n},t{n},toys,{n},4\n" for n in range(3))
    whole = train_from_csv(HEADER + "".join(ROWS) + lonely, "--examples.source_test_share=0.2")
    assert whole.status == 0, whole.err
    assert "no labels of toys: 0 repeated interactions, 3 of users with fewer than 3" in whole.out
    rows = [line.split() for line in whole.out.splitlines()]
    # Of the target: users, items and interactions, those of the lonely ones not among them.
    assert ["toys", "(target)", "12", "11", "60"] in [row[:5] for row in rows]
    assert (tmp_path / "run" / "metrics.json").exists()


def test_too_many_negatives_for_the_catalogue_are_refused_before_training(train, tmp_path):
    outcome = train("--evaluation.negatives=50")
    assert outcome.status == 1
    assert "candidates=50 is too many" in outcome.error
    assert "lower --evaluation.negatives" in outcome.error
    assert not (tmp_path / "run" / "config.json").exists()


def test_a_folder_with_other_files_is_refused_untouched(train, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("mine")
    outcome = train()
    assert outcome.status == 1
    assert f"{tmp_path / 'run'}: neither an empty folder nor a run" in outcome.error
    assert launching.files(tmp_path) == {"run/thesis.txt": b"mine"}


def test_a_data_set_that_does_not_exist_is_named(tmp_path):
    where = (f"--workdir={tmp_path / 'run'}", f"--data_dir={tmp_path / 'data'}")
    outcome = launching.call("train", *where)
    assert outcome.status == 1
    assert f"{tmp_path / 'data'}: no such folder" in outcome.error
    assert list(tmp_path.iterdir()) == []


def test_every_field_is_documented_in_the_help():
    helped = flags.FLAGS.get_help()
    for prefix, config_class in GROUPS.items():
        texts = config_flags.field_documentation(config_class)
        for field in dataclasses.fields(config_class):
            name = f"{prefix}.{field.name}"
            assert f"--{name}" in helped or f"--[no]{name}" in helped
            assert flags.FLAGS[name].help == texts[field.name]
            assert len(texts[field.name]) > 10, name


@pytest.mark.parametrize("reader", FILE_READERS)
def test_every_field_of_a_reader_is_documented_in_the_help(reader):
    helped = flags.FLAGS.get_help()
    for field, text in config_flags.field_documentation(FILE_READERS[reader]).items():
        name = f"read.{field}"
        assert f"--{name}" in helped or f"--[no]{name}" in helped
        # "csv, sequences: ...", the readers that mean the same by it.
        readers, _, _ = flags.FLAGS[name].help.partition(f": {text}")
        assert reader in readers.rpartition(". ")[2].split(", "), name
        assert len(text) > 10, name


@pytest.mark.parametrize("name", SYSTEMS)
def test_help_has_every_flag_of_a_system_once_and_no_other(name):
    system = SYSTEMS[name]
    named = [flag for group in run_help.groups(system) for flag in group.names]
    assert len(set(named)) == len(named)
    log = {kind.name: kind for kind in data_flags.KINDS}[system.log]
    reads = system.log == "interactions"
    prefixes = {name, system.evaluation_group, log.groups[-1], "titles"}
    prefixes |= {"examples"} if reads else set()
    key = {flag.name for flag in flags.FLAGS.get_key_flags_for_module("launchers.train")}
    of_groups = {flag for flag in flags.FLAGS if flag.partition(".")[0] in prefixes and "." in flag}
    groups = {flag.partition(".")[0] for flag in flags.FLAGS if "." in flag}
    plain = {flag for flag in key if "." not in flag} - groups
    plain -= set() if reads else {"target", "sources", "beam_options"}
    program = {"flagfile", "tensorflow_log", "help", "helpfull"}
    assert set(named) == of_groups | plain | program
    assert next(run_help.groups(system)).names[:2] == ("system", "workdir")


def test_help_of_a_reader_has_its_flags(monkeypatch):
    monkeypatch.setattr(flags.FLAGS["reader"], "value", "movielens")
    text = run_help.text()
    assert "--reader=movielens, how it reads:" in text
    assert f"--read.{dataclasses.fields(FILE_READERS['movielens'])[-1].name}" in text
    assert "--read.user_column" not in text
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.parametrize("launcher", ["train", "convert", "evaluate", "export"])
def test_helpfull_of_the_script(launcher):
    outcome = launching.forked(launcher, "--helpfull")
    text = " ".join(outcome.out.split())
    groups = {"train": GROUPS, "convert": ("split", "synthetic")}
    documented = [(prefix, GROUPS[prefix]) for prefix in groups.get(launcher, ())]
    documented += [("read", of) for of in FILE_READERS.values() if launcher in groups]
    for prefix, config_class in documented:
        for name, documentation in config_flags.field_documentation(config_class).items():
            assert f"{prefix}.{name}" in text
            # absl breaks lines, also at hyphens.
            assert documentation[:30].replace(" ", "") in text.replace(" ", ""), name
    assert "--workdir" in text or launcher == "convert"


@pytest.mark.parametrize(
    ("arguments", "compiled"), [([], True), (["--nojit_compile"], False), (["--jit_compile"], True)]
)
def test_steps_are_compiled_unless_told_otherwise(train, monkeypatch, arguments, compiled):
    told = []

    def stop(self, **settings):
        told.append(settings["jit_compile"])
        raise RunError("stopped")

    monkeypatch.setattr(Experiment, "__init__", stop)
    outcome = train(*arguments)
    assert "stopped" in outcome.error
    assert told == [compiled]
