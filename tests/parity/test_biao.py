"""Every golden file of BIAO must replay; those of each kind also compiled by XLA."""

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


# A case of each kind is replayed under XLA, too, whose compilation is what takes the time.
UNDER_XLA = ("conet_forward", "perceptron", "lower_step_detached", "hypergrad_detached", "loop")
CASES = [
    pytest.param(path, jit_compile, id=f"{path.stem}{'-xla' if jit_compile else ''}")
    for path in sorted(GOLDEN.glob("*.npz"))
    for jit_compile in ((False, True) if path.stem in UNDER_XLA else (False,))
]


@pytest.mark.parametrize(("path", "jit_compile"), CASES)
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
