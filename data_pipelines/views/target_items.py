"""What stands beside the target item in a batch: negatives in training, candidates in evaluation.

| key | shape | dtype | |
| --- | --- | --- | --- |
| `target_item` | [B] | int32 | target id |
| training, if N > 0: `negative_items` | [B, N] | int32 | target ids drawn anew in each epoch |
| else: `seen_items` | [B, P] | int32 | target ids that are no candidates, in any order among \
zeros: the user's items of every part but `target_item`; P is fixed for the split. With \
`repeats=all` an item may come again, and there is none |
| else: `cold` | [B] | int32 | 0 or 1 |
| else, if candidates > 0: `candidates` | [B, 1+n] | int32 | the target item, then the first n \
negatives that came with the data (views with `negatives` in their records), or n distinct items \
that the user never took; the same in every epoch, whatever the batch size |
| else, if recent > 0: `recent_items` | [B, R] | int32 | the latest items of all domains before \
the target item, of a cold user those of the sources, ids of space `joint`, left-padded with 0 |
"""

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf

from data_pipelines.errors import DataError
from data_pipelines.parts import TRAIN
from data_pipelines.views import batching_checks, negative_sampling
from data_pipelines.views.example_batches import Assemble, Draws
from data_pipelines.views.example_options import ExampleOptions
from data_pipelines.views.items_left import LEFT, ItemsNeeded, distinct_items
from data_pipelines.views.padding import first, whole
from data_pipelines.views.roles import RoleRecords, Roles, first_of_ties, places_of
from data_pipelines.views.view import HistoryRead


@dataclasses.dataclass(frozen=True)
class TargetItemOptions:
    """How negatives and candidates are drawn.

    Attributes:
      negatives: N, negatives per training example, drawn with replacement; 0 for none.
      sampler: their distribution: "uniform", "popularity" (training interactions + 1) or
        "lambdafm" (p(r) ~ exp(-(r + 1) / (lambdafm_rho * N)) over popularity ranks r).
      lambdafm_rho: the smaller, the more popular the negatives; above 0.
      negatives_exclude: "seen": no item of the user's training interactions is a negative;
        "positive": only the example's own target item is spared, as in PeterRec's release.
      candidates: n, negatives beside the target item in `candidates` of validation and test
        batches; 0 for none.
      recent: R, items of `recent_items` in validation and test batches; 0 for none.
      least_left: items that a user must leave for his validation and test rows to be read, as
        `candidates` asks for as many; for the same rows to be read with candidates and without.
    """

    negatives: int = 1
    sampler: str = "uniform"
    lambdafm_rho: float = 0.3
    negatives_exclude: str = "seen"
    candidates: int = 0
    recent: int = 0
    least_left: int = 0

    def __post_init__(self) -> None:
        batching_checks.check_choices(
            self,
            {
                "sampler": tuple(negative_sampling.SAMPLERS),
                "negatives_exclude": ("seen", "positive"),
            },
        )
        numbers = ("negatives", "candidates", "recent", "least_left")
        batching_checks.check_not_negative(self, numbers)
        if not self.lambdafm_rho > 0:
            raise ValueError(f"lambdafm_rho must be above 0. Received: {self.lambdafm_rho}.")


