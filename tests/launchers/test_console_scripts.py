"""The console scripts are the launchers under another name."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("launcher", "flag"),
    [
        ("convert", "--view"),
        ("train", "--peterrec.channels"),
        ("evaluate", "--workdir"),
        ("export", "--top_k"),
        ("benchmark", "--against"),
    ],
)
def test_help_of_a_console_script_shows_the_launchers_flags(launcher, flag):
    code = (
        f"import sys; sys.argv = ['tfcdr-{launcher}', '--help']\n"
        f"from launchers import {launcher}; {launcher}.run()"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert flag in result.stdout, result.stderr
