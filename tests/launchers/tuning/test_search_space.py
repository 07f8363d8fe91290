"""Search files: what they may name, and what they are refused for."""

import dataclasses
import pathlib

import optuna
import pytest
from optuna.trial import FixedTrial

from data_pipelines.views.example_options import ExampleOptions
from launchers import (
    program,
    run_flags,  # noqa: F401  (defines the flags whose parsers read the values)
)
from launchers.tuning import search_space
from tfcdr.systems.peterrec.config import PeterRecConfig
from tfcdr.systems.registry import SYSTEMS

SEARCHES = sorted(pathlib.Path(program.__file__).parent.glob("searches/*.toml"))
GROUPS = {"peterrec": PeterRecConfig(), "examples": ExampleOptions()}


@pytest.fixture
def read(tmp_path):
    def of(text):
        path = tmp_path / "search.toml"
        path.write_text(text)
        return search_space.read(str(path), GROUPS)

    return of


def test_values_of_every_kind_reach_the_dataclasses(read):
    space = read(
        """
        [peterrec]
        finetune_learning_rate = {low = 1e-4, high = 1e-1, log = true}
        dilations = ["1", "1,2"]
        causal = [true, false]
        negatives = {low = 1, high = 9, step = 4}
        [examples]
        max_length = [5, 10]
        """
    )
    values = {
        "peterrec.finetune_learning_rate": 0.01,
        "peterrec.dilations": "1,2",
        "peterrec.causal": False,
        "peterrec.negatives": 5,
        "examples.max_length": 10,
    }
    assert space.suggest(FixedTrial(values)) == values
    changed = search_space.with_values(GROUPS, values)
    assert changed["peterrec"] == dataclasses.replace(
        GROUPS["peterrec"],
        finetune_learning_rate=0.01,
        dilations=(1, 2),
        causal=False,
        negatives=5,
    )
    assert changed["examples"] == dataclasses.replace(GROUPS["examples"], max_length=10)


def test_what_a_run_has_already_is_known_as_far_as_the_search_may_choose_it(read):
    space = read(
        '[peterrec]\ndilations = ["1", "2"]\nnegatives = {low = 1, high = 9}\nl2 = [0.5]\n'
    )
    config = dataclasses.replace(PeterRecConfig(), dilations=(2,), negatives=3, l2=0.1)
    known = space.known({**GROUPS, "peterrec": config})
    assert known == {"peterrec.dilations": "2", "peterrec.negatives": 3}


def test_values_that_do_not_fit_each_other_are_refused_by_the_dataclass(read):
    read("[peterrec]\nchannels = [8, 16]\n")
    with pytest.raises(ValueError, match="channels must be"):
        search_space.with_values(GROUPS, {"peterrec.channels": 10})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "names no field"),
        ("[peterrec", "no TOML file"),
        ("[magic]\na = [1]", r"'magic' is none of the groups .* \[peterrec\], \[examples\]"),
        ("seed = 1", "'seed' is none of the groups"),
        ("[peterrec]\nchanels = [8]", r"\[peterrec\] chanels: no such field; there are "),
        ("[peterrec]\nchannels = 8", r"\[peterrec\] channels: write a list of values, or"),
        ("[peterrec]\nchannels = []", "write a list of values, or"),
        ("[peterrec]\nchannels = [8.5]", "8.5 is no int"),
        ("[peterrec]\nchannels = [0]", "channels must be positive"),
        ("[peterrec]\nmask_share = {low = 0.5, high = 1.5}", r"mask_share must be in \(0, 1\]"),
        ("[peterrec]\nl2 = {low = 1.0, high = 0.5}", r"\[peterrec\] l2: "),
        ("[peterrec]\nl2 = {low = 0.1}", "a range has low and high"),
        ("[peterrec]\nnegatives = {low = 1.5, high = 3}", "the field takes integers"),
        ("[peterrec]\ndilations = {low = 1, high = 3}", "only numbers have a range"),
        ("[peterrec]\ndilations = [1]", "takes texts"),
        ('[peterrec]\nadaptation = ["magic"]', "adaptation must be one of"),
        ("[examples]\nmax_length = [0]", r"\[examples\] max_length: "),
    ],
)
def test_bad_files_are_refused_by_name(read, text, message):
    with pytest.raises(program.FlagError, match=message):
        read(text)


def test_a_missing_file_is_named():
    with pytest.raises(program.FlagError, match=r"--search=nowhere\.toml: cannot be read"):
        search_space.read("nowhere.toml", GROUPS)


def test_a_range_is_drawn_as_the_file_says(read):
    space = read("[peterrec]\nl2 = {low = 1e-5, high = 1.0, log = true}\n")
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    drawn = [space.suggest(study.ask())["peterrec.l2"] for _ in range(200)]
    assert 1e-5 <= min(drawn) < 1e-4  # half of a linear range would lie above 0.5
    assert max(drawn) <= 1.0


@pytest.mark.parametrize("path", SEARCHES, ids=lambda path: path.stem)
def test_search_files_of_the_project_fit_their_systems(path):
    groups = {path.stem: SYSTEMS[path.stem].config_class(), "examples": ExampleOptions()}
    assert search_space.read(str(path), groups).fields
