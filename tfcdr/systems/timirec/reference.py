"""Weights of the released PyTorch code: its names, its layouts, its state dictionaries."""

import tensorflow as tf

from tfcdr.released_weights import state_dict
from tfcdr.released_weights.layouts import ReferenceWeight
from tfcdr.systems.timirec.extractor import InterestExtractor, TransformerLayer
from tfcdr.systems.timirec.model import FinetuningModel, InterestModel
from tfcdr.systems.timirec.predictor import InterestPredictor


def reference_weights(model: InterestModel) -> dict[str, ReferenceWeight]:
    """Maps every parameter name of the release to its place in a model."""
    prefix = "interest_extractor." if model.config.variant == "timirec" else ""
    weights = _prefixed(prefix, _extractor_weights(model.extractor))
    if isinstance(model, FinetuningModel):
        weights |= _predictor_weights(model.predictor)
    return weights


def _extractor_weights(extractor: InterestExtractor) -> dict[str, ReferenceWeight]:
    weights = {
        "i_embeddings.weight": ReferenceWeight(extractor.item_embedding.embeddings),
        **_linear("W1", extractor.attention1),
        **_linear("W2", extractor.attention2),
    }
    if extractor.position_embedding is not None:
        table = extractor.position_embedding.embeddings
        weights["p_embeddings.weight"] = ReferenceWeight(table)
    if extractor.transformer is not None:
        weights |= _prefixed("transformer.", _transformer_weights(extractor.transformer))
    return weights


def _transformer_weights(transformer: TransformerLayer) -> dict[str, ReferenceWeight]:
    weights = {
        **_linear("linear1", transformer.feed_forward1),
        **_linear("linear2", transformer.feed_forward2),
    }
    for number, letter in enumerate("qkv"):
        columns = slice(number * transformer.size, (number + 1) * transformer.size)
        name = f"masked_attn_head.{letter}_linear"
        weights |= _linear(name, transformer.query_key_value, columns)
    for name, norm in (("layer_norm1", transformer.norm1), ("layer_norm2", transformer.norm2)):
        weights[f"{name}.weight"] = ReferenceWeight(norm.gamma)
        weights[f"{name}.bias"] = ReferenceWeight(norm.beta)
    return weights


def _predictor_weights(predictor: InterestPredictor) -> dict[str, ReferenceWeight]:
    recurrent, name = predictor.recurrent, "interest_predictor.rnn"
    weights = {
        "interest_predictor.i_embeddings.weight": ReferenceWeight(
            predictor.item_embedding.embeddings
        ),
        f"{name}.weight_ih_l0": ReferenceWeight(recurrent.kernel, transposed=True),
        f"{name}.weight_hh_l0": ReferenceWeight(recurrent.recurrent_kernel, transposed=True),
        f"{name}.bias_ih_l0": ReferenceWeight(recurrent.bias),
        f"{name}.bias_hh_l0": ReferenceWeight(recurrent.recurrent_bias),
        **_linear("proj.proj_final", predictor.projection),
    }
    for number, layer in enumerate(predictor.projections):
        weights |= _linear(f"proj.proj_{number}", layer)
    return weights


def _linear(
    name: str, layer: tf.keras.layers.Dense, columns: slice = slice(None)
) -> dict[str, ReferenceWeight]:
    return {
        f"{name}.weight": ReferenceWeight(layer.kernel, (slice(None), columns), transposed=True),
        f"{name}.bias": ReferenceWeight(layer.bias, (columns,)),
    }


def _prefixed(prefix: str, weights: dict[str, ReferenceWeight]) -> dict[str, ReferenceWeight]:
    return {f"{prefix}{name}": weight for name, weight in weights.items()}


def load_state_dict(model: InterestModel, path: str) -> list[str]:
    """Restores a state dictionary of the release.

    Args:
      model: the model to fill; a fine-tuning model needs a file of that stage.
      path: of an `.npz` or safetensors file; see `released_weights.state_dict`. What it holds
        besides is left out.

    Returns:
      The names of the parameters that were restored.

    Raises:
      RunError: the file cannot be read, lacks a parameter, or has one of another shape.
    """
    return state_dict.restore(reference_weights(model), state_dict.read(path), path)
