"""View `masked_item`: windows of source sequences, some items of which are hidden when read.

A window holds 2..T source items of a user, as ids of space `source`; with view `joint_masked_item`
the target's items that train as well, as ids of space `joint`. Windows do not overlap; a remainder
of a single item is left out, as it would have no context.

Batch:

| key | shape | dtype | |
| --- | --- | --- | --- |
| `masked_items` | [B, T] | int32 | ids with some replaced, left-padded with 0 |
| `positions` | [B, M] | int32 | the hidden positions, ascending; 0 where unused |
| `labels` | [B, M] | int32 | the items that were there; 0 where unused |
| `label_weight` | [B, M] | float32 | 1, or 0 where unused |
| not in training, if recent > 0: `recent_items` | [B, R] | int32 | the latest items before the \
window's last |
| `user` | [B] | int32 | user ids from 1 |
| `example_weight` | [B] | float32 | 1, or 0 for the zero rows that fill up the last batch |

M = min(max_masked, max(1, round(mask_share * T))), rounding halves up as the release does. In
training a row of n items hides max(1, round(mask_share * n)) of them, at most M, never padding:
each becomes MASK with probability 0.8, stays with 0.1, and becomes a random item with 0.1. In
validation and test only the last item is hidden, by MASK.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from data_pipelines.views.example_batches import Assemble, Cut, Draws
from data_pipelines.views.example_options import ExampleOptions
from data_pipelines.views.padding import latest
from data_pipelines.views.roles import RoleRecords, Roles
from data_pipelines.views.source_windows import (
    before_last,
    check_has_source,
    check_one_order,
    cut_windows,
)
from data_pipelines.views.view import HistoryRead, View

_SHARE_MASK_TOKEN = 0.8
_SHARE_KEPT = 0.1


@dataclasses.dataclass(frozen=True)
class Batching:
    """How items are hidden.

    Attributes:
      mask_share: the share of a row's items that is hidden.
      max_masked: the greatest number of hidden items in a row.
      recent: R, items of `recent_items` in validation and test batches; 0 for none.
    """

    mask_share: float = 0.3
    max_masked: int = 30
    recent: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.mask_share <= 1:
            raise ValueError(f"mask_share must lie in (0, 1]. Received: {self.mask_share}.")
        if self.max_masked < 1:
            raise ValueError(f"max_masked must be at least 1. Received: {self.max_masked}.")
        if self.recent < 0:
            raise ValueError(f"recent must not be negative. Received: {self.recent}.")


class MaskedItem(View):
    """Cuts windows and hides items in them; see the module's docstring."""

    name = "masked_item"
    batching = Batching
    space = "source"

    def check(self, roles: Roles, comparable_times: bool, options: ExampleOptions) -> None:
        """Raises DataError if there is no source."""
        del comparable_times, options
        check_has_source(self.name, roles)

    def cut(self, records: RoleRecords, read: HistoryRead) -> Cut:
        """Cuts windows of at most T items that do not overlap."""
        return cut_windows(records, read, read.options.max_length, self.space)

    def assembler(self, read: HistoryRead, batching: Batching) -> Assemble:
        """Returns the function that hides items: at random in training, else the last one."""
        width = read.options.max_length
        slots = min(batching.max_masked, max(1, int(batching.mask_share * width + 0.5)))
        recent = 0 if read.for_training else batching.recent
        space = read.spaces[self.space]
        mask_id, size = space.mask_id, space.size

        def assemble(
            rows: Mapping[str, tf.Tensor], shared: Mapping[str, tf.Tensor], draws: Draws
        ) -> dict[str, tf.Tensor]:
            seed, batch_size = draws.seed, draws.batch_size
            items = latest(shared["sequence"], rows["start"], rows["end"], width)
            lengths = rows["end"] - rows["start"]
            if read.for_training:
                scores = _uniform([batch_size, width], seed, 0)
                positions = _choose(draws.own(scores), lengths, slots, batching.mask_share)
            else:
                last = tf.fill([tf.size(lengths), 1], width - 1)
                positions = tf.pad(last, [[0, 0], [0, slots - 1]], constant_values=width)
            # Column `width` is a bin for the unused positions.
            binned = tf.pad(items, [[0, 0], [0, 1]])
            labels = tf.gather(binned, positions, batch_dims=1)
            hidden = tf.fill(tf.shape(labels), tf.constant(mask_id, tf.int64))
            if read.for_training:
                shape = [batch_size, slots]
                kind = draws.own(_uniform(shape, seed, 1))
                random_items = draws.own(
                    _uniform(shape, seed, 2, minval=1, maxval=size + 1, dtype=tf.int64)
                )
                hidden = _sometimes_visible(kind, hidden, labels, random_items)
            masked = _put(binned, positions, hidden)[:, :width]
            used = positions < width
            return {
                "masked_items": masked,
                "positions": tf.where(used, positions, 0),
                "labels": labels,
                "label_weight": tf.cast(used, tf.float32),
                **before_last(rows, shared, recent),
            }

        return assemble


def _choose(scores: tf.Tensor, lengths: tf.Tensor, slots: int, share: float) -> tf.Tensor:
    """Takes the items of the highest scores [B, W].

    Returns:
      Positions int32 [B, M], ascending, W standing for none.
    """
    width = scores.shape[1]
    is_item = tf.range(width, dtype=tf.int64) >= width - lengths[:, tf.newaxis]
    _, positions = tf.math.top_k(tf.where(is_item, scores, -1.0), slots)
    wanted = tf.floor(share * tf.cast(lengths, tf.float32) + 0.5)
    wanted = tf.minimum(tf.maximum(tf.cast(wanted, tf.int64), 1), lengths)
    chosen = tf.range(slots, dtype=tf.int64) < wanted[:, tf.newaxis]
    return tf.sort(tf.where(chosen, positions, width), axis=1)


def _sometimes_visible(
    kind: tf.Tensor, hidden: tf.Tensor, labels: tf.Tensor, random_items: tf.Tensor
) -> tf.Tensor:
    """Keeps some labels, turns some into random items, as `kind` in [0, 1) says; int64 [B, M]."""
    kept = kind < _SHARE_MASK_TOKEN + _SHARE_KEPT
    return tf.where(kind < _SHARE_MASK_TOKEN, hidden, tf.where(kept, labels, random_items))


def _put(rows: tf.Tensor, positions: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    """Writes values [B, M] into rows [B, W] at positions [B, M]."""
    batch = tf.broadcast_to(tf.range(tf.shape(rows)[0])[:, tf.newaxis], tf.shape(positions))
    return tf.tensor_scatter_nd_update(rows, tf.stack([batch, positions], axis=-1), values)


def _uniform(shape: list[int], seed: tf.Tensor, purpose: int, **limits: Any) -> tf.Tensor:
    seed = tf.random.experimental.stateless_fold_in(seed, purpose)
    return tf.random.stateless_uniform(shape, seed, alg="philox", **limits)


class JointMaskedItem(MaskedItem):
    """The same of all domains: view `joint_masked_item`."""

    name = "joint_masked_item"
    space = "joint"

    def check(self, roles: Roles, comparable_times: bool, options: ExampleOptions) -> None:
        """Raises DataError if there is no source or target, or times cannot be compared."""
        super().check(roles, comparable_times, options)
        check_one_order(self.name, roles, comparable_times)


VIEW = MaskedItem()
JOINT_VIEW = JointMaskedItem()
