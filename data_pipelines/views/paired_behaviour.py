"""View `paired_behaviour`: a rated target item beside one of the user's source behaviours.

An example for each target interaction of the split. With it goes a source behaviour of the user's
pool, drawn anew in each epoch of training, and what the user liked lately in either domain. An
item is liked if its rating is above a threshold. BIAO SPEC section 7.

Batch:

| key | shape | dtype | |
| --- | --- | --- | --- |
| `user` | [B] | int32 | user ids from 1 |
| `target_item`, `target_category` | [B] | int32 | target id, id of its category or 0 |
| `liked` | [B] | float32 | 1 if the user liked it, else 0 |
| `source_item`, `source_category` | [B] | int32 | source id, id of its category; 0 for none |
| `source_rating`, `source_liked` | [B] | float32 | of the source behaviour; 0 for none |
| `source_effect` | [B] | int32 | 1 if there is a source behaviour, else 0 |
| `target_history`, `target_history_categories` | [B, T] | int32 | target items that the user \
liked, oldest first, and their categories; 0 behind them |
| `target_length` | [B] | int32 | how many they are |
| `source_history`, `source_history_categories`, `source_length` | | | likewise of the sources |
| `cold` | [B] | int32 | 1 if the user has no training interaction in the target |
| `example_weight` | [B] | float32 | 1, or 0 for the zero rows that fill up the last batch |
"""

import dataclasses
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from data_pipelines.errors import DataError
from data_pipelines.parts import TRAIN
from data_pipelines.views import negative_sampling
from data_pipelines.views.example_batches import Assemble, Cut, Draws
from data_pipelines.views.example_options import ExampleOptions
from data_pipelines.views.padding import first, gather_or_zero
from data_pipelines.views.roles import RoleRecords, Roles, first_of_ties, places_of
from data_pipelines.views.source_windows import check_has_source
from data_pipelines.views.target_items import Labels, check_target
from data_pipelines.views.view import HistoryRead, View

EVALUATION_SOURCES = ("latest", "drawn")


@dataclasses.dataclass(frozen=True)
class Batching:
    """Which source behaviour goes with a held-out example.

    Attributes:
      evaluation_source: the "latest" one of the pool, or one "drawn" of it by the run's seed, the
        user and the target item.
    """

    evaluation_source: str = "latest"

    def __post_init__(self) -> None:
        if self.evaluation_source not in EVALUATION_SOURCES:
            raise ValueError(
                f"evaluation_source must be one of {', '.join(EVALUATION_SOURCES)}. Received: "
                f"{self.evaluation_source!r}."
            )


