"""Fixtures and settings for all tests."""

import os
import pathlib
from collections.abc import Callable

import pytest

try:
    import hypothesis
except ImportError:  # the property tests say so themselves
    pass
else:
    # The same examples in every run and no deadline: a loaded machine must not fail a test.
    hypothesis.settings.register_profile("tfcdr", deadline=None, max_examples=30, derandomize=True)
    hypothesis.settings.load_profile("tfcdr")

_REPOSITORY = pathlib.Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def real_data() -> Callable[[str], pathlib.Path]:
    """Gives the path of a real data set's folder, or skips the test that asks for it.

    The folder is looked for in $TFCDR_REAL_DATA, else in ../shared/data beside the repository.
    """
    default = _REPOSITORY.parent / "shared" / "data"
    root = pathlib.Path(os.environ.get("TFCDR_REAL_DATA", default))

    def folder(name: str) -> pathlib.Path:
        path = root / name
        if not path.is_dir():
            pytest.skip(f"real data set {name} is not in {root}; set TFCDR_REAL_DATA to have it")
        return path

    return folder
