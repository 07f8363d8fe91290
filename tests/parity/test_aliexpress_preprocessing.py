"""The published preprocessing's csv files come out of the reader, sign by sign."""

import pathlib

import numpy as np
import pytest

from tests.parity import daa

GOLDEN = pathlib.Path(__file__).parent / "golden" / "daa" / "data_preprocess.npz"


@pytest.mark.parametrize(
    "key", [f"out/{p}_csv{v}" for p in ("train", "test") for v in ("", "_memory")]
)
def test_processed_csv(key):
    with np.load(GOLDEN, allow_pickle=False) as case:
        assert str(daa.replay(case)[key]) == str(case[key])