class Labels:
    """The target interactions of a split of some users, of each of which an example tells.

    Attributes:
      places: int64 [k], which of the records' interactions they are.
      row: int64 [k], their users' rows.
      items: int64 [n], target ids of the records' interactions; what it gives for source ones, has
        no meaning.
    """

    def __init__(self, records: RoleRecords, read: HistoryRead) -> None:
        """Finds them."""
        chosen = tf.logical_and(records.is_target, records.parts == read.part)
        self.places = places_of(chosen)
        self.row = tf.gather(records.row, self.places)
        self.items = read.ids("target", records)
        self._records = records
        self._read = read

    def source_ends(self) -> tf.Tensor:
        """Returns, for each label, how many of all users' source interactions come before it.

        Those of the users in the rows before count, too. With `source_history=all` it is how many
        the rows up to the label's own have.
        """
        records, rows = self._records, tf.size(self._records.user, tf.int64)
        is_source = tf.cast(records.is_source, tf.int64)
        if self._read.options.source_history == "all":
            of_rows = tf.math.unsorted_segment_sum(is_source, records.row, rows)
            return tf.gather(tf.cumsum(of_rows), self.row)
        # What has the label's very time is not before it.
        earlier = tf.gather(first_of_ties(records), self.places)
        return tf.gather(tf.cumsum(is_source, exclusive=True), earlier)

    def features(self) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
        """Returns what examples say of their labels, and what they share: see `Cut`."""
        records, read = self._records, self._read
        rows = tf.size(records.user, tf.int64)
        trains = tf.logical_and(records.is_target, records.parts == TRAIN)
        trained = tf.math.unsorted_segment_sum(tf.cast(trains, tf.int64), records.row, rows)
        known = trains if read.for_training else records.is_target
        counts = tf.math.unsorted_segment_sum(tf.cast(known, tf.int64), records.row, rows)
        ends = tf.cumsum(counts)
        examples = {
            "user": tf.gather(records.user, self.row),
            "target_item": tf.gather(self.items, self.places),
            "cold": tf.gather(tf.cast(trained == 0, tf.int64), self.row),
            "seen_start": tf.gather(ends - counts, self.row),
            "seen_end": tf.gather(ends, self.row),
            "negative_start": tf.gather(records.negative_starts, self.places),
            "negative_end": tf.gather(records.negative_ends, self.places),
        }
        if read.needed.least:
            taken = distinct_items(records, known, records.row, rows)
            examples[LEFT] = read.spaces["target"].size - tf.gather(taken, self.row)
        shift = tf.constant(read.spaces["target"].shifts())[self._target_domain()]
        negatives = records.negatives + shift
        return examples, {
            "seen": tf.gather(self.items, places_of(known)),
            "given_negatives": negatives,
        }

    def _target_domain(self) -> int:
        (domain,) = self._read.spaces["target"].chosen
        return domain


def needed_items(read: HistoryRead, options: TargetItemOptions) -> ItemsNeeded:
    """Says how many target items must be left to a user; see `View.needed`."""
    if read.for_training:
        least = int(options.negatives > 0 and options.negatives_exclude == "seen")
    elif read.given_negatives[1]:
        least = 0
    else:
        least = max(options.candidates, options.least_left)
    enough = read.most_seen + least <= read.spaces["target"].size
    return ItemsNeeded() if enough else ItemsNeeded(least)


def check_target(view: str, roles: Roles, comparable_times: bool, options: ExampleOptions) -> None:
    """Raises DataError if there is no target, or times that cannot be compared but should."""
    if not roles.target:
        raise DataError(f"view {view} needs a target domain: name it with --target.")
    compared = roles.sources and options.source_history == "before_target"
    if compared and not comparable_times:
        raise DataError(
            "--examples.source_history=before_target compares times between domains, but these "
            "logs have no such times: use --examples.source_history=all."
        )


def target_item_entries(read: HistoryRead, options: TargetItemOptions) -> Assemble:
    """Returns the function that makes these entries from what `Labels.features` tells.

    Raises:
      DataError: every user leaves too little of the catalogue for the negatives or candidates, or
        the negatives that came with the data are too few.
    """
    entries = (_training_entries if read.for_training else _evaluation_entries)(read, options)

    def assemble(
        rows: Mapping[str, tf.Tensor], shared: Mapping[str, tf.Tensor], draws: Draws
    ) -> dict[str, tf.Tensor]:
        return {"target_item": rows["target_item"], **entries(rows, shared, draws)}

    return assemble


