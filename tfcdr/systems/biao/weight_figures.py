"""An epoch's weights of source behaviours, by category and by rating."""

from collections.abc import Sequence

import tensorflow as tf

from tfcdr.stage_model import Batch

# Ratings from here on count as one; most scales end at 5 or 10.
_GREATEST_RATING = 10


class WeightFigures(tf.Module):
    """Adds up on the device how a batch's weight went to its rows.

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
            "rating": [str(rating) for rating in range(_GREATEST_RATING + 1)],
        }

        def zeros(name: str) -> tf.Variable:
            size = len(self._names[name])
            return tf.Variable(tf.zeros([2, size]), trainable=False, name=f"{name}_weights")

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
        places = {
            "category": batch["source_category"],
            "rating": tf.clip_by_value(rating, 0, _GREATEST_RATING),
        }
        for name, place in places.items():
            columns = tf.stack([relative, present], 1)
            sums = tf.math.unsorted_segment_sum(columns, place, len(self._names[name]))
            self._sums[name].assign_add(tf.transpose(sums))

    def take(self) -> dict[str, float]:
        """Returns the mean relative weights, such as "weight of rating 4", and starts anew."""
        figures = {}
        for name, sums in self._sums.items():
            relative, rows = sums.numpy()
            figures |= {
                f"weight of {name} {label}": float(relative[place] / rows[place])
                for place, label in enumerate(self._names[name])
                if rows[place]
            }
            sums.assign(tf.zeros_like(sums))
        return figures
