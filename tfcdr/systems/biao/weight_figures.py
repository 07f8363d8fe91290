"""What weights the perceptron gives: how unequal they are, and to which source behaviours."""

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from tfcdr.named_rows import NamedRows
from tfcdr.stage_model import Batch

# Ratings from here on count as one; most scales end at 5 or 10.
GREATEST_RATING = 10
# Bounds between which relative weights are counted; beyond the last, everything is.
BOUNDS = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)


class WeightFigures(tf.Module):
    """Adds up on the device how batches' weights went to their rows.

    A behaviour's *relative weight* is its share of the batch's weight times the number of rows that
    share it: 1 for every row of a batch that makes no difference between them. A batch's *effective
    share* is (sum of w)^2 / (n sum of w^2) of its n rows that share the weight: 1 where all have
    the same, k / n where k of them have all of it.
    """

    def __init__(self, categories: Sequence[str], domains: Mapping[str, int]) -> None:
        """Starts with nothing.

        Args:
          categories: names of the source items' categories, by ids from 1.
          domains: how many source items each source domain has; their ids follow each other.
        """
        super().__init__(name="weight_figures")
        self._ends_before = np.cumsum([0, *domains.values()], dtype=np.int32)[:-1]
        self._names = {
            "domain": ["none", *domains],
            "category": ["none", *categories],
            "rating": [str(rating) for rating in range(GREATEST_RATING + 1)],
            "size": [*(f"{bound:g}" for bound in BOUNDS), "any"],
        }

        def zeros(name: str) -> tf.Variable:
            size = len(self._names[name])
            return tf.Variable(tf.zeros([size, 2]), trainable=False, name=f"{name}_weights")

        # The sum of relative weights, and the number of rows.
        self._sums = {name: zeros(name) for name in self._names}
        # The sum of effective shares, and the number of batches.
        self._effective = tf.Variable(tf.zeros([2]), trainable=False, name="effective_shares")

    def add(self, batch: Batch, weights: tf.Tensor, counts: tf.Tensor) -> None:
        """Adds a batch.

        Args:
          batch: holds `source_item` and `source_category` int [batch], `source_rating` float
            [batch].
          weights: float [batch].
          counts: bool [batch], the rows that share the weight.
        """
        present = tf.cast(counts, tf.float32)
        mean = tf.math.divide_no_nan(tf.reduce_sum(weights), tf.reduce_sum(present))
        relative = tf.math.divide_no_nan(weights, mean)
        rating = tf.cast(tf.round(batch["source_rating"]), tf.int32)
        beyond_ends = batch["source_item"][:, tf.newaxis] > tf.constant(self._ends_before)
        below = relative[:, tf.newaxis] > tf.constant(BOUNDS)
        places = {
            "domain": tf.reduce_sum(tf.cast(beyond_ends, tf.int32), 1),
            "category": batch["source_category"],
            "rating": tf.clip_by_value(rating, 0, GREATEST_RATING),
            "size": tf.reduce_sum(tf.cast(below, tf.int32), 1),
        }
        columns = tf.stack([relative * present, present], 1)
        for name, place in places.items():
            sums = tf.math.unsorted_segment_sum(columns, place, len(self._names[name]))
            self._sums[name].assign_add(sums)
        squares = tf.reduce_sum(relative**2 * present)
        share = tf.math.divide_no_nan(tf.reduce_sum(relative * present), squares)
        self._effective.assign_add(tf.stack([share, tf.cast(squares > 0, tf.float32)]))

    def named_rows(self) -> list[NamedRows]:
        """Returns the sums and the labels of their rows."""
        return [NamedRows(sums, self._names[name]) for name, sums in self._sums.items()]

    def means(self, name: str) -> dict[str, tuple[float, int]]:
        """Returns the mean relative weight and the number of rows of each label of a kind.

        Args:
          name: the kind: "domain", "category" or "rating".
        """
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

    def effective_share(self) -> float:
        """Returns the mean effective share of batches; NaN without any."""
        total, batches = self._effective.numpy().tolist()
        return total / batches if batches else float("nan")

    def take(self) -> dict[str, float]:
        """Returns everything by name, such as "weight_by_rating[4]", and starts anew."""
        figures = {
            f"weight_by_{name}[{label}]": mean
            for name in ("domain", "category", "rating")
            for label, (mean, _) in self.means(name).items()
        }
        figures |= {f"weights_up_to[{label}]": share for label, share in self.shares().items()}
        figures["effective_share"] = self.effective_share()
        for sums in (*self._sums.values(), self._effective):
            sums.assign(tf.zeros_like(sums))
        return figures
