"""Files of released weights: both formats give the same arrays, damaged ones a line."""

import numpy as np
import pytest
from safetensors.numpy import save_file

from tfcdr.errors import RunError
from tfcdr.released_weights import state_dict

ARRAYS = {
    "table.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "half": np.array([0.5, -2.0], np.float16),
    "batches": np.array(7, np.int64),
}


def write_safetensors(path, arrays):
    # It writes the memory of a view as it lies.
    whole = {name: array.copy(order="C") for name, array in arrays.items()}
    save_file(whole, path, metadata={"format": "pt"})


def test_both_formats_give_every_array(tmp_path):
    np.savez(tmp_path / "a.npz", **ARRAYS)
    write_safetensors(tmp_path / "a.safetensors", ARRAYS)
    for name in ("a.npz", "a.safetensors"):
        found = state_dict.read(str(tmp_path / name))
        assert found.keys() == ARRAYS.keys()
        for key, expected in ARRAYS.items():
            np.testing.assert_array_equal(found[key], expected)
            assert found[key].dtype == expected.dtype


@pytest.mark.parametrize("content", [b"", b"PK\3\4", b"\x80\4pickle", b"\5\0\0\0\0\0\0\0{}[]1"])
def test_a_damaged_file_is_one_line(tmp_path, content):
    path = tmp_path / "damaged"
    path.write_bytes(content)
    with pytest.raises(RunError, match="damaged: neither a NumPy archive") as raised:
        state_dict.read(str(path))
    assert "\n" not in str(raised.value)


def test_a_truncated_safetensors_file_is_one_line(tmp_path):
    path = tmp_path / "short.safetensors"
    write_safetensors(path, ARRAYS)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(RunError, match=r"short\.safetensors: neither .*incomplete"):
        state_dict.read(str(path))
