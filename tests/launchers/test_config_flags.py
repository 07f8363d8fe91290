"""Flags made from dataclasses: values, help, refusals; how a launcher fails."""

import dataclasses
import functools
from typing import Sequence  # noqa: UP035  (the one that fancyflags knows)

import pytest
from absl import flags

from launchers import config_flags, program
from tests.end_to_end import launching


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How to cook.

    Attributes:
      dish: what is cooked; more
        text on the next line.
      minutes: how long.
      heat: how hot.
      salted: whether salt is added.
      layers: sizes of the layers.
      guests: names of the guests.
    """

    dish: str = "soup"
    minutes: int = 30
    heat: float = 0.5
    salted: bool = True
    layers: tuple[int, ...] = (1, 4)
    guests: Sequence[str] = ()

    def __post_init__(self):
        if self.minutes <= 0:
            raise ValueError(f"minutes must be positive. Received: {self.minutes}.")


@dataclasses.dataclass(frozen=True)
class Heated:
    """What every appliance takes.

    Attributes:
      heat: how hot.
      shelves: numbers of the shelves in use.
    """

    heat: float = 0.5
    shelves: tuple[int, ...] = ()


@dataclasses.dataclass(frozen=True)
class Oven(Heated):
    """An oven.

    Attributes:
      shelves: from below.
      fan: whether air moves.
    """

    shelves: tuple[int, ...] = (2,)
    fan: bool = True


@dataclasses.dataclass(frozen=True)
class Pan(Heated):
    """A pan.

    Attributes:
      lid: what covers it.
    """

    lid: str = "glass"

    def __post_init__(self):
        if not self.lid:
            raise ValueError("lid is empty.")


@dataclasses.dataclass(frozen=True)
class Fridge:
    """A fridge.

    Attributes:
      frost: how cold.
    """

    frost: int = 5


APPLIANCES = {"hot": {"oven": Oven, "pan": Pan}, "cold": {"fridge": Fridge}}


@pytest.fixture
def own_flags(monkeypatch):
    """Gives flags of the test's own, which all functions of `config_flags` then define and read."""
    values = flags.FlagValues()
    bound = functools.partial(config_flags.ff.DEFINE_auto, flag_values=values)
    monkeypatch.setattr(flags, "FLAGS", values)
    monkeypatch.setattr(config_flags.ff, "DEFINE_auto", bound)
    return values


@pytest.fixture
def cook(own_flags):
    """Gives a function from command-line arguments to a Recipe."""
    read = config_flags.define("recipe", Recipe)

    def parse(*arguments):
        own_flags(["program", *arguments])
        return read()

    parse.flags = own_flags
    return parse


@pytest.fixture
def choose(own_flags):
    """Gives a function from an appliance and command-line arguments to its dataclass."""
    chosen = config_flags.define_chosen("appliance", APPLIANCES)

    def parse(appliance, *arguments):
        own_flags(["program", *arguments])
        return chosen(appliance)

    parse.flags, parse.prefix = own_flags, chosen.prefix
    return parse


def test_without_flags_the_dataclass_decides(cook):
    assert cook() == Recipe()


@pytest.mark.parametrize(
    ("arguments", "fields"),
    [
        (["--recipe.dish=stew"], {"dish": "stew"}),
        (["--recipe.minutes=5", "--recipe.heat=1e-3"], {"minutes": 5, "heat": 0.001}),
        (["--recipe.salted=false"], {"salted": False}),
        (["--norecipe.salted"], {"salted": False}),
        (["--recipe.layers=2,8,16"], {"layers": (2, 8, 16)}),
        (["--recipe.layers=7"], {"layers": (7,)}),
        (["--recipe.layers=(1, 2)"], {"layers": (1, 2)}),
        (["--recipe.guests=Ann,Bo Li"], {"guests": ("Ann", "Bo Li")}),
        (["--recipe.guests="], {"guests": ()}),
        (["--recipe.guests=['Ann', \"Bo\"]"], {"guests": ("Ann", "Bo")}),
    ],
)
def test_flags_give_the_fields(cook, arguments, fields):
    assert cook(*arguments) == Recipe(**fields)


def test_help_is_the_fields_documentation(cook):
    cook()
    assert cook.flags["recipe.dish"].help == "what is cooked; more text on the next line."
    assert cook.flags["recipe.layers"].help == "sizes of the layers."
    assert cook.flags["recipe.layers"].flag_type() == "comma-separated list of int"


def test_a_value_that_the_dataclass_refuses_names_prefix_field_and_value(cook):
    with pytest.raises(program.FlagError, match=r"--recipe\.\*: minutes .*Received: -3"):
        cook("--recipe.minutes=-3")


@pytest.mark.parametrize(
    "argument",
    ["--recipe.minutes=soon", "--recipe.heat=hot", "--recipe.layers=1,x", "--recipe.salted=maybe"],
)
def test_a_value_of_another_type_names_flag_and_value(cook, argument):
    flag, value = argument.removeprefix("--").split("=")
    with pytest.raises(flags.IllegalFlagValueError, match=rf"{flag}.*{value[-1]}"):
        cook(argument)


def test_an_unknown_field_is_no_flag(cook):
    with pytest.raises(flags.UnrecognizedFlagError, match=r"recipe\.sugar"):
        cook("--recipe.sugar=1")


def test_undocumented_fields_are_refused():
    @dataclasses.dataclass(frozen=True)
    class Silent:
        """Says little.

        Attributes:
          told: is documented.
        """

        told: int = 1
        untold: int = 2

    with pytest.raises(TypeError, match="Silent has undocumented fields: untold"):
        config_flags.field_documentation(Silent)


