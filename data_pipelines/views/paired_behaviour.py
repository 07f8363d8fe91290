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
| `cold` | [B] | int32 | 1 if the user has no training interaction in the target |
| `example_weight` | [B] | float32 | 1, or 0 for the zero rows that fill up the last batch |

and the entries of `behaviours`.
"""

import dataclasses
from collections.abc import Mapping

import tensorflow as tf

from data_pipelines.parts import TRAIN
from data_pipelines.views import batching_checks, negative_sampling
from data_pipelines.views.behaviours import behaviour_entries, stretches
from data_pipelines.views.example_batches import Assemble, Cut, Draws
from data_pipelines.views.example_options import ExampleOptions
from data_pipelines.views.roles import RoleRecords, Roles, first_of_ties, places_of
from data_pipelines.views.source_windows import check_has_source
from data_pipelines.views.target_items import Labels, check_target
from data_pipelines.views.view import HistoryRead, View

# To within one of so many, a share of users is drawn.
_SHARE_STEPS = 1 << 20

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
        batching_checks.check_choices(self, {"evaluation_source": EVALUATION_SOURCES})


class PairedBehaviour(View):
    """Cuts and batches pairs of target and source behaviour; see the module's docstring.

    With `developing_share`, training has examples of two kinds: those that train, and those by
    which it is judged while it trains.
    """

    name = "paired_behaviour"
    batching = Batching
    _develops = False

    def check(self, roles: Roles, comparable_times: bool, options: ExampleOptions) -> None:
        """Raises DataError if a domain is missing or times cannot be compared."""
        check_target(self.name, roles, comparable_times, options)
        check_has_source(self.name, roles)

    def cut(self, records: RoleRecords, read: HistoryRead) -> Cut:
        """Cuts an example for each target interaction of the split."""
        labels, options = Labels(records, read), read.options
        by_example = options.behaviour_cutoff == "example"
        behaviours, shared = stretches(
            records,
            read,
            labels.row,
            _source_ends(records, labels, options),
            labels.places if by_example else tf.gather(records.splits, labels.row + 1),
            read.part if by_example else TRAIN,
        )
        features, _ = labels.features()
        liked = tf.gather(records.ratings, labels.places) > options.positive_above
        examples = {
            **{name: features[name] for name in ("user", "target_item", "cold")},
            "liked": tf.cast(liked, tf.float32),
            **behaviours,
        }
        if read.for_training and options.developing_share:
            kept = places_of(_develop(labels, features["user"], options) == self._develops)
            examples = {name: tf.gather(column, kept) for name, column in examples.items()}
        return Cut(examples, shared)

    def assembler(self, read: HistoryRead, batching: Batching) -> Assemble:
        """Returns the function that draws source behaviours and pads histories.

        Raises:
          DataError: the data set has no ratings.
        """
        entries = behaviour_entries(self.name, read)
        category_of = tf.constant(read.spaces["target"].category_of)

        def assemble(
            rows: Mapping[str, tf.Tensor], shared: Mapping[str, tf.Tensor], draws: Draws
        ) -> dict[str, tf.Tensor]:
            return {
                **{name: rows[name] for name in ("target_item", "liked", "cold")},
                "target_category": tf.gather(category_of, rows["target_item"]),
                **entries(rows, shared, _chosen(rows, draws, read, batching)),
            }

        return assemble


class DevelopingBehaviour(PairedBehaviour):
    """The training examples by which training is judged; see `PairedBehaviour`."""

    name = "developing_behaviour"
    _develops = True


def _develop(labels: Labels, user: tf.Tensor, options: ExampleOptions) -> tf.Tensor:
    """Returns bool [k], whether a label is the latest of a user who is drawn for developing."""
    is_latest = tf.concat([user[1:] != user[:-1], tf.ones_like(user[:1], tf.bool)], 0)
    seeds = negative_sampling.row_seeds(options.seed, user)
    drawn = tf.math.floormod(negative_sampling.bits_of_rows(seeds), _SHARE_STEPS)
    return is_latest & (drawn < round(options.developing_share * _SHARE_STEPS))


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
    seeds = negative_sampling.row_seeds(read.seed, rows["user"], rows["target_item"])
    return tf.math.floormod(negative_sampling.bits_of_rows(seeds), number)


VIEW = PairedBehaviour()
DEVELOPING_VIEW = DevelopingBehaviour()
