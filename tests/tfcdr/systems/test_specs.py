"""Every system explains itself, and what cites its SPEC.md cites a section that is there."""

import dataclasses
import pathlib
import re

import pytest

from tfcdr.systems.registry import SYSTEMS

ROOT = pathlib.Path(__file__).parents[3]
FOLDERS = ("tfcdr", "data_pipelines", "launchers", "tests")
# Such as "PeterRec SPEC section 4", or "SPEC sections 1, 2 and 3" in a system's own folder; a line
# may end anywhere.
GAP = r"[\s#]+"
CITATION = re.compile(
    rf"(?:(\w+){GAP})?\bSPEC{GAP}sections?{GAP}(\d+(?:(?:,{GAP}|{GAP}(?:and|to){GAP})\d+)*)"
)
HEADING = re.compile(r"^## (\d+)\. ", re.MULTILINE)


def citations(text, folder_system=None):
    """Returns (system, section) of each citation in a text; the system is None if none is told."""
    found = []
    for name, numbers in CITATION.findall(text):
        system = name.lower() if name.lower() in SYSTEMS else folder_system
        found += [(system, int(number)) for number in re.findall(r"\d+", numbers)]
    return found


def citations_of(path):
    parts = path.relative_to(ROOT).parts
    owner = parts[2] if parts[:2] == ("tfcdr", "systems") else None
    return citations(path.read_text(encoding="utf-8"), owner if owner in SYSTEMS else None)


def sections(system):
    text = (ROOT / "tfcdr" / "systems" / system / "SPEC.md").read_text(encoding="utf-8")
    return [int(number) for number in HEADING.findall(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Source: SPEC section 2, step 2.", [("daa", 2)]),
        ("the columns before f (SPEC\n    section 1).", [("daa", 1)]),
        ("PeterRec SPEC sections 1, 2 and 3", [("peterrec", 1), ("peterrec", 2), ("peterrec", 3)]),
        ("# and so on: TiMiRec\n# SPEC section 12", [("timirec", 12)]),
    ],
)
def test_citations_are_found(text, expected):
    assert citations(text, "daa") == expected


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_system_has_a_readme_and_a_spec(system):
    readme = ROOT / "tfcdr" / "systems" / system / "README.md"
    assert "(SPEC.md)" in readme.read_text(encoding="utf-8")
    numbers = sections(system)
    assert numbers == list(range(1, len(numbers) + 1))
    assert numbers


@pytest.mark.parametrize("page", ["README.md", "SPEC.md"])
@pytest.mark.parametrize("system", SYSTEMS)
def test_flags_that_a_page_names_exist(system, page):
    text = (ROOT / "tfcdr" / "systems" / system / page).read_text(encoding="utf-8")
    named = set(re.findall(rf"--(?:no)?{system}\.(\w+)", text)) - {"NAME"}
    fields = {field.name for field in dataclasses.fields(SYSTEMS[system].config_class)}
    assert named
    assert not named - fields


def test_cited_sections_exist():
    known = {system: sections(system) for system in SYSTEMS}
    lost = []
    for path in (path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")):
        if path == pathlib.Path(__file__):
            continue
        lost += [
            f"{path.relative_to(ROOT)}: {system} SPEC section {section}"
            for system, section in citations_of(path)
            if section not in known.get(system, ())
        ]
    assert not lost
