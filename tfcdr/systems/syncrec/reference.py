"""Weights of the released PyTorch code: its names, its layouts, its state dictionaries.

Names of `modules=independent` are those of the paper's model as the release's classes would hold it
with a module of its own for each expert, gate and tower (SPEC section 9, number 1).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from tfcdr.released_weights import state_dict
from tfcdr.released_weights.layouts import ReferenceWeight
from tfcdr.systems.syncrec.encoder import AttentionBlock, FeedForward
from tfcdr.systems.syncrec.gate import PartitionedGates, PlainGates
from tfcdr.systems.syncrec.model import SyncRecModel
from tfcdr.systems.syncrec.stacked import StackedDense, StackedLayerNorm

Weights = dict[str, ReferenceWeight]

# Type ids of the release below its first domain; 0 is padding, the others are not used here.
SPECIAL_TYPES = 5
_TYPE_TABLE = "type_embeddings.weight"


def reference_weights(model: SyncRecModel) -> Weights:
    """Maps every parameter name of the release that the model has to its place in it.

    `type_embeddings.weight` is as `without_special_types` makes it.
    """
    network, config = model.network, model.config
    embedding = network.embedding
    weights = {
        "item_embeddings.weight": ReferenceWeight(embedding.item_table),
        _TYPE_TABLE: ReferenceWeight(embedding.domain_table),
        "position_embeddings.weight": ReferenceWeight(embedding.position_table),
        **_norm("LayerNorm", embedding.norm, 0),
    }
    if network.shared_attention is not None:
        for layer, block in enumerate(network.shared_attention.attention_blocks):
            weights |= _attention(f"att_layer.layer.{layer}.attention", block, 0)
    for prefix, experts, index in _stacks(model):
        if config.expert_layer == "ffn":
            weights |= _feed_forward(prefix, experts.feed_forward, index)
            continue
        for layer, block in enumerate(experts.attention_blocks):
            weights |= _attention(f"{prefix}.layer.{layer}.attention", block, index)
            feed_forward = experts.feed_forwards[layer]
            weights |= _feed_forward(f"{prefix}.layer.{layer}.intermediate", feed_forward, index)
    if config.modules == "released":
        weights |= _feed_forward("prediction_layer", network.single_towers, 0)
        weights |= _gate("patitioned_gating", network.single_gates, 0)
    else:
        domains = len(model.domain_sizes)
        for task in range(domains + 1):
            cross = task == domains
            index = 0 if cross else task
            tower = network.cross_tower if cross else network.single_towers
            gates = network.cross_gates if cross else network.single_gates
            weights |= _feed_forward(f"tower_.{task}", tower, index)
            weights |= _gate(f"gate_.{task}", gates, index)
    if model.mutual_information is not None:
        projection = model.mutual_information.projection
        weights["mip_norm.weight"] = ReferenceWeight(projection.kernel, transposed=True)
        weights["mip_norm.bias"] = ReferenceWeight(projection.bias)
    return weights


def without_special_types(values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Leaves out the rows of the type table that no domain has."""
    if _TYPE_TABLE not in values:
        return dict(values)
    table = values[_TYPE_TABLE]
    return {**values, _TYPE_TABLE: np.concatenate([table[:1], table[SPECIAL_TYPES:]])}


def load_state_dict(model: SyncRecModel, path: str) -> list[str]:
    """Restores a state dictionary of the release.

    Args:
      model: the model to fill; its items have the release's ids, its special ones included.
      path: of an `.npz` or safetensors file; see `released_weights.state_dict`. What it holds
        besides is left out, such as alpha and beta, which are settings here.

    Returns:
      The names of the parameters that were restored.

    Raises:
      RunError: the file cannot be read, lacks a parameter, or has one of another shape.
    """
    values = without_special_types(state_dict.read(path))
    return state_dict.restore(reference_weights(model), values, path)


def _stacks(model: SyncRecModel) -> list[tuple[str, Any, int]]:
    """Returns the name, the group and the place in it of every expert with weights of its own."""
    network, config = model.network, model.config
    if config.modules == "released":
        name = "ffn_layer" if config.expert_layer == "ffn" else "item_encoder"
        return [(name, network.single_experts, 0)]
    groups = [
        *((network.single_experts, index) for index in range(config.single_experts)),
        *((network.cross_experts, index) for index in range(config.cross_experts)),
    ]
    return [(f"expert_.{number}", *place) for number, place in enumerate(groups)]


def _attention(prefix: str, block: AttentionBlock, index: int) -> Weights:
    weights: Weights = {}
    size = block.query_key_value.units // 3
    for number, name in enumerate(("query", "key", "value")):
        columns = slice(number * size, (number + 1) * size)
        weights |= _linear(f"{prefix}.{name}", block.query_key_value, index, columns)
    weights |= _linear(f"{prefix}.dense", block.output_layer, index)
    return weights | _norm(f"{prefix}.LayerNorm", block.norm, index)


def _feed_forward(prefix: str, block: FeedForward, index: int) -> Weights:
    return {
        **_linear(f"{prefix}.dense_1", block.widening, index),
        **_linear(f"{prefix}.dense_2", block.narrowing, index),
        **_norm(f"{prefix}.LayerNorm", block.norm, index),
    }


def _gate(prefix: str, gates: PartitionedGates | PlainGates, index: int) -> Weights:
    if isinstance(gates, PlainGates):
        return _linear(f"{prefix}.w_gate_total", gates.gate_total, index)
    weights: Weights = {}
    for group in ("single", "cross"):
        weights |= _linear(f"{prefix}.w_gate_{group}", getattr(gates, f"gate_{group}"), index)
        weights |= _linear(f"{prefix}.w_noise_{group}", getattr(gates, f"noise_{group}"), index)
    return weights


def _linear(name: str, layer: StackedDense, index: int, columns: slice = slice(None)) -> Weights:
    return {
        f"{name}.weight": ReferenceWeight(
            layer.kernel, (index, slice(None), columns), transposed=True
        ),
        f"{name}.bias": ReferenceWeight(layer.bias, (index, columns)),
    }


def _norm(name: str, norm: StackedLayerNorm, index: int) -> Weights:
    return {
        f"{name}.weight": ReferenceWeight(norm.gamma, (index,)),
        f"{name}.bias": ReferenceWeight(norm.beta, (index,)),
    }