def test_an_inherited_field_is_documented_where_it_is_defined_or_anew():
    assert config_flags.field_documentation(Oven) == {
        "heat": "how hot.",
        "shelves": "from below.",
        "fan": "whether air moves.",
    }
    assert config_flags.field_documentation(Pan)["shelves"] == "numbers of the shelves in use."


@pytest.mark.parametrize(
    ("appliance", "arguments", "expected"),
    [
        ("oven", [], Oven()),
        ("pan", [], Pan()),
        ("fridge", [], Fridge()),
        ("oven", ["--hot.heat=2", "--nohot.fan"], Oven(heat=2.0, fan=False)),
        ("oven", ["--hot.shelves="], Oven(shelves=())),
        ("pan", ["--hot.shelves=1,3", "--hot.lid=steel"], Pan(shelves=(1, 3), lid="steel")),
        # As the default of another appliance, and as its own.
        ("pan", ["--hot.shelves=2", "--hot.heat=0.5"], Pan(shelves=(2,))),
        ("fridge", ["--cold.frost=7"], Fridge(7)),
    ],
)
def test_another_flag_chooses_the_dataclass(choose, appliance, arguments, expected):
    assert choose(appliance, *arguments) == expected


def test_prefixes_of_choices(choose):
    assert [choose.prefix(name) for name in ("oven", "pan", "fridge")] == ["hot", "hot", "cold"]


@pytest.mark.parametrize(
    ("appliance", "argument", "flag"),
    [
        ("oven", "--hot.lid=steel", "hot.lid"),
        ("oven", "--hot.lid=glass", "hot.lid"),  # though it is the pan's default
        ("pan", "--nohot.fan", "hot.fan"),
        ("pan", "--cold.frost=5", "cold.frost"),
        ("fridge", "--hot.heat=1", "hot.heat"),
    ],
)
def test_a_flag_of_another_choice_is_refused(choose, appliance, argument, flag):
    with pytest.raises(program.FlagError) as caught:
        choose(appliance, argument)
    assert str(caught.value) == (
        f"--{flag} has no meaning for --appliance={appliance}: leave it out."
    )


def test_a_value_that_the_chosen_dataclass_refuses_names_the_prefix(choose):
    with pytest.raises(program.FlagError, match=r"--hot\.\*: lid is empty\."):
        choose("pan", "--hot.lid=")


def test_help_says_which_choice_takes_a_flag_and_with_which_default(choose):
    helped = {name: choose.flags[name].help for name in choose.flags}
    assert helped["hot.heat"] == "oven, pan: how hot."
    assert helped["hot.fan"] == "oven: whether air moves."
    assert helped["hot.shelves"] == (
        "oven: from below. pan: numbers of the shelves in use. Default: 2 for oven; empty for pan."
    )
    assert helped["cold.frost"] == "how cold."  # No other takes flags of this prefix.
    assert choose.flags["hot.heat"].default == 0.5
    assert choose.flags["hot.shelves"].default is None
    assert choose.flags["hot.shelves"].flag_type() == "comma-separated list of int"


def test_a_field_of_two_types_is_no_flag(own_flags):
    @dataclasses.dataclass(frozen=True)
    class Kettle:
        """A kettle.

        Attributes:
          heat: what heats it.
        """

        heat: str = "gas"

    with pytest.raises(TypeError, match="field heat has another type for each of oven, kettle"):
        config_flags.define_chosen("appliance", {"hot": {"oven": Oven, "kettle": Kettle}})


PROGRAM = """
import sys
from absl import flags
from data_pipelines.errors import DataError
from launchers import program
import tensorflow as tf
from tfcdr.errors import RunError

flags.DEFINE_integer("size", 1, "a size", lower_bound=0)
errors = {
    2: program.FlagError("size is\\n wrong"),
    3: DataError("log.csv, line 4: no item"),
    4: RunError("loss is not finite"),
    5: KeyboardInterrupt(),
    6: tf.errors.ResourceExhaustedError(None, None, "/run/a; No space left on device"),
    7: tf.errors.ResourceExhaustedError(None, None, "OOM when allocating"),
}

def main(argv):
    if flags.FLAGS.size in errors:
        raise errors[flags.FLAGS.size]
    print("size", flags.FLAGS.size)

for arguments in (["1"], ["2"], ["3"], ["4"], ["5"], ["6"], ["7"], ["-1"], ["x"], ["1", "stray"]):
    sys.argv = ["cook", "--size=" + arguments[0], *arguments[1:]]
    flags.FLAGS.unparse_flags()
    try:
        program.run(main)
    except SystemExit as end:
        print("status", end.code or 0, flush=True)
        print("---", file=sys.stderr, flush=True)
"""


def test_launchers_fail_in_one_line_with_their_status():
    outcome = launching.forked("cook", code=PROGRAM)
    assert outcome.status == 0, outcome.err
    statuses = [line for line in outcome.out.splitlines() if line.startswith("status")]
    assert statuses == [f"status {status}" for status in (0, 2, 1, 1, 130, 1, 1, 2, 2, 2)]
    assert outcome.out.startswith("size 1\n")
    assert "Traceback" not in outcome.err
    said = [part.strip().splitlines() for part in outcome.err.split("---")]
    errors = [[line for line in part if line.startswith(("error", "interrupted"))] for part in said]
    expected = [
        None,
        "error: size is wrong",
        "error: log.csv, line 4: no item",
        "error: loss is not finite",
        "interrupted: ",
        "error: /run/a; No space left on device; make room",
        "error: memory does not suffice (OOM when allocating)",
        "error: flag --size=-1: ",
        "error: flag --size=x: ",
        "error: unexpected argument 'stray'",
    ]
    for lines, start in zip(errors, expected, strict=False):
        assert len(lines) == (start is not None)
        assert start is None or lines[0].startswith(start)
