"""Every launcher's command that the documentation shows has flags which that launcher takes."""

import json
import re
import shlex

import pytest

from tests.end_to_end import launching

ROOT = launching.REPOSITORY
# What stands for something else in a command, as NAME does in flagfiles/timirec_NAME.cfg.
PLACEHOLDER = re.compile(r"[A-Z]{3,}")
# Parses the commands, a JSON list of lists of arguments, by the flags of one launcher.
PARSE = """
import importlib, json, sys
from absl import flags
importlib.import_module(sys.argv[1])
wrong = []
for arguments in json.loads(sys.argv[2]):
    try:
        flags.FLAGS.unparse_flags()
        flags.FLAGS([sys.argv[1], *arguments])
    except (flags.Error, ValueError) as error:
        wrong.append([arguments, str(error)])
print(json.dumps(wrong))
"""


def documents():
    """The files that show commands: Markdown, and launchers with their docstrings."""
    markdown = [ROOT / "README.md", *(ROOT / ".github").glob("*.md")]
    for folder in ("data_pipelines", "launchers", "tfcdr"):
        markdown += (ROOT / folder).rglob("*.md")
    return [*markdown, *(ROOT / "launchers").glob("*.py")]


def shown_commands():
    """Arguments of every command that is shown, by its launcher."""
    found = {}
    for document in documents():
        text = re.sub(r" *\\\\?\n *", " ", document.read_text())
        for line in text.splitlines():
            match = re.match(r" *(?:\$ |.* && )?\S*python\d? launchers/(\w+)\.py (.*)", line)
            if match and "`" not in line:
                launcher, rest = match.groups()
                arguments = shlex.split(rest, comments=True)
                found.setdefault(launcher, []).append(arguments)
    return found


COMMANDS = shown_commands()
FLAGFILES = [[f"--flagfile={path}"] for path in (ROOT / "launchers" / "flagfiles").glob("*.cfg")]


def test_commands_are_found():
    assert {"train", "evaluate", "export", "recommend", "tune", "compare"} <= COMMANDS.keys()
    assert sum(map(len, COMMANDS.values())) > 40
    assert ["--flagfile=launchers/flagfiles/demo.cfg", "--workdir=runs/demo"] in COMMANDS["train"]
    assert len(FLAGFILES) > 30


@pytest.mark.parametrize("launcher", sorted(COMMANDS))
def test_shown_commands_have_flags_that_are_taken(launcher):
    commands = [
        [
            argument
            for argument in arguments
            if argument.startswith("-")
            and not (argument.startswith("--flagfile=") and PLACEHOLDER.search(argument))
        ]
        for arguments in COMMANDS[launcher]
    ]
    if launcher in ("train", "tune"):  # A search starts from whatever a run starts from.
        commands += FLAGFILES
    outcome = launching.forked(launcher, f"launchers.{launcher}", json.dumps(commands), code=PARSE)
    assert outcome.status == 0, outcome.err
    assert json.loads(outcome.out) == []
