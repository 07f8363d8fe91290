"""Weights of the released TensorFlow 1 code: its names, its layouts, its checkpoints."""

import tensorflow as tf

from tfcdr.errors import RunError
from tfcdr.released_weights.layouts import ReferenceWeight, check_shapes
from tfcdr.systems.peterrec.adapter import Adapter
from tfcdr.systems.peterrec.model import FinetuningModel, PretrainingModel
from tfcdr.systems.peterrec.trunk import ResidualBlock, Trunk

# Scopes of the release's adapters by insertion, in the order of `ResidualBlock.adapters`.
_ADAPTER_SCOPES = {
    "": (),
    "serial": ("mp_1", "mp_2"),
    "parallel": ("mp_1", "mp_2"),
    "serial_single": ("mp",),
}


def reference_weights(model: PretrainingModel | FinetuningModel) -> dict[str, ReferenceWeight]:
    """Maps every variable name of the release to its place in a model.

    Raises:
      ValueError: the model has no target table of its own, as the release has.
    """
    weights = _trunk_weights(model.trunk, model.config.dilations)
    if isinstance(model, FinetuningModel):
        if model.target_embedding is None:
            raise ValueError("The release has a target table of its own: target_table=own.")
        weights["target-item/allitem_embeddings_target"] = ReferenceWeight(model.target_embedding)
    elif model.config.pretrain_loss == "full_softmax":
        weights["logits/weight"] = ReferenceWeight(
            model.output_vectors, transposed=True, leading_ones=2
        )
        weights["logits/bias"] = ReferenceWeight(model.output_bias)
    else:
        weights["softmax_w"] = ReferenceWeight(model.output_vectors)
        weights["softmax_b"] = ReferenceWeight(model.output_bias)
    return weights


def _trunk_weights(trunk: Trunk, dilations: tuple[int, ...]) -> dict[str, ReferenceWeight]:
    weights = {"allitem_embeddings": ReferenceWeight(trunk.item_embedding.embeddings)}
    for number, (block, dilation) in enumerate(zip(trunk.blocks, dilations, strict=True)):
        scope = f"nextitnet_residual_blockdecoder_layer_{number}_{dilation}"
        for name, weight in _block_weights(block).items():
            weights[f"{scope}/{name}"] = weight
    return weights


def _block_weights(block: ResidualBlock) -> dict[str, ReferenceWeight]:
    weights = {}
    for number, (convolution, norm) in enumerate(
        ((block.convolution1, block.norm1), (block.convolution2, block.norm2)), start=1
    ):
        kernel = ReferenceWeight(convolution.kernel, leading_ones=1)
        weights[f"dilated_conv{number}/weight"] = kernel
        weights[f"dilated_conv{number}/bias"] = ReferenceWeight(convolution.bias)
        weights[f"layer_norm{number}/gamma"] = ReferenceWeight(norm.gamma)
        weights[f"layer_norm{number}/beta"] = ReferenceWeight(norm.beta)
    for scope, adapter in zip(_ADAPTER_SCOPES[block.insertion], block.adapters, strict=True):
        for name, weight in adapter_weights(adapter).items():
            weights[f"{scope}/{name}"] = weight
    return weights


def adapter_weights(adapter: Adapter) -> dict[str, ReferenceWeight]:
    """Maps the release's names inside an adapter's scope to the columns of each branch."""
    weights = {}
    for branch in range(adapter.cardinality):
        columns = slice(branch * adapter.branch_width, (branch + 1) * adapter.branch_width)
        down, up = f"mp_conv1_down_{branch}", f"mp_conv1_up_{branch}"
        weights[f"{down}/weight"] = ReferenceWeight(
            adapter.down_kernel, (slice(None), columns), leading_ones=2
        )
        weights[f"{down}/bias"] = ReferenceWeight(adapter.down_bias, (columns,))
        weights[f"{up}/weight"] = ReferenceWeight(adapter.up_kernel, (columns,), leading_ones=2)
        weights[f"{up}/bias"] = ReferenceWeight(adapter.up_bias, (branch,))
    return weights


def load_checkpoint(model: PretrainingModel | FinetuningModel, prefix: str) -> list[str]:
    """Restores a checkpoint of the release: everything but adapters and the target table.

    The release keeps CLS, mask and unknown in row 0 and a padding token among the items: give
    the model as many item rows as the checkpoint has, and use id 0 for CLS.

    Args:
      model: the model to fill.
      prefix: path of the TF 1 checkpoint without `.index`.

    Returns:
      The names of the variables that were restored.

    Raises:
      RunError: the checkpoint cannot be read, lacks a variable, or has one of another shape.
    """
    try:
        checkpoint = tf.train.load_checkpoint(prefix)
    except (tf.errors.OpError, ValueError) as error:
        raise RunError(f"{prefix}: not a TensorFlow checkpoint ({error}).") from error
    shapes = checkpoint.get_variable_to_shape_map()
    restored = {
        name: weight
        for name, weight in reference_weights(model).items()
        if "/mp" not in name and not name.startswith("target-item/")
    }
    check_shapes(restored, shapes, prefix)
    try:
        values = {name: checkpoint.get_tensor(name) for name in restored}
    except (tf.errors.OpError, ValueError, IndexError) as error:  # a truncated file: IndexError
        raise RunError(f"{prefix}: the checkpoint is damaged ({error}).") from error
    for name, weight in restored.items():
        weight.assign(values[name])
    return list(restored)
