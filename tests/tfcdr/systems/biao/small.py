"""Models and batches of a few users and items."""

import numpy as np
import tensorflow as tf

from tfcdr.systems.biao.config import BiaoConfig
from tfcdr.systems.biao.model import BiaoModel
from tfcdr.systems.biao.system import Biao
from tfcdr.systems.biao.tables import TableSizes

SIZES = TableSizes(user=6, target_item=9, target_category=3, source_item=11, source_category=4)
LENGTH = 4
DOMAINS = {"shop": 7, "library": 4}
CATEGORIES = ("red", "green", "blue", "grey")


def model_of(seed=0, **fields):
    """A compiled model of tiny widths; steps run without XLA."""
    config = BiaoConfig(**{"embedding_size": 4, "hidden_widths": (6, 3), **fields})
    tf.keras.utils.set_random_seed(seed)
    model = BiaoModel(config, SIZES, LENGTH, CATEGORIES, DOMAINS)
    model.compile(Biao().optimizers("train", config))
    model.build_optimizers()
    return model


def batch_of(rows=5, seed=0, **entries):
    """A batch as view `paired_behaviour` gives it; `entries` replace some of its arrays."""
    rng = np.random.default_rng(seed)
    batch = {
        "user": rng.integers(1, SIZES.user + 1, rows),
        "liked": rng.integers(0, 2, rows).astype(np.float32),
        "source_effect": np.ones(rows, np.int32),
        "source_liked": rng.integers(0, 2, rows).astype(np.float32),
        "source_rating": rng.integers(1, 6, rows).astype(np.float32),
        "example_weight": np.ones(rows, np.float32),
    }
    for role, items, categories in (
        ("target", SIZES.target_item, SIZES.target_category),
        ("source", SIZES.source_item, SIZES.source_category),
    ):
        lengths = rng.integers(0, LENGTH + 1, rows)
        present = np.arange(LENGTH) < lengths[:, np.newaxis]
        batch |= {
            f"{role}_item": rng.integers(1, items + 1, rows),
            f"{role}_category": rng.integers(1, categories + 1, rows),
            f"{role}_length": lengths,
            f"{role}_history": rng.integers(1, items + 1, (rows, LENGTH)) * present,
            f"{role}_history_categories": rng.integers(1, categories + 1, (rows, LENGTH)) * present,
        }
    arrays = {**batch, **entries}
    return {
        name: tf.constant(array, tf.float32 if batch[name].dtype == np.float32 else tf.int32)
        for name, array in arrays.items()
    }


def stacked(*batches):
    """Batches side by side, as a periodic step reads them."""
    return {name: tf.stack([batch[name] for batch in batches]) for name in batches[0]}
