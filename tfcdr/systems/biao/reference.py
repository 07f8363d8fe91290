"""Weights of the released PyTorch code: its names and its layouts."""

from collections.abc import Iterator

import tensorflow as tf

from tfcdr.released_weights import state_dict
from tfcdr.released_weights.layouts import ReferenceWeight
from tfcdr.systems.biao.conet import CoNet
from tfcdr.systems.biao.history_attention import HistoryAttention
from tfcdr.systems.biao.importance import ImportancePerceptron
from tfcdr.systems.biao.model import BiaoModel
from tfcdr.systems.biao.tables import (
    SOURCE_CATEGORY,
    SOURCE_ITEM,
    TARGET_CATEGORY,
    TARGET_ITEM,
    USER,
)

Weights = Iterator[tuple[str, ReferenceWeight]]

_TABLES = {
    USER: "user_emb",
    TARGET_ITEM: "t_itemid_emb",
    TARGET_CATEGORY: "t_itemcate_emb",
    SOURCE_ITEM: "s_itemid_emb",
    SOURCE_CATEGORY: "s_itemcate_emb",
}


def reference_weights(model: BiaoModel) -> dict[str, ReferenceWeight]:
    """Maps the names of the released CoNet's state dict to their places in a model."""
    return dict([*_tables(model), *_towers(model.backbone), *_heads(model)])


def importance_weights(importance: ImportancePerceptron) -> dict[str, ReferenceWeight]:
    """Maps the names of the released perceptron's state dict to their places in ours."""
    return dict(_importance(importance))


def load_state_dict(model: BiaoModel, path: str) -> list[str]:
    """Fills a CoNet with a state dictionary of the release.

    Args:
      model: of the same sizes; nothing changes if they differ.
      path: of an `.npz` or safetensors file; see `released_weights.state_dict`.

    Returns:
      The names of the parameters that were read.

    Raises:
      RunError: the file cannot be read, lacks a parameter, or has one of another shape.
    """
    return state_dict.restore(reference_weights(model), state_dict.read(path), path)


def _tables(model: BiaoModel) -> Weights:
    for name, table in model.tables.items():
        yield f"{_TABLES[name]}.weight", ReferenceWeight(table)


def _towers(backbone: CoNet) -> Weights:
    kinds = {
        "w_t": backbone.target_layers,
        "w_s": backbone.source_layers,
        "H": backbone.cross_layers,
    }
    for kind, layers in kinds.items():
        for number, layer in enumerate(layers):
            yield from _linear(layer, f"cross_modules.{number}.{kind}")


def _heads(model: BiaoModel) -> Weights:
    heads = {
        "s_pred": model.source_head,
        "t_pred": model.target_head,
        "replace_pred": model.replacement_head,
    }
    for name, head in heads.items():
        if head is not None:
            yield from _linear(head, name)


def _importance(importance: ImportancePerceptron) -> Weights:
    yield "domain_prior", ReferenceWeight(importance.domain_prior, leading_ones=1)
    yield from _attention(importance.source_attention, "s_atten")
    yield from _attention(importance.target_attention, "t_atten")
    for place, layer in zip((0, 2, 4), importance.relevance_layers, strict=True):
        yield from _linear(layer, f"trans.layers.{place}")
    yield from _linear(importance.item_transform, "item_transform")


def _attention(attention: HistoryAttention, name: str) -> Weights:
    yield from _linear(attention.query, f"{name}.to_q")
    yield from _linear(attention.key_value, f"{name}.to_kv")
    yield from _linear(attention.output_projection, f"{name}.to_out.0")


def _linear(layer: tf.keras.layers.Dense, name: str) -> Weights:
    yield f"{name}.weight", ReferenceWeight(layer.kernel, transposed=True)
    if layer.use_bias:
        yield f"{name}.bias", ReferenceWeight(layer.bias)