class PairedBehaviour(View):
    """Cuts and batches pairs of target and source behaviour; see the module's docstring."""

    name = "paired_behaviour"
    batching = Batching

    def check(self, roles: Roles, comparable_times: bool, options: ExampleOptions) -> None:
        """Raises DataError if a domain is missing or times cannot be compared."""
        check_target(self.name, roles, comparable_times, options)
        check_has_source(self.name, roles)

    def cut(self, records: RoleRecords, read: HistoryRead) -> Cut:
        """Cuts an example for each target interaction of the split.

        Of three kinds of interaction, all users' one behind the other, each example may read a
        stretch, `KIND_start` to `KIND_end`: source behaviours to draw from (`pool`), and what the
        user liked in the sources (`source`) and in the target (`target`).
        """
        labels, options = Labels(records, read), read.options
        by_example = options.behaviour_cutoff == "example"
        source_end = _source_ends(records, labels, options)
        user_start, user_end = (tf.gather(records.splits, labels.row + add) for add in (0, 1))
        liked = records.ratings > options.positive_above
        readable = records.is_target & (records.parts <= (read.part if by_example else TRAIN))
        features, _ = labels.features()
        examples = {name: features[name] for name in ("user", "target_item", "cold")}
        examples["liked"] = tf.gather(tf.cast(liked, tf.float32), labels.places)
        shared = {}
        for kind, chosen, end in (
            ("pool", records.is_source, source_end),
            ("source", records.is_source & liked, source_end),
            ("target", readable & liked, labels.places if by_example else user_end),
        ):
            before = tf.concat([[0], tf.cumsum(tf.cast(chosen, tf.int64))], 0)
            examples[f"{kind}_start"] = tf.gather(before, user_start)
            examples[f"{kind}_end"] = tf.gather(before, end)
            ids = labels.items if kind == "target" else read.ids("source", records)
            shared[kind] = tf.gather(ids, places_of(chosen))
        shared["pool_ratings"] = tf.gather(records.ratings, places_of(records.is_source))
        return Cut(examples, shared)

    def assembler(self, read: HistoryRead, batching: Batching) -> Assemble:
        """Returns the function that draws source behaviours and pads histories.

        Raises:
          DataError: the data set has no ratings.
        """
        if not read.has_ratings:
            raise DataError(
                f"view {self.name} needs ratings, and the data set has none: convert a log that "
                "has them, such as --reader=movielens, amazon, or csv with --read.rating_column."
            )
        length, threshold = read.options.max_length, read.options.positive_above
        category_of = {
            role: tf.constant(read.spaces[role].category_of) for role in ("source", "target")
        }

        def assemble(
            rows: Mapping[str, tf.Tensor], shared: Mapping[str, tf.Tensor], draws: Draws
        ) -> dict[str, tf.Tensor]:
            place = rows["pool_start"] + _chosen(rows, draws, read, batching)
            effect = place < rows["pool_end"]
            rating = gather_or_zero(shared["pool_ratings"], place, effect)
            entries = {
                **{name: rows[name] for name in ("target_item", "liked", "cold")},
                "source_item": gather_or_zero(shared["pool"], place, effect),
                "source_rating": rating,
                "source_liked": tf.cast(effect & (rating > threshold), tf.float32),
                "source_effect": tf.cast(effect, tf.int64),
            }
            for role, categories in category_of.items():
                end = rows[f"{role}_end"]
                start = tf.maximum(rows[f"{role}_start"], end - length)
                items = first(shared[role], start, end, length)
                entries |= {
                    f"{role}_category": tf.gather(categories, entries[f"{role}_item"]),
                    f"{role}_history": items,
                    f"{role}_history_categories": tf.gather(categories, items),
                    f"{role}_length": end - start,
                }
            return entries

        return assemble


def _source_ends(records: RoleRecords, labels: Labels, options: ExampleOptions) -> tf.Tensor:
    """Returns int64 [k], before which of all users' interactions a label's sources end."""
    if options.source_history == "all":
        return tf.gather(records.splits, labels.row + 1)
    if options.behaviour_cutoff == "example":
        # What has the label's very time is not before it.
        return tf.gather(first_of_ties(records), labels.places)
    before = tf.cast(records.before_held_out, tf.int64)
    number = tf.math.unsorted_segment_sum(before, records.row, tf.size(records.user, tf.int64))
    return tf.gather(records.splits[:-1] + number, labels.row)


def _chosen(
    rows: Mapping[str, tf.Tensor], draws: Draws, read: HistoryRead, batching: Batching
) -> tf.Tensor:
    """Returns int64 [R], which behaviour of its pool goes with each row, 0 where it is empty."""
    number = tf.maximum(rows["pool_end"] - rows["pool_start"], 1)
    if read.for_training:
        bits = negative_sampling.random_bits(draws.batch_size, 1, draws.seed)
        return tf.math.floormod(draws.own(bits)[:, 0], number)
    if batching.evaluation_source == "latest":
        return number - 1
    example = rows["user"] * 2**32 + rows["target_item"]
    seeds = tf.stack([tf.fill(tf.shape(example), np.int64(read.seed)), example], axis=1)
    return tf.math.floormod(negative_sampling.bits_of_rows(seeds), number)


VIEW = PairedBehaviour()
