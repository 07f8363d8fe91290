"""Reading a released state dictionary: what it fills and how it fails."""

import numpy as np
import pytest

from tests.tfcdr.released_weights.test_state_dict import write_safetensors
from tests.tfcdr.systems.daa.small import BACKBONES, FIELD_SIZES, NUMERICAL, config
from tfcdr.errors import RunError
from tfcdr.systems.daa import reference
from tfcdr.systems.daa.backbones import make_backbone


def network(backbone, **fields):
    return make_backbone(config(backbone=backbone, **fields), FIELD_SIZES, NUMERICAL)


def state_dict(built, seed=0):
    """Random values by the release's names."""
    random = np.random.default_rng(seed)
    return {
        name: random.normal(size=weight.to_reference(weight.variable.numpy()).shape).astype("f4")
        for name, weight in reference.reference_weights(built).items()
    }


@pytest.mark.parametrize("backbone", BACKBONES)
def test_fills_every_weight_from_either_format(tmp_path, backbone):
    first, second = network(backbone), network(backbone)
    values = state_dict(first)
    np.savez(tmp_path / "a.npz", **values, **{"x.mlp.1.num_batches_tracked": np.int64(3)})
    write_safetensors(tmp_path / "a.safetensors", values)
    names = reference.load_state_dict(first, str(tmp_path / "a.npz"))
    assert set(names) == set(values)
    reference.load_state_dict(second, str(tmp_path / "a.safetensors"))
    for one, other in zip(first.variables, second.variables, strict=True):
        np.testing.assert_array_equal(one, other)
    # Every entry of every variable came from the file.
    assert sum(map(np.size, values.values())) == sum(map(np.size, first.get_weights()))
    for name, weight in reference.reference_weights(first).items():
        np.testing.assert_array_equal(weight.to_reference(weight.variable.numpy()), values[name])


@pytest.mark.parametrize(
    ("own", "other", "message"),
    [
        ("mmoe", "omoe", "gate.0.weight.*backbone=mmoe"),
        ("omoe", "mmoe", "gate.0.0.weight.*backbone=omoe"),
        ("sharedbottom", "metaheac", "model.embedding.*backbone=sharedbottom"),
    ],
)
def test_another_backbone_is_refused_and_nothing_is_changed(tmp_path, own, other, message):
    path = tmp_path / "other.npz"
    np.savez(path, **state_dict(network(other)))
    built = network(own)
    before = built.get_weights()
    with pytest.raises(RunError, match=f"other.npz: .*{message}") as raised:
        reference.load_state_dict(built, str(path))
    assert "\n" not in str(raised.value)
    assert all(map(np.array_equal, before, built.get_weights()))


def test_other_sizes_and_missing_weights_are_named(tmp_path):
    path = tmp_path / "a.npz"
    values = state_dict(network("sharedbottom"))
    np.savez(path, **values)
    with pytest.raises(RunError, match=r"embedding.embedding.weight has shape \[7, 4\].*\[7, 8\]"):
        reference.load_state_dict(network("sharedbottom", embedding_size=8), str(path))
    del values["bottom.mlp.1.running_var"]
    np.savez(path, **values)
    with pytest.raises(RunError, match=r"bottom\.mlp\.1\.running_var is missing"):
        reference.load_state_dict(network("sharedbottom"), str(path))
