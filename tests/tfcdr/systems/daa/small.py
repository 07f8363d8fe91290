"""Small networks and batches for DAA's tests."""

import numpy as np
import tensorflow as tf

from tfcdr import optimizers
from tfcdr.systems.daa.config import DaaConfig

FIELD_SIZES, NUMERICAL, ROWS = (3, 4), 2, 8
BACKBONES = ("singletask", "sharedbottom", "omoe", "mmoe", "ple", "aitm", "metaheac")


def config(**fields):
    small = {
        "backbone": "sharedbottom",
        "embedding_size": 4,
        "bottom_widths": (6, 5),
        "tower_widths": (4,),
        "experts": 2,
        "mixture_critics": 3,
        "critic_hidden": 6,
        "dropout": 0.0,
    }
    return DaaConfig(**{**small, **fields})


def columns(prefix="", rows=ROWS, seed=0):
    random = np.random.default_rng(seed)
    categorical = [random.integers(0, size, rows) for size in FIELD_SIZES]
    return {
        f"{prefix}categorical": tf.constant(np.stack(categorical, 1), tf.int32),
        f"{prefix}numerical": tf.constant(random.normal(size=(rows, NUMERICAL)), tf.float32),
        f"{prefix}example_weight": tf.ones(rows),
    }


def labelled(prefix="", rows=ROWS, seed=0):
    click = np.arange(rows) % 2
    return {
        **columns(prefix, rows, seed),
        f"{prefix}click": tf.constant(click, tf.float32),
        f"{prefix}conversion": tf.constant(click * (np.arange(rows) % 3 == 0), tf.float32),
    }


def pairs(rows=ROWS):
    """A batch of source and of target rows; those of the target lie elsewhere."""
    target = labelled("target_", rows, seed=2)
    target["target_numerical"] += 2.0
    return {**columns("source_", rows, seed=1), **target}


def compiled(model, jit_compile=False):
    named = {name: optimizers.pytorch_adam(1e-2) for name in model.optimizer_variables()}
    model.compile(named, jit_compile=jit_compile)
    model.build_optimizers()
    return model
