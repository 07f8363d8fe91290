"""Impressions of both domains held in memory, in the layout of the view `impression`."""

import numpy as np
import tensorflow as tf

from tests.tfcdr.daa.small import FIELD_SIZES, NUMERICAL


class MemoryImpressions:
    """The target's numerical columns lie `shift` above the source's.

    Every split holds the same rows, the last batch filled up with rows of weight 0.
    """

    field_sizes = FIELD_SIZES
    categorical_columns = tuple(f"c{n}" for n in range(len(FIELD_SIZES)))
    numerical_columns = tuple(f"n{n}" for n in range(NUMERICAL))

    def __init__(self, source=400, target=300, shift=1.0):
        self._domains = {
            "source": _columns(source, 0.0, seed=1),
            "target": _columns(target, shift, seed=2),
        }

    def columns(self, domain):
        return self._domains[domain]

    def num_examples(self, view, split, *, domain):
        assert view == "impression"
        return len(self._domains[domain]["numerical"])

    def batches(self, view, split, *, batch_size, seed, domain, epoch=0, rows=None):
        size = self.num_examples(view, split, domain=domain)
        assert size, "a data set refuses to read an empty split"
        missing = -size % batch_size
        whole = {
            key: np.concatenate([values, np.zeros((missing, *values.shape[1:]), values.dtype)])
            for key, values in self._domains[domain].items()
        }
        return tf.data.Dataset.from_tensor_slices(whole).batch(batch_size)


def _columns(rows, shift, seed):
    random = np.random.default_rng(seed)
    categorical = [random.integers(0, size, rows) for size in FIELD_SIZES]
    click = random.integers(0, 2, rows)
    return {
        "categorical": np.stack(categorical, 1).astype(np.int32),
        "numerical": (random.normal(size=(rows, NUMERICAL)) + shift).astype(np.float32),
        "click": click.astype(np.float32),
        "conversion": (click * random.integers(0, 2, rows)).astype(np.float32),
        "example_weight": np.ones(rows, np.float32),
    }
