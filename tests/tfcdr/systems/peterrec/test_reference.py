"""Reading a checkpoint of the release: what it restores and how it fails."""

import numpy as np
import pytest
import tensorflow as tf

from tfcdr.errors import RunError
from tfcdr.systems.peterrec import reference
from tfcdr.systems.peterrec.config import PeterRecConfig
from tfcdr.systems.peterrec.model import FinetuningModel, PretrainingModel

ROWS, CHANNELS = 9, 8
BLOCK = "nextitnet_residual_blockdecoder_layer_0_1"


def config(**fields):
    return PeterRecConfig(
        **{"channels": CHANNELS, "dilations": (1,), "pretrain_loss": "full_softmax", **fields}
    )


def released_variables(seed=0):
    """The names and shapes of the release for one block and a full softmax."""
    shapes = {"allitem_embeddings": (ROWS, CHANNELS)}
    for number in (1, 2):
        shapes[f"{BLOCK}/dilated_conv{number}/weight"] = (1, 3, CHANNELS, CHANNELS)
        shapes[f"{BLOCK}/dilated_conv{number}/bias"] = (CHANNELS,)
        shapes[f"{BLOCK}/layer_norm{number}/gamma"] = (CHANNELS,)
        shapes[f"{BLOCK}/layer_norm{number}/beta"] = (CHANNELS,)
    shapes["logits/weight"] = (1, 1, CHANNELS, ROWS)
    shapes["logits/bias"] = (ROWS,)
    random = np.random.default_rng(seed)
    return {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def write(folder, variables):
    """Writes a checkpoint as TensorFlow 1 did, with Adam's slots."""
    slots = {f"{name}/Adam": np.zeros_like(value) for name, value in variables.items()}
    everything = {**variables, **slots, "beta1_power": np.float32(0.9)}
    prefix = str(folder / "model.ckpt")
    tf.raw_ops.SaveV2(
        prefix=prefix,
        tensor_names=list(everything),
        shape_and_slices=[""] * len(everything),
        tensors=[tf.constant(value) for value in everything.values()],
    )
    return prefix


def pretraining():
    return PretrainingModel(config(), 5, ROWS, np.ones(ROWS - 3))


def finetuning(**fields):
    return FinetuningModel(config(**fields), 5, ROWS, 4)


def test_restores_every_weight_of_pretraining(tmp_path):
    variables, model = released_variables(), pretraining()
    names = reference.load_checkpoint(model, write(tmp_path, variables))
    assert set(names) == set(variables)
    block = model.trunk.blocks[0]
    np.testing.assert_array_equal(
        model.trunk.item_embedding.embeddings, variables["allitem_embeddings"]
    )
    np.testing.assert_array_equal(
        block.convolution2.kernel, variables[f"{BLOCK}/dilated_conv2/weight"][0]
    )
    np.testing.assert_array_equal(block.norm1.gamma, variables[f"{BLOCK}/layer_norm1/gamma"])
    np.testing.assert_array_equal(model.output_vectors, variables["logits/weight"][0, 0].T)
    np.testing.assert_array_equal(model.output_bias, variables["logits/bias"])


def test_adapters_and_targets_of_finetuning_stay_fresh(tmp_path):
    variables, model = released_variables(), finetuning(cardinality=2)
    before = [variable.numpy() for variable in model.trunk.blocks[0].adapter1.variables]
    table = model.target_embedding.numpy()
    names = reference.load_checkpoint(model, write(tmp_path, variables))
    assert set(names) == {name for name in variables if not name.startswith("logits")}
    np.testing.assert_array_equal(model.target_embedding, table)
    for variable, start in zip(model.trunk.blocks[0].adapter1.variables, before, strict=True):
        np.testing.assert_array_equal(variable, start)


@pytest.mark.parametrize("name", ["logits/bias", f"{BLOCK}/layer_norm2/beta"])
def test_a_missing_variable_is_named_and_nothing_is_changed(tmp_path, name):
    variables, model = released_variables(), pretraining()
    del variables[name]
    before = model.get_weights()
    with pytest.raises(RunError, match=f"model.ckpt: variable {name} is missing.*shape") as raised:
        reference.load_checkpoint(model, write(tmp_path, variables))
    assert "\n" not in str(raised.value)
    assert all(map(np.array_equal, before, model.get_weights()))


def test_another_shape_says_both_and_nothing_is_changed(tmp_path):
    variables, model = released_variables(), pretraining()
    variables["logits/bias"] = np.zeros(ROWS + 1, np.float32)
    before = model.get_weights()
    with pytest.raises(RunError, match=r"variable logits/bias has shape \[10\].*needs shape \[9\]"):
        reference.load_checkpoint(model, write(tmp_path, variables))
    assert all(map(np.array_equal, before, model.get_weights()))


def test_no_checkpoint_is_one_line(tmp_path):
    with pytest.raises(RunError, match=r"nothing\.ckpt") as raised:
        reference.load_checkpoint(pretraining(), str(tmp_path / "nothing.ckpt"))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("suffix", [".index", ".data-00000-of-00001"])
def test_a_damaged_checkpoint_is_one_line(tmp_path, suffix):
    prefix = write(tmp_path, released_variables())
    (tmp_path / f"model.ckpt{suffix}").write_bytes(b"\0" * 40)
    with pytest.raises(RunError, match=r"model\.ckpt") as raised:
        reference.load_checkpoint(pretraining(), prefix)
    assert "\n" not in str(raised.value)


def test_weights_survive_the_way_to_the_release_and_back():
    model = finetuning(cardinality=2, insertion="parallel")
    random = np.random.default_rng(0)
    for variable in model.variables:
        variable.assign(random.normal(size=variable.shape))
    before = model.get_weights()
    weights = reference.reference_weights(model)
    kept = {name: weight.to_reference(weight.variable.numpy()) for name, weight in weights.items()}
    # One branch of an adapter has the release's layout.
    assert kept[f"{BLOCK}/mp_2/mp_conv1_down_1/weight"].shape == (1, 1, CHANNELS, 1)
    for variable in model.variables:
        variable.assign(tf.zeros_like(variable))
    for name, weight in weights.items():
        weight.assign(kept[name])
    assert all(map(np.array_equal, before, model.get_weights()))
