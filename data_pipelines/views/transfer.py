"""View `transfer`: a user's source history and one item that the user took in the target domain.

An example for each target interaction of the split, but of training ones none with fewer than
`min_history` source items. With `source_history=before_target` the history holds only what happened
strictly before that target interaction.

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
from collections.abc import Mapping

import tensorflow as tf

from data_pipelines.views.batching_checks import check_choices
from data_pipelines.views.example_batches import Assemble, Cut, Draws
from data_pipelines.views.example_options import ExampleOptions
from data_pipelines.views.items_left import ItemsNeeded
from data_pipelines.views.label_histories import (
    history_features,
    recent_items,
    source_features,
)
from data_pipelines.views.padding import latest
from data_pipelines.views.roles import RoleRecords, Roles, places_of
from data_pipelines.views.source_windows import check_has_source
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
    """How contexts are framed, and what stands beside the target item.

    Attributes:
      cls: where the CLS token goes. "last": behind the history, for causal models; "both": before
        and behind it, for models that look both ways.
    """

    cls: str = "last"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choices(self, {"cls": ("last", "both")})


class Transfer(View):
    """Cuts and batches pairs of source history and target item; see the module's docstring."""

    name = "transfer"
    batching = Batching

    def check(self, roles: Roles, comparable_times: bool, options: ExampleOptions) -> None:
        """Raises DataError if a domain is missing or times cannot be compared."""
        check_target(self.name, roles, comparable_times, options)
        check_has_source(self.name, roles)

    def needed(self, read: HistoryRead, batching: Batching) -> ItemsNeeded:
        """See `needed_items`."""
        return needed_items(read, batching)

    def cut(self, records: RoleRecords, read: HistoryRead) -> Cut:
        """Cuts an example for each target interaction of the split."""
        labels = Labels(records, read)
        is_source = records.is_source
        sources = tf.gather(read.ids("source", records), places_of(is_source))
        ends = labels.source_ends()
        before = tf.cumsum(tf.cast(is_source, tf.int64), exclusive=True)
        # Where the sources of each user begin among all sources.
        starts = tf.gather(
            tf.concat([before, [tf.size(sources, tf.int64)]], 0), records.splits[:-1]
        )
        examples, shared = labels.features()
        examples |= {"start": tf.gather(starts, labels.row), "end": ends}
        shared["sources"] = sources
        if not read.for_training:
            for find in (history_features, source_features):
                features, shared_features = find(records, read, labels)
                examples |= features
                shared |= shared_features
        if read.for_training:
            enough = places_of(ends - examples["start"] >= read.options.min_history)
            examples = {name: tf.gather(column, enough) for name, column in examples.items()}
        return Cut(examples, shared)

    def assembler(self, read: HistoryRead, batching: Batching) -> Assemble:
        """Returns the function that frames the contexts and draws the negatives."""
        cls_id = read.spaces["source"].cls_id
        entries = target_item_entries(read, batching)
        length = read.options.max_length
        recent = 0 if read.for_training else batching.recent

        def assemble(
            rows: Mapping[str, tf.Tensor], shared: Mapping[str, tf.Tensor], draws: Draws
        ) -> dict[str, tf.Tensor]:
            history = latest(shared["sources"], rows["start"], rows["end"], length)
            cls = tf.fill([tf.shape(history)[0], 1], tf.constant(cls_id, tf.int64))
            before = [cls] if batching.cls == "both" else []
            return {
                "context": tf.concat([*before, history, cls], axis=1),
                **recent_items(rows, shared, recent),
                **entries(rows, shared, draws),
            }

        return assemble


VIEW = Transfer()
