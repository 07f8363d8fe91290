"""The published preprocessing's csv files come out of the reader, sign by sign."""

import pathlib

import numpy as np
import pytest

from tests.parity.aliexpress_preprocessing import processed_csv

GOLDEN = pathlib.Path(__file__).parent / "golden" / "daa" / "data_preprocess.npz"


@pytest.mark.parametrize("part", ["train", "test"])
@pytest.mark.parametrize(("variant", "numerical"), [("", np.float32), ("_memory", np.float16)])
def test_processed_csv(part, variant, numerical):
    with np.load(GOLDEN, allow_pickle=False) as case:
        user, item = (str(case[f"in/{side}_{part}_csv"]) for side in ("user", "item"))
        expected = str(case[f"out/{part}_csv{variant}"])
    assert processed_csv(user, item, numerical) == expected
