"""Small models with wide random weights, and batches for them."""

import numpy as np
import tensorflow as tf

from tfcdr.systems.timirec.config import TiMiRecConfig
from tfcdr.systems.timirec.model import FinetuningModel, PretrainingModel
from tfcdr.systems.timirec.system import TiMiRec

LENGTH, ITEMS, SIZE = 5, 9, 8
MODELS = {"pretrain": PretrainingModel, "finetune": FinetuningModel}


def make(stage, jit_compile=False, seed=0, trained=None, **fields):
    """Returns a compiled model of a stage."""
    config = TiMiRecConfig(
        **{"embedding_size": SIZE, "attention_size": 4, "interests": 3, "layers": 2, **fields}
    )
    model = MODELS[stage](config, LENGTH, rows=ITEMS + 4, num_items=ITEMS, trained=trained)
    random = np.random.default_rng(seed)
    for variable in model.variables:
        variable.assign(random.normal(size=variable.shape) * 0.5)
    model.compile(TiMiRec().optimizers(stage, config), jit_compile=jit_compile)
    return model


def batch(histories, weights=None, negatives=2, seed=0):
    """Returns a training batch with these histories, left-padded."""
    random = np.random.default_rng(seed)
    rows = len(histories)
    padded = np.zeros((rows, LENGTH), np.int32)
    for row, history in zip(padded, histories, strict=True):
        row[LENGTH - len(history) :] = history
    return {
        "history": tf.constant(padded),
        "target_item": tf.constant(random.integers(1, ITEMS + 1, rows), tf.int32),
        "negative_items": tf.constant(random.integers(1, ITEMS + 1, (rows, negatives)), tf.int32),
        "user": tf.range(1, rows + 1),
        "example_weight": tf.constant(weights or [1.0] * rows, tf.float32),
    }
