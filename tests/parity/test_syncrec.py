"""Every golden case of SyNCRec must replay; each architecture also compiled by XLA."""

import json
import pathlib

import numpy as np
import pytest

from tests.parity import syncrec

GOLDEN = pathlib.Path(__file__).parent / "golden" / "syncrec"
OUTPUTS = ("out/", "grad/", "after/")
# A case's further arrays stand in files of these names.
PARTS = (".grad", ".after")
CASES = sorted(path.stem for path in GOLDEN.glob("*.npz") if not path.stem.endswith(PARTS))


def load(name):
    case = {}
    for part in ("", *PARTS):
        path = GOLDEN / f"{name}{part}.npz"
        if path.exists():
            with np.load(path, allow_pickle=False) as arrays:
                case |= dict(arrays)
    return case


def made_of_rounding(case, replayed, name):
    """How far Adam may move each weight of a gate that has no gradient.

    A gate of one expert is 1 whatever its weights are. Where rounding makes it a little less, their
    gradient is not 0 but 3e-9 at most, of which Adam makes rate * slope / (slope + 1e-8) a step.
    """
    if not any(gate in name for gate in ("w_gate_single", "w_noise_single")):
        return 0.0
    none = case[f"grad/{name}"] == 0
    slope = min(3e-9, np.max(np.abs(replayed[f"grad/{name}"])[none], initial=0.0))
    settings = json.loads(str(case["meta/config"]))
    return none * settings["steps"] * settings["lr"] * slope / (slope + 1e-8)


def tolerances(case, replayed):
    """Absolute tolerance of each output, or of its entries: SyNCRec SPEC section 10."""
    slopes = [np.nanmax(np.abs(case[key])) for key in case if key.startswith("grad/")]
    floor = 1e-6 * max(slopes, default=0.0)
    allowed = {}
    for key, expected in case.items():
        if key.startswith("after/"):
            allowed[key] = 2e-5 + made_of_rounding(case, replayed, key.removeprefix("after/"))
        elif key.startswith(OUTPUTS):
            largest = np.max(np.abs(expected[~np.isnan(expected)]), initial=0.0)
            least = floor if key.startswith("grad/") else 1e-12
            allowed[key] = max(1e-4 * largest, least)
    return allowed


# XLA keeps what it has compiled, in hundreds of megabytes: each architecture once.
UNDER_XLA = ("step_transformer_independent_h2", "step_ffn", "gating")


@pytest.mark.parametrize(
    ("name", "jit_compile"),
    [*((name, False) for name in CASES), *((name, True) for name in UNDER_XLA)],
)
def test_golden_case_replays(name, jit_compile):
    case = load(name)
    replayed = syncrec.replay(case, jit_compile)
    allowed = tolerances(case, replayed)
    assert not allowed.keys() - replayed.keys()
    for key, tolerance in allowed.items():
        expected, came = case[key], replayed[key]
        assert np.shape(came) == expected.shape, key
        if np.issubdtype(expected.dtype, np.integer):
            np.testing.assert_array_equal(came, expected, err_msg=key)
            continue
        known = ~np.isnan(expected)
        error = np.abs(np.asarray(came, np.float64) - expected)[known]
        within = error <= np.broadcast_to(tolerance, expected.shape)[known]
        assert np.all(within), f"{key}: off by {error[~within].max()}"


def test_every_parameter_that_the_reference_moves_is_compared():
    case = load("step_transformer_independent")
    named = {key.removeprefix("param/") for key in case if key.startswith("param/")}
    moved = named - set(json.loads(str(case["meta/no_grad_params"])))
    replayed = syncrec.replay(case)
    assert {f"grad/{name}" for name in moved} <= replayed.keys()
    assert {f"after/{name}" for name in named} <= replayed.keys()
