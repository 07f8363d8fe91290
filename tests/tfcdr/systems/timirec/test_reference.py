"""Reading a state dictionary of the release: what it restores and how it fails."""

import numpy as np
import pytest

from tests.tfcdr.released_weights.test_state_dict import write_safetensors
from tfcdr.errors import RunError
from tfcdr.systems.timirec import reference
from tfcdr.systems.timirec.config import TiMiRecConfig
from tfcdr.systems.timirec.model import FinetuningModel, PretrainingModel

CONFIG = TiMiRecConfig(embedding_size=4, attention_size=3, layers=2)


def model_with_random_weights(seed):
    model = FinetuningModel(CONFIG, 5, rows=7, num_items=6)
    random = np.random.default_rng(seed)
    for variable in model.variables:
        variable.assign(random.normal(size=variable.shape))
    return model


def write(folder, model, **changes):
    arrays = {
        name: weight.to_reference(weight.variable.numpy())
        for name, weight in reference.reference_weights(model).items()
    } | changes
    path = folder / "timirec.npz"
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return str(path)


def test_restores_every_weight(tmp_path):
    released, model = model_with_random_weights(0), model_with_random_weights(1)
    names = reference.load_state_dict(model, write(tmp_path, released))
    assert {"proj.proj_0.weight", "interest_extractor.transformer.layer_norm2.bias"} < set(names)
    for ours, theirs in zip(model.variables, released.variables, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_reads_safetensors_too(tmp_path):
    released, model = model_with_random_weights(0), model_with_random_weights(1)
    weights = reference.reference_weights(released)
    arrays = {name: of.to_reference(of.variable.numpy()) for name, of in weights.items()}
    path = tmp_path / "timirec.safetensors"
    write_safetensors(path, arrays)
    assert set(reference.load_state_dict(model, str(path))) == set(arrays)
    for ours, theirs in zip(model.variables, released.variables, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_the_extractor_is_read_from_a_file_of_the_second_stage(tmp_path):
    released = model_with_random_weights(0)
    model = PretrainingModel(CONFIG, 5, rows=7, num_items=6)
    names = reference.load_state_dict(model, write(tmp_path, released))
    assert all(name.startswith("interest_extractor.") for name in names)
    history = np.array([[0, 0, 3, 1, 6]], np.int32)
    np.testing.assert_array_equal(model.interests(history), released.interests(history))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (None, "proj.proj_final.bias is missing"),
        (np.zeros(3, np.float32), r"proj.proj_final.bias has shape \[3\].*needs shape \[2\]"),
    ],
)
def test_a_parameter_that_does_not_fit_is_named_and_nothing_is_changed(tmp_path, change, message):
    model = model_with_random_weights(1)
    before = model.get_weights()
    path = write(tmp_path, model_with_random_weights(0), **{"proj.proj_final.bias": change})
    with pytest.raises(RunError, match=message) as raised:
        reference.load_state_dict(model, path)
    assert "\n" not in str(raised.value)
    assert all(map(np.array_equal, before, model.get_weights()))


def test_a_single_array_and_an_archive_of_objects_are_refused(tmp_path):
    array, objects = tmp_path / "array.npy", tmp_path / "objects.npz"
    np.save(array, np.zeros(3))
    np.savez(objects, **{"interest_extractor.W1.bias": np.array([{}], dtype=object)})
    for path in (array, objects):
        with pytest.raises(RunError, match=path.name):
            reference.load_state_dict(model_with_random_weights(0), str(path))


@pytest.mark.parametrize("content", [None, b"", b"\x80\x04no pickle is read", b"PK\x03\x04broken"])
def test_what_is_no_archive_is_one_line(tmp_path, content):
    path = tmp_path / "timirec.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RunError, match=r"timirec\.npz") as raised:
        reference.load_state_dict(model_with_random_weights(0), str(path))
    assert "\n" not in str(raised.value)
