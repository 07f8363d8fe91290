"""View `known_behaviour`: what is known of each user at the end of a split's part of the log.

An example for each user. Its source behaviour is the latest one. A served model answers by what
the split "test" tells, which is everything; other splits leave later target interactions out.

Batch:

| key | shape | dtype | |
| --- | --- | --- | --- |
| `user` | [B] | int32 | user ids from 1 |
| `example_weight` | [B] | float32 | 1, or 0 for the zero rows that fill up the last batch |

and the entries of `behaviours`.
"""

import dataclasses
from collections.abc import Mapping

import tensorflow as tf

from data_pipelines.views.behaviours import behaviour_entries, stretches
from data_pipelines.views.example_batches import Assemble, Cut, Draws
from data_pipelines.views.example_options import ExampleOptions
from data_pipelines.views.roles import RoleRecords, Roles
from data_pipelines.views.source_windows import check_has_source
from data_pipelines.views.target_items import check_target
from data_pipelines.views.view import HistoryRead, View


@dataclasses.dataclass(frozen=True)
class Batching:
    """Nothing is left to choose."""


class KnownBehaviour(View):
    """Cuts and batches users; see the module's docstring."""

    name = "known_behaviour"
    batching = Batching

    def check(self, roles: Roles, comparable_times: bool, options: ExampleOptions) -> None:
        """Raises DataError if a domain is missing or times cannot be compared."""
        check_target(self.name, roles, comparable_times, options)
        check_has_source(self.name, roles)

    def cut(self, records: RoleRecords, read: HistoryRead) -> Cut:
        """Cuts an example for each user."""
        row = tf.range(tf.size(records.user, tf.int64))
        end = records.splits[1:]
        examples, shared = stretches(records, read, row, end, end, read.part)
        return Cut({"user": records.user, **examples}, shared)

    def assembler(self, read: HistoryRead, batching: Batching) -> Assemble:
        """Returns the function that pads histories.

        Raises:
          DataError: the data set has no ratings.
        """
        del batching
        entries = behaviour_entries(self.name, read)

        def assemble(
            rows: Mapping[str, tf.Tensor], shared: Mapping[str, tf.Tensor], draws: Draws
        ) -> dict[str, tf.Tensor]:
            del draws
            number = tf.maximum(rows["pool_end"] - rows["pool_start"], 1) - 1
            return entries(rows, shared, number)

        return assemble


VIEW = KnownBehaviour()
