"""View `leave_one_out`: a user's latest items, of all domains or the target's alone, and the next.

An example for each target interaction with a history, in the split of that interaction, whatever
kind of split it is. `history` holds the items before that interaction, oldest first, in the order
of the log; of the source domains those with a smaller time, or with `source_history=all` every one,
before the target's; of the target's own none of a later part, which a split that came with the data
may put earlier: training never reads what is held out.

Batch:

| key | shape | dtype | |
| --- | --- | --- | --- |
| `history` | [B, T] | int32 | the latest, ids of space `joint` (`history_domains=all`) or target \
ids, left-padded with 0; `own_share` of the T places are the target's own items', if there are so \
many |
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
from data_pipelines.views.items_left import ItemsNeeded
from data_pipelines.views.label_histories import (
    history_features,
    latest_of_all,
    latest_with_own,
    of_cold_by_sources,
    recent_items,
    source_features,
)
from data_pipelines.views.padding import latest
from data_pipelines.views.roles import RoleRecords, Roles, places_of
from data_pipelines.views.target_items import (
    Labels,
    TargetItemOptions,
    check_target,
    needed_items,
    target_item_entries,
)
from data_pipelines.views.view import HistoryRead, View


@dataclasses.dataclass(frozen=True)
class Batching(TargetItemOptions):
    """Which items a history holds, and what stands beside the target item.

    Attributes:
      history_domains: "all": items of every domain, as ids of space `joint`; "target": the
        target's items alone, as target ids.
      own_share: of "all", the share of the T places, rounded, that the target's own latest items
        have before other domains' later ones; 0 for the latest of all.
      cold_history: what is read of a user without training interactions in the target. "held_out":
        also the held-out ones before the label, as of anybody; "sources": the sources alone, as
        the bars read them, for users who are new in the target.
    """

    history_domains: str = "all"
    own_share: float = 0.0
    cold_history: str = "held_out"

    def __post_init__(self) -> None:
        super().__post_init__()
        choices = {"history_domains": ("all", "target"), "cold_history": ("held_out", "sources")}
        check_choices(self, choices)
        if not 0 <= self.own_share <= 1:
            raise ValueError(f"own_share must be in [0, 1]. Received: {self.own_share}.")


class LeaveOneOut(View):
    """Cuts and batches pairs of history and next target item; see the module's docstring."""

    name = "leave_one_out"
    batching = Batching

    def check(self, roles: Roles, comparable_times: bool, options: ExampleOptions) -> None:
        """Raises DataError if there is no target, or times cannot be compared between domains."""
        check_target(self.name, roles, comparable_times, options)

    def needed(self, read: HistoryRead, batching: Batching) -> ItemsNeeded:
        """See `needed_items`."""
        return needed_items(read, batching)

    def cut(self, records: RoleRecords, read: HistoryRead) -> Cut:
        """Cuts an example for each target interaction of the split that has a history.

        See `history_features` for where its history lies.
        """
        labels = Labels(records, read)
        examples, shared = labels.features()
        for find in (history_features, source_features):
            features, shared_features = find(records, read, labels)
            examples |= features
            shared |= shared_features
        older = examples["older_end"] - examples["older_start"]
        items = older + examples["own_end"] - examples["own_recent"]
        kept = places_of(items > 0)
        examples = {name: tf.gather(column, kept) for name, column in examples.items()}
        return Cut(examples, shared)

    def assembler(self, read: HistoryRead, batching: Batching) -> Assemble:
        """Returns the function that pads the histories and draws the negatives."""
        entries = target_item_entries(read, batching)
        length = read.options.max_length
        kept_own = round(batching.own_share * length)
        recent = 0 if read.for_training else batching.recent
        # Nobody is cold whose interactions train.
        sources_of_cold = batching.cold_history == "sources" and not read.for_training

        def assemble(
            rows: Mapping[str, tf.Tensor], shared: Mapping[str, tf.Tensor], draws: Draws
        ) -> dict[str, tf.Tensor]:
            # In space `joint` the target's items have their ids of space `target`.
            if batching.history_domains == "target":
                history = latest(shared["own"], rows["own_start"], rows["own_end"], length)
            elif kept_own:
                history = latest_with_own(rows, shared, length, kept_own)
            else:
                history = latest_of_all(rows, shared, length)
            if sources_of_cold and batching.history_domains == "target":
                history = tf.where(
                    rows["cold"][:, tf.newaxis] == 1, tf.zeros_like(history), history
                )
            elif sources_of_cold:
                history = of_cold_by_sources(rows, shared, history)
            return {
                "history": history,
                # A history without padding ends with an item.
                "example_weight": tf.cast(history[:, -1] > 0, tf.float32),
                **recent_items(rows, shared, recent),
                **entries(rows, shared, draws),
            }

        return assemble


VIEW = LeaveOneOut()
