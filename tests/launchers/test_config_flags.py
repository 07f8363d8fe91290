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


@pytest.fixture
def cook():
    """Gives a function from command-line arguments to a Recipe, on flags of its own."""
    values, define_auto = flags.FlagValues(), config_flags.ff.DEFINE_auto
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flags, "FLAGS", values)
        bound = functools.partial(define_auto, flag_values=values)
        patch.setattr(config_flags.ff, "DEFINE_auto", bound)
        read = config_flags.define("recipe", Recipe)

    def parse(*arguments):
        values(["program", *arguments])
        return read()

    parse.flags = values
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


PROGRAM = """
import sys
from absl import flags
from data_pipelines.errors import DataError
from launchers import program
from tfcdr.errors import RunError

flags.DEFINE_integer("size", 1, "a size", lower_bound=0)
errors = {
    2: program.FlagError("size is\\n wrong"),
    3: DataError("log.csv, line 4: no item"),
    4: RunError("loss is not finite"),
    5: KeyboardInterrupt(),
}

def main(argv):
    if flags.FLAGS.size in errors:
        raise errors[flags.FLAGS.size]
    print("size", flags.FLAGS.size)

for arguments in (["1"], ["2"], ["3"], ["4"], ["5"], ["-1"], ["x"], ["1", "stray"]):
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
    assert statuses == [f"status {status}" for status in (0, 2, 1, 1, 130, 2, 2, 2)]
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
        "error: flag --size=-1: ",
        "error: flag --size=x: ",
        "error: unexpected argument 'stray'",
    ]
    for lines, start in zip(errors, expected, strict=False):
        assert len(lines) == (start is not None)
        assert start is None or lines[0].startswith(start)
