"""Fixtures and settings for all tests."""

import pathlib
from collections.abc import Callable

import pytest

from tests import real_data as real_data_folder

try:
    import hypothesis
except ImportError:  # the property tests say so themselves
    pass
else:
    # The same examples in every run and no deadline: a loaded machine must not fail a test.
    hypothesis.settings.register_profile("tfcdr", deadline=None, max_examples=30, derandomize=True)
    hypothesis.settings.load_profile("tfcdr")


@pytest.fixture(scope="session")
def real_data() -> Callable[[str], pathlib.Path]:
    """Gives the path of a real data set's folder, or skips the test that asks for it."""
    root = real_data_folder.root()

    def folder(name: str) -> pathlib.Path:
        path = root / name
        if not path.is_dir():
            pytest.skip(f"real data set {name} is not in {root}; set TFCDR_REAL_DATA to have it")
        return path

    return folder
