"""Reading a state dictionary of the release: what it restores and how it fails."""

import numpy as np
import pytest

from tests.tfcdr.systems.syncrec.small_models import make
from tfcdr.errors import RunError
from tfcdr.systems.syncrec import reference


def write(path, model, **changes):
    """Writes a model as the release names its weights, special rows of the type table included."""
    arrays = {
        name: weight.to_reference(weight.variable.numpy())
        for name, weight in reference.reference_weights(model).items()
    }
    table = arrays["type_embeddings.weight"]
    rows = np.zeros((reference.SPECIAL_TYPES - 1, table.shape[1]), np.float32)
    arrays["type_embeddings.weight"] = np.concatenate([table[:1], rows, table[1:]])
    np.savez(path, **{name: array for name, array in (arrays | changes).items() if len(array)})
    return str(path)


@pytest.mark.parametrize("fields", [{}, {"modules": "released"}, {"expert_layer": "ffn"}], ids=str)
def test_restores_every_weight(tmp_path, fields):
    released, model = (make(seed=seed, **fields) for seed in (0, 1))
    names = reference.load_state_dict(model, write(tmp_path / "w.npz", released))
    assert "mip_norm.bias" in names and len(set(names)) == len(names)
    for ours, theirs in zip(model.trainable_variables, released.trainable_variables, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (np.zeros(0, np.float32), "tower_.1.dense_1.bias is missing"),
        (np.zeros(3, np.float32), r"tower_.1.dense_1.bias has shape \[3\].*needs shape \[32\]"),
    ],
)
def test_a_weight_that_does_not_fit_is_named_and_nothing_is_changed(tmp_path, change, message):
    model = make(seed=1)
    before = model.get_weights()
    path = write(tmp_path / "w.npz", make(), **{"tower_.1.dense_1.bias": change})
    with pytest.raises(RunError, match=message):
        reference.load_state_dict(model, path)
    assert all(map(np.array_equal, before, model.get_weights()))
