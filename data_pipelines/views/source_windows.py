"""Windows of sequences, of the sources or of all domains, which pre-training reads."""

from collections.abc import Mapping

import tensorflow as tf

from data_pipelines.errors import DataError
from data_pipelines.parts import TRAIN
from data_pipelines.views.example_batches import Cut
from data_pipelines.views.padding import latest
from data_pipelines.views.roles import RoleRecords, Roles, places_of
from data_pipelines.views.view import HistoryRead


def check_has_source(view: str, roles: Roles) -> None:
    """Raises DataError if there is no source."""
    if not roles.sources:
        raise DataError(
            f"view {view} needs a source domain, but every domain that is read, "
            f"{', '.join(roles.targets)}, is a target: name fewer with --target."
        )


def check_one_order(view: str, roles: Roles, comparable_times: bool) -> None:
    """Raises DataError if there is no target, or no order of time over all domains."""
    if not roles.target:
        raise DataError(f"view {view} needs a target domain: name it with --target.")
    if not comparable_times:
        raise DataError(
            f"view {view} puts what a user did in all domains into one order of time, but these "
            "logs have no times that can be compared."
        )


def cut_windows(records: RoleRecords, read: HistoryRead, width: int, space: str = "source") -> Cut:
    """Cuts the sequences of a split's users from their ends backwards, a window every T items.

    So the latest items share a full window. Source interactions at or after the user's first
    held-out label are left out: they would tell the model what happened after the moment at which
    it is tested. Of the target, in space `joint`, only what trains is there, and is read where the
    user's source sequence is.

    Args:
      records: of some users.
      read: the split.
      width: greatest length of a window; what exceeds T overlaps with the window before it.
      space: `source`, or `joint` for windows of all domains in the order of time.

    Returns:
      Examples with `start` and `end`, [E], into the shared `sequence`, ids of that space. A
      remainder of one item, which could predict nothing, gives no window.
    """
    step = read.options.max_length
    rows = tf.size(records.user, tf.int64)
    chosen = tf.logical_and(records.is_source, records.parts == read.part)
    if space == "joint":
        # Who has no source sequence trains.
        parts = tf.where(records.is_source, records.parts, TRAIN)
        part_of_user = tf.math.unsorted_segment_max(parts, records.row, rows)
        trains = tf.logical_and(records.is_target, records.parts == TRAIN)
        own = tf.gather(part_of_user, records.row) == read.part
        chosen = tf.logical_or(chosen, tf.logical_and(trains, own))
    chosen = tf.logical_and(chosen, records.before_held_out)
    sequence = tf.gather(read.ids(space, records), places_of(chosen))
    lengths = tf.math.unsorted_segment_sum(tf.cast(chosen, tf.int64), records.row, rows)
    ends = tf.cumsum(lengths)
    number = (tf.maximum(lengths, 1) + step - 2) // step
    row = tf.repeat(tf.range(rows), number)
    # The number of a window of its user, from the latest.
    place = tf.range(tf.size(row, tf.int64)) - tf.gather(tf.cumsum(number, exclusive=True), row)
    end = tf.gather(ends, row) - place * step
    start = tf.maximum(end - width, tf.gather(ends - lengths, row))
    examples = {"user": tf.gather(records.user, row), "start": start, "end": end}
    return Cut(examples, {"sequence": sequence})


def before_last(
    rows: Mapping[str, tf.Tensor], shared: Mapping[str, tf.Tensor], length: int
) -> dict[str, tf.Tensor]:
    """Returns the entry `recent_items`, int64 [R, length]: a window's items before its last.

    Args:
      rows: of `cut_windows`.
      shared: likewise.
      length: of the rows; 0 for no entry.
    """
    if not length:
        return {}
    return {"recent_items": latest(shared["sequence"], rows["start"], rows["end"] - 1, length)}
