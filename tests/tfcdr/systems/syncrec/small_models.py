"""Small models with wide random weights, and batches for them."""

import numpy as np
import tensorflow as tf

from tests.compilation import compiled_or_plain
from tfcdr.systems.syncrec.config import SyncRecConfig
from tfcdr.systems.syncrec.model import SyncRecModel
from tfcdr.systems.syncrec.single_domain import SingleDomainModel
from tfcdr.systems.syncrec.system import SyncRec

LENGTH, SIZES, NAMES = 6, (5, 4, 6), ("books", "films", "toys")
BOUNDS = np.cumsum([0, *SIZES])
MODELS = {"joint": SyncRecModel, "single_domain": SingleDomainModel}


def config_of(**fields):
    return SyncRecConfig(
        **{
            "hidden_size": 8,
            "experts": 4,
            "cross_expert_ratio": 0.5,
            "hidden_dropout": 0.0,
            "attention_dropout": 0.0,
            **fields,
        }
    )


def make(jit_compile=False, seed=0, **fields):
    """Returns a compiled model."""
    config = config_of(**fields)
    model = MODELS[config.training](config, SIZES, LENGTH, NAMES)
    random = np.random.default_rng(seed)
    for variable in model.trainable_variables:
        variable.assign(random.normal(size=variable.shape) * 0.5)
    model.compile(SyncRec().optimizers("train", config), jit_compile=jit_compile)
    model.build_optimizers()
    return model


def domains_of(items):
    return np.searchsorted(BOUNDS, items).astype(np.int32)


def batch(lengths=(6, 3, 1, 5, 0), negatives=1, weights=None, seed=0, by_domain=False):
    """Returns a training batch with sequences of these lengths, left-padded."""
    random = np.random.default_rng(seed)
    shape = (len(lengths), len(SIZES), LENGTH) if by_domain else (len(lengths), LENGTH)
    items = random.integers(1, BOUNDS[-1] + 1, (*shape[:-1], LENGTH + 1))
    if by_domain:
        for number, (first, size) in enumerate(zip(BOUNDS, SIZES, strict=False)):
            items[:, number] = first + 1 + items[:, number] % size
    for row, length in enumerate(lengths):
        items[row, ..., : LENGTH - length] = 0
    before = items[..., :-1]
    after = np.where(before > 0, items[..., 1:], 0)
    drawn = random.integers(1, BOUNDS[-1] + 1, (*shape, negatives)) * (after > 0)[..., np.newaxis]
    columns = {
        "items": before,
        "domains": domains_of(before),
        "next_items": after,
        "next_domains": domains_of(after),
        "negative_items": drawn,
        "user": np.arange(1, len(lengths) + 1),
    }
    columns = {name: tf.constant(array, tf.int32) for name, array in columns.items()}
    return {**columns, "example_weight": tf.constant(weights or [1.0] * len(lengths))}


def losses_and_gradients(model, rows, jit_compile=False, totals=None):
    """Returns the report and the dense gradients by the place of their variable."""
    compute = compiled_or_plain(model.loss_and_gradients, jit_compile)
    report, slopes = compute(rows, totals)
    return report, [tf.convert_to_tensor(slope).numpy() for slope in slopes]
