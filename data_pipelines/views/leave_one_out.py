"""View `leave_one_out`: a user's latest items, of all domains or the target's alone, and the next.

An example for each target interaction with a history, in the split of that interaction, whatever
kind of split it is. `history` holds the items before that interaction, oldest first, in the order
of the log; of the source domains those with a smaller time, or with `source_history=all` every one,
before the target's; of the target's own none of a later part, which a split that came with the data
may put earlier: training never reads what is held out.

Batch:

| key | shape | dtype | |
| --- | --- | --- | --- |
| `history` | [B, T] | int32 | ids of space `joint` (`history_domains=all`) or target ids, \
left-padded with 0 |
| `user` | [B] | int32 | user ids from 1 |
| `example_weight` | [B] | float32 | 1, or 0 for rows without a history: those that fill up the \
last batch, and users new in the target where only the target's items are read |

and the entries of `target_items`.
"""

import dataclasses
from collections.abc import Mapping

import tensorflow as tf

from data_pipelines.views.batching_checks import check_choices
from data_pipelines.views.example_batches import Assemble, Cut, Draws
from data_pipelines.views.example_options import ExampleOptions
from data_pipelines.views.padding import gather_or_zero, latest
from data_pipelines.views.roles import RoleRecords, Roles, first_of_ties, places_of
from data_pipelines.views.target_items import (
    Labels,
    TargetItemOptions,
    check_target,
    target_item_entries,
)
from data_pipelines.views.view import HistoryRead, View


@dataclasses.dataclass(frozen=True)
class Batching(TargetItemOptions):
    """Which items a history holds, and what stands beside the target item.

    Attributes:
      history_domains: "all": items of every domain, as ids of space `joint`; "target": the
        target's items alone, as target ids.
    """

    history_domains: str = "all"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choices(self, {"history_domains": ("all", "target")})


class LeaveOneOut(View):
    """Cuts and batches pairs of history and next target item; see the module's docstring."""

    name = "leave_one_out"
    batching = Batching

    def check(self, roles: Roles, comparable_times: bool, options: ExampleOptions) -> None:
        """Raises DataError if there is no target, or times cannot be compared between domains."""
        check_target(self.name, roles, comparable_times, options)

    def cut(self, records: RoleRecords, read: HistoryRead) -> Cut:
        """Cuts an example for each target interaction of the split that has a history.

        Its history is `older`[older_start:older_end], then `own`[own_recent:own_end]: what may be
        read before the label's time, and the target's items of that very time that come before it.
        With `source_history=all`, it is all the sources' and then all the target's. `own_start` is
        where the target's own items begin.
        """
        labels = Labels(records, read)
        readable = tf.logical_or(records.is_source, records.parts <= read.part)
        read_places = places_of(readable)
        ids, row, is_target = (
            tf.gather(column, read_places)
            for column in (read.ids("joint", records), records.row, records.is_target)
        )
        rows = tf.size(records.user, tf.int64)
        lengths = tf.math.unsorted_segment_sum(tf.ones_like(row), row, rows)
        user_start = tf.gather(tf.cumsum(lengths, exclusive=True), labels.row)
        # The number of readable interactions before each place.
        before = tf.cumsum(tf.cast(readable, tf.int64), exclusive=True)
        # The number of the target's items before each place.
        own_before = tf.concat([[0], tf.cumsum(tf.cast(is_target, tf.int64))], 0)
        own = tf.gather(ids, places_of(is_target))
        own_start = tf.gather(own_before, user_start)
        if read.options.source_history == "all":
            older = tf.gather(ids, places_of(tf.logical_not(is_target)))
            user_end = user_start + tf.gather(lengths, labels.row)
            older_start = user_start - own_start
            older_end = user_end - tf.gather(own_before, user_end)
            own_recent = own_start
        else:
            older = ids
            older_start = user_start
            older_end = tf.gather(before, tf.gather(first_of_ties(records), labels.places))
            own_recent = tf.gather(own_before, older_end)
        examples, shared = labels.features()
        examples |= {
            "older_start": older_start,
            "older_end": older_end,
            "own_start": own_start,
            "own_recent": own_recent,
            "own_end": tf.gather(own_before, tf.gather(before, labels.places)),
        }
        items = older_end - older_start + examples["own_end"] - own_recent
        kept = places_of(items > 0)
        examples = {name: tf.gather(column, kept) for name, column in examples.items()}
        return Cut(examples, {**shared, "older": older, "own": own})

    def assembler(self, read: HistoryRead, batching: Batching) -> Assemble:
        """Returns the function that pads the histories and draws the negatives."""
        entries = target_item_entries(read, batching)
        length = read.options.max_length

        def assemble(
            rows: Mapping[str, tf.Tensor], shared: Mapping[str, tf.Tensor], draws: Draws
        ) -> dict[str, tf.Tensor]:
            # In space `joint` the target's items have their ids of space `target`.
            if batching.history_domains == "target":
                history = latest(shared["own"], rows["own_start"], rows["own_end"], length)
            else:
                history = _latest_of_all(rows, shared, length)
            return {
                "history": history,
                # A history without padding ends with an item.
                "example_weight": tf.cast(history[:, -1] > 0, tf.float32),
                **entries(rows, shared, draws),
            }

        return assemble


def _latest_of_all(
    rows: Mapping[str, tf.Tensor], shared: Mapping[str, tf.Tensor], length: int
) -> tf.Tensor:
    """Keeps the last items of older and own ones, right-aligned behind zeros: int64 [R, T]."""
    from_end = tf.range(length, 0, -1, dtype=tf.int64)
    recent = (rows["own_end"] - rows["own_recent"])[:, tf.newaxis]
    own_places = rows["own_end"][:, tf.newaxis] - from_end
    own = gather_or_zero(shared["own"], own_places, from_end <= recent)
    older_places = rows["older_end"][:, tf.newaxis] - (from_end - recent)
    is_older = tf.logical_and(from_end > recent, older_places >= rows["older_start"][:, tf.newaxis])
    return own + gather_or_zero(shared["older"], older_places, is_older)


VIEW = LeaveOneOut()
