"""What weights the perceptron gives: on a mean, by category and by rating of source behaviours."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tfcdr.stage_model import Batch

# Ratings from here on count as one; most scales end at 5 or 10.
GREATEST_RATING = 10
# Bounds between which relative weights are counted; beyond the last, everything is.
BOUNDS = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)


class WeightFigures(tf.Module):
    """Adds up on the device how batches' weights went to their rows.

    A behaviour's *relative weight* is its share of the batch's weight times the number of rows that
    share it: 1 for every row of a batch that makes no difference between them.
    """

    def __init__(self, categories: Sequence[str]) -> None:
        """Starts with nothing.

        Args:
          categories: names of the source items' categories, by ids from 1.
        """
        super().__init__(name="weight_figures")
        self._names = {
            "category": ["none", *categories],
            "rating": [str(rating) for rating in range(GREATEST_RATING + 1)],
            "size": [*(f"{bound:g}" for bound in BOUNDS), "any"],
        }

        def zeros(name: str) -> tf.Variable:
            size = len(self._names[name])
            return tf.Variable(tf.zeros([size, 2]), trainable=False, name=f"{name}_weights")

        # The sum of relative weights, and the number of rows.
        self._sums = {name: zeros(name) for name in self._names}

    def add(self, batch: Batch, weights: tf.Tensor, counts: tf.Tensor) -> None:
        """Adds a batch.

        Args:
          batch: holds `source_category` int [batch] and `source_rating` float [batch].
          weights: float [batch].
          counts: bool [batch], the rows that share the weight.
        """
        present = tf.cast(counts, tf.float32)
        mean = tf.math.divide_no_nan(tf.reduce_sum(weights), tf.reduce_sum(present))
        relative = tf.math.divide_no_nan(weights, mean)
        rating = tf.cast(tf.round(batch["source_rating"]), tf.int32)
        below = relative[:, tf.newaxis] > tf.constant(BOUNDS)
        places = {
            "category": batch["source_category"],
            "rating": tf.clip_by_value(rating, 0, GREATEST_RATING),
            "size": tf.reduce_sum(tf.cast(below, tf.int32), 1),
        }
        columns = tf.stack([relative * present, present], 1)
        for name, place in places.items():
            sums = tf.math.unsorted_segment_sum(columns, place, len(self._names[name]))
            self._sums[name].assign_add(sums)

    def means(self, name: str) -> dict[str, tuple[float, int]]:
        """Returns the mean relative weight and the number of rows by "category" or "rating"."""
        return {
            label: (float(total / rows), int(rows))
            for label, (total, rows) in zip(
                self._names[name], self._sums[name].numpy().tolist(), strict=True
            )
            if rows
        }

    def shares(self) -> dict[str, float]:
        """Returns the share of rows with a relative weight up to each bound."""
        rows = np.cumsum(self._sums["size"].numpy()[:, 1])
        total = max(rows[-1], 1)
        return {
            label: float(count / total)
            for label, count in zip(self._names["size"][:-1], rows, strict=False)
        }

    def take(self) -> dict[str, float]:
        """Returns everything by name, such as "weight_by_rating[4]", and starts anew."""
        figures = {
            f"weight_by_{name}[{label}]": mean
            for name in ("category", "rating")
            for label, (mean, _) in self.means(name).items()
        }
        figures |= {f"weights_up_to[{label}]": share for label, share in self.shares().items()}
        for sums in self._sums.values():
            sums.assign(tf.zeros_like(sums))
        return figures
