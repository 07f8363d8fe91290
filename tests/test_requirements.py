"""The two files of locked versions say the same."""

import pathlib
import re

REPOSITORY = pathlib.Path(__file__).resolve().parents[1]
# A package's name, version and, behind a semicolon, where it is meant for.
_PIN = re.compile(r"([a-z0-9._-]+)==([^ ]+)(?: ; ([^\\]*[^\\ ]))?")


def pins(text):
    lines = [line for line in text.splitlines() if not line.startswith(("#", " "))]
    found = [_PIN.match(line) for line in lines if line]
    assert all(found)
    return {match.groups() for match in found}


def test_every_locked_version_has_the_hashes_of_its_files():
    locked = (REPOSITORY / "requirements.lock").read_text()
    hashed = (REPOSITORY / ".ci" / "requirements.hashes").read_text()
    versions = [{(name, version) for name, version, _ in pins(text)} for text in (locked, hashed)]
    assert len(versions[0]) > 100
    assert versions[0] == versions[1]
    entries = re.split(r"\n(?=[a-z])", hashed)[1:]
    assert all("--hash=sha256:" in entry for entry in entries)
