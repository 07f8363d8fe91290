"""Impressions of both domains held in memory, in the layout of the view `impression`."""

import numpy as np
import tensorflow as tf

from tests.tfcdr.epoch_by_epoch import EpochByEpoch
from tests.tfcdr.systems.daa.small import FIELD_SIZES, NUMERICAL


class MemoryImpressions(EpochByEpoch):
    """Clicks follow the first numerical column; the target's lie `shift` above the source's.

    Every split holds the same rows, in training in another order in each epoch. `requests` lists
    every reading.
    """

    fingerprint = shared_fingerprint = "impressions in memory"
    max_length = 0
    field_sizes = FIELD_SIZES
    field_values = ()
    labels = ("click", "conversion")
    categorical_columns = tuple(f"c{n}" for n in range(len(FIELD_SIZES)))
    numerical_columns = tuple(f"n{n}" for n in range(NUMERICAL))

    def __init__(self, source=64, target=64, shift=1.0, converts=True):
        self._domains = {
            "source": _columns(source, 0.0, converts, seed=1),
            "target": _columns(target, shift, converts, seed=2),
        }
        self.requests = []

    def columns(self, domain):
        """All rows of a domain in fixed order, by entry."""
        return self._domains[domain]

    def num_examples(self, view, split, *, domain):
        assert view == "impression"
        return len(self._domains[domain]["numerical"])

    def batches(self, view, split, *, batch_size, seed, domain, epoch=0, rows=None, shuffled=True):
        self.requests.append((view, split, {"domain": domain}))
        size = self.num_examples(view, split, domain=domain)
        assert size, "a data set refuses to read an empty split"
        arrays, filled = self._domains[domain], -(-size // batch_size) * batch_size
        if split == "train":
            order = np.arange(size)
            if shuffled:
                order = np.random.default_rng([seed, epoch]).permutation(size)
            order = np.resize(order, filled)
            arrays = {key: values[order] for key, values in arrays.items()}
        else:
            arrays = {
                key: np.concatenate(
                    [values, np.zeros((filled - size, *values.shape[1:]), values.dtype)]
                )
                for key, values in arrays.items()
            }
        first, last = rows or (0, batch_size)
        batches = tf.data.Dataset.from_tensor_slices(arrays).batch(batch_size, drop_remainder=True)
        return batches.map(lambda batch: {key: value[first:last] for key, value in batch.items()})


def _columns(rows, shift, converts, seed):
    random = np.random.default_rng(seed)
    categorical = [random.integers(0, size, rows) for size in FIELD_SIZES]
    numerical = random.normal(size=(rows, NUMERICAL))
    click = numerical[:, 0] + 0.3 * random.normal(size=rows) > 0.3
    conversion = click & (random.random(rows) < 0.5) & converts
    return {
        "categorical": np.stack(categorical, 1).astype(np.int32),
        "numerical": (numerical + shift).astype(np.float32),
        "click": click.astype(np.float32),
        "conversion": conversion.astype(np.float32),
        "example_weight": np.ones(rows, np.float32),
    }
