"""View `transfer`: a user's source history and one item that the user took in the target domain.

Record (one per target interaction, in the split of that interaction, but no training record with
fewer than `min_history` source items): `user`, `source_history` (at most T source ids, oldest
first), `target_item`, `seen_items` and `cold`. With `source_history=before_target` the history
holds only what happened strictly before that target interaction. `seen_items` are distinct target
ids that are never negatives: in training records the items of all the user's training interactions,
in validation and test records the user's items of every part without this record's own. `cold` is 1
if the user has no training interaction in the target.

Batch:

| key | shape | dtype | |
| --- | --- | --- | --- |
| `context` | [B, T+1] or [B, T+2] | int32 | `cls=last`: source ids left-padded with 0, then CLS; \
`cls=both`: CLS, padding, source ids, CLS |
| `user` | [B] | int32 | user ids from 1 |
| `example_weight` | [B] | float32 | 1, or 0 for the zero rows that fill up the last batch |

and the entries of `target_items`.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import tensorflow as tf

from data_pipelines.coding.user_histories import UserHistory
from data_pipelines.splitting.split_log import TRAIN, DomainRoles
from data_pipelines.views.next_item import check_has_source
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
    """How contexts are framed, and what stands beside the target item.

    Attributes:
      cls: where the CLS token goes. "last": behind the history, for causal models; "both": before
        and behind it, for models that look both ways.
    """

    cls: str = "last"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.cls not in ("last", "both"):
            raise ValueError(f"cls must be one of last, both. Received: {self.cls!r}.")


class Transfer(View):
    """Cuts and batches pairs of source history and target item; see the module's docstring."""

    name = "transfer"
    scalars = ("user", "target_item", "cold")
    sequences = ("source_history", "seen_items")
    batching = Batching

    def check(self, roles: DomainRoles, options: ExampleOptions) -> None:
        """Raises DataError if a domain is missing or times cannot be compared."""
        check_target(self.name, roles, options)
        check_has_source(self.name, roles)

    def examples(
        self, history: UserHistory, part: int, options: ExampleOptions
    ) -> Iterator[Example]:
        """Cuts one example per target interaction of the part; see `ExampleOptions`."""
        targets = TargetItems(history, part)
        sources = history.items[~history.is_target]
        ends = targets.source_ends(options)
        for index, end in zip(targets.chosen.tolist(), ends.tolist(), strict=True):
            if part == TRAIN and end < options.min_history:
                continue
            recent = sources[max(0, end - options.max_length) : end]
            yield {"source_history": recent, **targets.features(index)}

    def assembler(self, split: SplitRead, batching: Batching) -> Assemble:
        """Returns the function that frames the contexts and draws the negatives."""
        cls_id = split.vocabularies["source"].cls_id
        entries = target_item_entries(split, batching)

        def assemble(records: Mapping[str, Any], seed: tf.Tensor) -> dict[str, tf.Tensor]:
            history = left_pad(records["source_history"], split.max_length)
            cls = tf.fill([split.num_rows, 1], tf.constant(cls_id, tf.int64))
            before = [cls] if batching.cls == "both" else []
            return {
                "context": tf.concat([*before, history, cls], axis=1),
                **entries(records, seed),
            }

        return assemble


VIEW = Transfer()
