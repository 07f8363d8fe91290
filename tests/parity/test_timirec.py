"""Every golden file of TiMiRec must replay, compiled by XLA and not."""

import json
import pathlib

import numpy as np
import pytest

from tests.parity import timirec

GOLDEN = pathlib.Path(__file__).parent / "golden" / "timirec"
# The files hold besides: inputs, start values, settings, and what an unstable sort made of ties.
OUTPUTS = ("out/", "grad/", "after/")


def load(path):
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


def tolerance(key, expected):
    """Absolute tolerance of an entry: TiMiRec SPEC section 12."""
    if key.startswith("after/"):
        return 2e-5
    floor = 1e-6 if key.startswith("grad/") else 1e-12
    known = expected[~np.isnan(expected)]
    return max(1e-4 * np.max(np.abs(known), initial=0.0), floor)


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.npz")), ids=lambda path: path.stem)
def test_golden_case_replays(path, jit_compile):
    case = load(path)
    replayed = timirec.replay(case, jit_compile)
    expected_keys = {key for key in case if key.startswith(OUTPUTS)}
    assert not expected_keys - set(replayed)
    for key in sorted(expected_keys):
        expected, came = case[key], replayed[key]
        assert np.shape(came) == expected.shape, key
        if np.issubdtype(expected.dtype, np.integer):
            np.testing.assert_array_equal(came, expected, err_msg=key)
            continue
        known = ~np.isnan(expected)
        error = np.max(np.abs(np.asarray(came, np.float64) - expected)[known], initial=0.0)
        assert error <= tolerance(key, expected), f"{key}: off by {error}"


def test_every_parameter_is_compared():
    case = load(GOLDEN / "finetune_train.npz")
    settings = json.loads(str(case["meta/config"]))
    assert settings["steps"] == 1
    names = {key.removeprefix("param/") for key in case if key.startswith("param/")}
    replayed = timirec.replay(case)
    for prefix in ("grad", "after"):
        assert {f"{prefix}/{name}" for name in names} <= set(replayed)
