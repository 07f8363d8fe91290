"""The console scripts are the launchers under another name."""

import pytest

from tests.end_to_end import launching


@pytest.mark.parametrize(
    ("launcher", "flag"),
    [
        ("convert", "--log"),
        ("compare", "--runs"),
        ("audit", "--trials"),
        ("train", "--peterrec.channels"),
        ("tune", "--search"),
        ("evaluate", "--workdir"),
        ("export", "--top_k"),
        ("recommend", "--histories"),
        ("benchmark", "--against"),
    ],
)
def test_help_of_a_console_script_shows_the_launchers_flags(launcher, flag):
    code = (
        f"import sys; sys.argv = ['tfcdr-{launcher}', '--help']\n"
        f"from launchers import {launcher}; {launcher}.run()"
    )
    outcome = launching.forked(launcher, code=code)
    assert flag in outcome.out, outcome.err
