"""View `leave_one_out`: a user's latest items, of all domains or the target's alone, and the next.

Record (one per target interaction with a history, in the split of that interaction, whatever kind
of split it is): `user`, `history`, `history_is_target` (0 or 1 for each item of it), `target_item`,
`seen_items` and `cold` as in `transfer`, and `negatives`, which came with the data. `history` holds
the items before that interaction, oldest first, in the order of the log; of the source domains
those with a smaller time, or with `source_history=all` every one, before the target's; of the
target's own none of a later part, which a split that came with the data may put earlier: training
never reads what is held out. It keeps the latest T of all items and the latest T of the target's,
so that a reader can choose.

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
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from data_pipelines.coding.user_histories import UserHistory
from data_pipelines.splitting.split_log import DomainRoles
from data_pipelines.views.padding import left_pad
from data_pipelines.views.split_read import Assemble, SplitRead
from data_pipelines.views.target_items import (
    TargetItemOptions,
    TargetItems,
    check_target,
    target_item_entries,
)
from data_pipelines.views.view import Example, ExampleOptions, View


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
        if self.history_domains not in ("all", "target"):
            raise ValueError(
                f"history_domains must be one of all, target. Received: {self.history_domains!r}."
            )


class LeaveOneOut(View):
    """Cuts and batches pairs of history and next target item; see the module's docstring."""

    name = "leave_one_out"
    scalars = ("user", "target_item", "cold")
    sequences = ("history", "history_is_target", "seen_items", "negatives")
    joint_space = True
    batching = Batching

    def check(self, roles: DomainRoles, options: ExampleOptions) -> None:
        """Raises DataError if there is no target, or times cannot be compared between domains."""
        check_target(self.name, roles, options)

    def examples(
        self, history: UserHistory, part: int, options: ExampleOptions
    ) -> Iterator[Example]:
        """Cuts one example per target interaction of the part that has a history."""
        targets = TargetItems(history, part)
        of_target = np.flatnonzero(history.is_target)
        of_sources = np.flatnonzero(~history.is_target)
        readable = of_target[history.parts[of_target] <= part]
        length = options.max_length
        ends = zip(
            targets.source_ends(options).tolist(),
            np.searchsorted(readable, of_target[targets.chosen]).tolist(),
            strict=True,
        )
        for index, (source_end, end) in zip(targets.chosen.tolist(), ends, strict=True):
            sources = of_sources[max(0, source_end - length) : source_end]
            own = readable[max(0, end - length) : end]
            places = np.concatenate([sources, own])
            if not len(places):
                continue
            if options.source_history == "before_target":
                places = np.sort(places)
            # The latest of all: sources older than these are of no use to any reader.
            recent = np.arange(len(places)) >= len(places) - length
            places = places[recent | history.is_target[places]]
            place = of_target[index]
            yield {
                "history": history.items[places],
                "history_is_target": history.is_target[places].astype(np.int64),
                "negatives": history.negatives[slice(*history.negative_offsets[place : place + 2])],
                **targets.features(index),
            }

    def assembler(self, split: SplitRead, batching: Batching) -> Assemble:
        """Returns the function that pads the histories and draws the negatives."""
        num_targets = split.vocabularies["target"].size
        entries = target_item_entries(split, batching)

        def assemble(records: Mapping[str, Any], seed: tf.Tensor) -> dict[str, tf.Tensor]:
            items, is_target = records["history"], records["history_is_target"]
            if batching.history_domains == "target":
                items = tf.ragged.boolean_mask(items, is_target > 0)
            else:
                items += (1 - is_target) * num_targets
            history = left_pad(items, split.max_length)
            return {
                "history": history,
                # A history without padding ends with an item.
                "example_weight": tf.cast(history[:, -1] > 0, tf.float32),
                **entries(records, seed),
            }

        return assemble


VIEW = LeaveOneOut()
