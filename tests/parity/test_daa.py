"""Every golden file of DAA must replay; those of each kind also compiled by XLA."""

import pathlib

import numpy as np
import pytest

from tests.parity import daa

GOLDEN = pathlib.Path(__file__).parent / "golden" / "daa"
CASES = sorted(path.stem for path in GOLDEN.glob("*.npz") if path.stem != "data_preprocess")
# XLA takes up to a minute to compile a case: one step and one loop, and every network. That
# MetaHeac trains alike under XLA, tests/tfcdr/systems/daa shows.
UNDER_XLA = [
    name
    for name in CASES
    if not name.startswith(("metaheac_meta", "step_", "loop_"))
    or name in ("step_mmoe_paper", "loop_sharedbottom_paper")
]


def load(name):
    with np.load(GOLDEN / f"{name}.npz", allow_pickle=False) as arrays:
        return dict(arrays)


def allowed_error(key, expected):
    """1e-4 relative, 1e-3 of second order; what is 0 by analysis holds noise of 1e-6."""
    second_order = "/gp" in key or "dis" in key or "big" in key
    rate = 1e-3 if second_order else 1e-4
    # Small entries of an array carry the rounding of its large ones.
    scale = np.maximum(np.abs(expected), 0.05 * np.max(np.abs(expected), initial=0.0))
    return rate * scale + daa.NOISE


@pytest.mark.parametrize(
    ("name", "jit_compile"),
    [*((name, False) for name in CASES), *((name, True) for name in UNDER_XLA)],
)
def test_golden_case_replays(name, jit_compile):
    case = load(name)
    replayed = daa.replay(case, jit_compile)
    expected_keys = {key for key in case if not key.startswith(("param/", "in/"))}
    assert not expected_keys - set(replayed)
    for key in sorted(expected_keys):
        expected, came = case[key], np.asarray(replayed[key])
        assert came.shape == expected.shape, key
        if expected.dtype.kind == "U":
            assert came.tolist() == expected.tolist(), key
            continue
        excess = np.abs(came - expected.astype(np.float64)) - allowed_error(key, expected)
        assert np.max(excess, initial=-1.0) <= 0, f"{key}: off by {np.max(excess)} too much"
