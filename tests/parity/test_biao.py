"""Every golden file of BIAO must replay, compiled by XLA and not."""

import pathlib

import numpy as np
import pytest

from tests.parity import biao

GOLDEN = pathlib.Path(__file__).parent / "golden" / "biao"
# The files hold besides: inputs and start values.
OUTPUTS = ("out/", "grad/", "after/", "after3/", "after_wd0/")
# Second order: BIAO SPEC section 10.
SECOND_ORDER = ("out/v", "out/p", "out/hypergrad", "out/total_norm", "grad/sel.", "out/meta")


def load(path):
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


def tolerance(key, expected):
    """Absolute tolerance of an entry: BIAO SPEC section 10."""
    if key.startswith("after"):
        return 2e-5
    share = 1e-3 if key.startswith(SECOND_ORDER) else 1e-4
    return max(share * np.max(np.abs(expected), initial=0.0), 1e-6)


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.npz")), ids=lambda path: path.stem)
def test_golden_case_replays(path, jit_compile):
    case = load(path)
    replayed = biao.replay(case, jit_compile)
    expected_keys = {key for key in case if key.startswith(OUTPUTS)}
    assert not expected_keys - set(replayed)
    for key in sorted(expected_keys):
        expected, came = case[key], np.asarray(replayed[key])
        assert came.shape == expected.shape, key
        if not np.issubdtype(expected.dtype, np.floating):
            np.testing.assert_array_equal(came, expected, err_msg=key)
            continue
        error = np.max(np.abs(came.astype(np.float64) - expected), initial=0.0)
        assert error <= tolerance(key, expected), f"{key}: off by {error}"