def _training_entries(read: HistoryRead, options: TargetItemOptions) -> Assemble:
    if not options.negatives:
        return lambda rows, shared, draws: {}
    target = read.spaces["target"]
    exclude_seen = options.negatives_exclude == "seen"
    excluded = read.fewest_seen if exclude_seen else 1
    if target.size <= excluded:
        raise DataError(
            f"a training example excludes {'at least ' if exclude_seen else ''}{excluded} of the "
            f"{target.size} target items, so that it has no possible negative"
            + (": use negatives_exclude=positive." if exclude_seen else ".")
        )
    extra = (options.lambdafm_rho,) if options.sampler == "lambdafm" else ()
    weights = negative_sampling.SAMPLERS[options.sampler](target.counts, *extra)
    cumulative = tf.constant(np.cumsum(weights))

    def entries(
        rows: Mapping[str, tf.Tensor], shared: Mapping[str, tf.Tensor], draws: Draws
    ) -> dict[str, tf.Tensor]:
        spared = rows["target_item"][:, tf.newaxis]
        if exclude_seen:
            spared = _seen(rows, shared)
        bits = negative_sampling.random_bits(draws.batch_size, options.negatives, draws.seed)
        negatives = negative_sampling.draw_excluding(cumulative, spared, draws.own(bits))
        return {"negative_items": tf.ensure_shape(negatives, [None, options.negatives])}

    return entries


def _evaluation_entries(read: HistoryRead, options: TargetItemOptions) -> Assemble:
    negatives = _candidate_negatives(read, options.candidates) if options.candidates else None

    def entries(
        rows: Mapping[str, tf.Tensor], shared: Mapping[str, tf.Tensor], draws: Draws
    ) -> dict[str, tf.Tensor]:
        del draws  # What evaluation draws must not depend on the epoch or the place in the batch.
        entries = {"seen_items": seen_items(rows, shared, read), "cold": rows["cold"]}
        if negatives is not None:
            positive = rows["target_item"][:, tf.newaxis]
            entries["candidates"] = tf.concat([positive, negatives(rows, shared)], axis=1)
        return entries

    return entries


def seen_items(
    rows: Mapping[str, tf.Tensor], shared: Mapping[str, tf.Tensor], read: HistoryRead
) -> tf.Tensor:
    """Returns what ranking leaves out: what a user took, but for the example's target item.

    Args:
      rows: with `target_item`, and `seen_start` and `seen_end` within shared `seen`.
      shared: see `rows`.
      read: of the split.

    Returns:
      int64 [R, P], among zeros; P is fixed for the split. Where an item may come again, zeros.
    """
    target, width = rows["target_item"], max(1, read.most_seen)
    if not read.excludes_seen:
        return tf.zeros([tf.size(target), width], tf.int64)
    seen = first(shared["seen"], rows["seen_start"], rows["seen_end"], width)
    return tf.where(seen == target[:, tf.newaxis], tf.zeros_like(seen), seen)


def _seen(rows: Mapping[str, tf.Tensor], shared: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """Returns int64 [R, P], all that each row's user has taken, once for each time; P > 0."""
    return whole(shared["seen"], rows["seen_start"], rows["seen_end"])


def _candidate_negatives(
    read: HistoryRead, number: int
) -> Callable[[Mapping[str, tf.Tensor], Mapping[str, tf.Tensor]], tf.Tensor]:
    """Returns the function from rows and shared tensors to int64 [R, number]."""
    items = read.spaces["target"].size
    fewest, most = read.given_negatives
    if most:
        if number > fewest:
            raise DataError(
                f"split {read.split} brings {most} negatives of its own for an interaction, "
                f"{fewest} for some, but --evaluation.negatives asks for {number}: lower it, or "
                "give every line of the file its negatives."
            )

        def given(rows: Mapping[str, tf.Tensor], shared: Mapping[str, tf.Tensor]) -> tf.Tensor:
            ends = rows["negative_end"]
            return first(shared["given_negatives"], rows["negative_start"], ends, number)

        return given
    if number > items - read.fewest_seen:
        raise DataError(
            f"candidates={number} is too many: in split {read.split} every user has taken "
            f"{read.fewest_seen} or more of the {items} target items, which leaves at most "
            f"{items - read.fewest_seen} to draw from; lower --evaluation.negatives."
        )

    def draw(rows: Mapping[str, tf.Tensor], shared: Mapping[str, tf.Tensor]) -> tf.Tensor:
        seeds = negative_sampling.row_seeds(read.seed, rows["user"], rows["target_item"])
        # The user's items, the example's own among them.
        spared = _seen(rows, shared)
        return negative_sampling.draw_distinct(items, spared, number, seeds)

    return draw
