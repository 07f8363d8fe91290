"""View `next_item`: windows of source sequences, for causal pre-training.

A window holds 2..T+1 source items of a user, as ids of space `source`; with view `joint_next_item`
the target's items that train as well, as ids of space `joint`. Windows overlap by one item, so that
every item of a sequence but its first is the label of exactly one position.

Batch (every split):

| key | shape | dtype | |
| --- | --- | --- | --- |
| `items` | [B, T+1] | int32 | ids, left-padded with 0; context is [:, :-1], labels [:, 1:] |
| not in training, if recent > 0: `recent_items` | [B, R] | int32 | the latest items before the \
window's last |
| `user` | [B] | int32 | user ids from 1 |
| `example_weight` | [B] | float32 | 1, or 0 for the zero rows that fill up the last batch |
"""

import dataclasses
from collections.abc import Mapping

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


@dataclasses.dataclass(frozen=True)
class Batching:
    """What stands beside the windows.

    Attributes:
      recent: R, items of `recent_items` in validation and test batches; 0 for none.
    """

    recent: int = 0

    def __post_init__(self) -> None:
        if self.recent < 0:
            raise ValueError(f"recent must not be negative. Received: {self.recent}.")


class NextItem(View):
    """Cuts and batches windows for next-item prediction; see the module's docstring."""

    name = "next_item"
    batching = Batching
    space = "source"

    def check(self, roles: Roles, comparable_times: bool, options: ExampleOptions) -> None:
        """Raises DataError if there is no source."""
        del comparable_times, options
        check_has_source(self.name, roles)

    def cut(self, records: RoleRecords, read: HistoryRead) -> Cut:
        """Cuts windows of at most T+1 items, overlapping by one."""
        return cut_windows(records, read, read.options.max_length + 1, self.space)

    def assembler(self, read: HistoryRead, batching: Batching) -> Assemble:
        """Returns the function that left-pads the windows."""
        recent = 0 if read.for_training else batching.recent
        width = read.options.max_length + 1

        def assemble(
            rows: Mapping[str, tf.Tensor], shared: Mapping[str, tf.Tensor], draws: Draws
        ) -> dict[str, tf.Tensor]:
            del draws
            items = latest(shared["sequence"], rows["start"], rows["end"], width)
            return {"items": items, **before_last(rows, shared, recent)}

        return assemble


class JointNextItem(NextItem):
    """The same of all domains: view `joint_next_item`."""

    name = "joint_next_item"
    space = "joint"

    def check(self, roles: Roles, comparable_times: bool, options: ExampleOptions) -> None:
        """Raises DataError if there is no source or target, or times cannot be compared."""
        super().check(roles, comparable_times, options)
        check_one_order(self.name, roles, comparable_times)


VIEW = NextItem()
JOINT_VIEW = JointNextItem()
