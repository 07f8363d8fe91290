"""What stands beside the target item in a batch: negatives in training, candidates in evaluation.

| key | shape | dtype | |
| --- | --- | --- | --- |
| `target_item` | [B] | int32 | target id |
| training: `negative_items` | [B, N] | int32 | target ids drawn anew in each epoch |
| else: `seen_items` | [B, P] | int32 | padded with 0 at the end; P is fixed for the split |
| else: `cold` | [B] | int32 | 0 or 1 |
| else, if candidates > 0: `candidates` | [B, 1+n] | int32 | the target item, then the first n \
negatives that came with the data (views with `negatives` in their records), or n distinct items \
that the user never took; the same in every epoch, whatever the batch size |
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from data_pipelines.coding.user_histories import UserHistory
from data_pipelines.errors import DataError
from data_pipelines.splitting.split_log import TRAIN, DomainRoles
from data_pipelines.views import negative_sampling
from data_pipelines.views.padding import right_pad
from data_pipelines.views.split_read import Assemble, SplitRead
from data_pipelines.views.view import ExampleOptions


@dataclasses.dataclass(frozen=True)
class TargetItemOptions:
    """How negatives and candidates are drawn.

    Attributes:
      negatives: N, negatives per training example, drawn with replacement.
      sampler: their distribution: "uniform", "popularity" (training interactions + 1) or
        "lambdafm" (p(r) ~ exp(-(r + 1) / (lambdafm_rho * N)) over popularity ranks r).
      lambdafm_rho: the smaller, the more popular the negatives; above 0.
      negatives_exclude: "seen": no item of the user's training interactions is a negative;
        "positive": only the example's own target item is spared, as in PeterRec's release.
      candidates: n, negatives beside the target item in `candidates` of validation and test
        batches; 0 for none.
    """

    negatives: int = 1
    sampler: str = "uniform"
    lambdafm_rho: float = 0.3
    negatives_exclude: str = "seen"
    candidates: int = 0

    def __post_init__(self) -> None:
        for field, allowed in (
            ("sampler", tuple(negative_sampling.SAMPLERS)),
            ("negatives_exclude", ("seen", "positive")),
        ):
            value = getattr(self, field)
            if value not in allowed:
                raise ValueError(
                    f"{field} must be one of {', '.join(allowed)}. Received: {value!r}."
                )
        if self.negatives < 1:
            raise ValueError(f"negatives must be at least 1. Received: {self.negatives}.")
        if self.candidates < 0:
            raise ValueError(f"candidates must not be negative. Received: {self.candidates}.")
        if not self.lambdafm_rho > 0:
            raise ValueError(f"lambdafm_rho must be above 0. Received: {self.lambdafm_rho}.")


class TargetItems:
    """One user's target items of one part, of each of which a record tells.

    Attributes:
      items: int64 [n], the user's target items of all parts, oldest first.
      chosen: int64 [k], which of them are of the part.
    """

    def __init__(self, history: UserHistory, part: int) -> None:
        """Collects the items of `part`."""
        self.items = history.items[history.is_target]
        parts = history.parts[history.is_target]
        self.chosen = np.flatnonzero(parts == part)
        self._history = history
        trained = np.unique(self.items[parts == TRAIN])
        self._training = part == TRAIN
        self._seen = trained if self._training else np.unique(self.items)
        self._cold = int(not len(trained))

    def source_ends(self, options: ExampleOptions) -> np.ndarray:
        """Returns, for each chosen item, how many source items precede it; int64 [k]."""
        history = self._history
        if options.source_history == "all":
            return np.full(len(self.chosen), np.count_nonzero(~history.is_target))
        times = history.timestamps[history.is_target][self.chosen]
        return np.searchsorted(history.timestamps[~history.is_target], times, side="left")

    def features(self, index: int) -> dict[str, Any]:
        """Returns what a record says of the target item `items[index]`.

        `seen_items` are distinct target ids that are never negatives: in training records the items
        of all the user's training interactions, in validation and test records the user's items of
        every part without this record's own. `cold` is 1 if the user has no training interaction
        in the target.
        """
        item = int(self.items[index])
        seen = self._seen if self._training else self._seen[self._seen != item]
        return {
            "user": self._history.user,
            "target_item": item,
            "seen_items": seen,
            "cold": self._cold,
        }


def check_target(view: str, roles: DomainRoles, options: ExampleOptions) -> None:
    """Raises DataError if the log has no target, or times that cannot be compared but should."""
    if not roles.target:
        raise DataError(f"view {view} needs a target domain: name it with --split.target.")
    compared = roles.sources and options.source_history == "before_target"
    if compared and not roles.comparable_times:
        raise DataError(
            "--examples.source_history=before_target compares times between domains, but these "
            "logs have no such times: use --examples.source_history=all."
        )


def target_item_entries(split: SplitRead, options: TargetItemOptions) -> Assemble:
    """Returns the function that makes these entries from the features of `TargetItems`.

    Raises:
      DataError: the catalogue is too small for the negatives or candidates, or the negatives that
        came with the data are too few.
    """
    draw = _training_entries if split.for_training else _evaluation_entries
    entries = draw(split, options)

    def assemble(records: Mapping[str, Any], seed: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"target_item": records["target_item"], **entries(records, seed)}

    return assemble


def _training_entries(split: SplitRead, options: TargetItemOptions) -> Assemble:
    target = split.vocabularies["target"]
    exclude_seen = options.negatives_exclude == "seen"
    excluded = split.longest["seen_items"] if exclude_seen else 1
    if target.size <= excluded:
        raise DataError(
            f"a training example excludes {excluded} of the {target.size} target items, so that it "
            "has no possible negative"
            + (": use negatives_exclude=positive." if exclude_seen else ".")
        )
    extra = (options.lambdafm_rho,) if options.sampler == "lambdafm" else ()
    weights = negative_sampling.SAMPLERS[options.sampler](target.counts, *extra)
    cumulative = tf.constant(np.cumsum(weights))

    def entries(records: Mapping[str, Any], seed: tf.Tensor) -> dict[str, tf.Tensor]:
        if exclude_seen:
            seen = records["seen_items"]
            # All rows of this process may be ones that only fill the batch up.
            spared = right_pad(seen, tf.maximum(seen.bounding_shape(axis=1), 1))
        else:
            spared = records["target_item"][:, tf.newaxis]
        bits = split.own(negative_sampling.random_bits(split.batch_size, options.negatives, seed))
        negatives = negative_sampling.draw_excluding(cumulative, spared, bits)
        return {"negative_items": tf.ensure_shape(negatives, [split.num_rows, options.negatives])}

    return entries


def _evaluation_entries(split: SplitRead, options: TargetItemOptions) -> Assemble:
    longest = split.longest["seen_items"]
    negatives = _candidate_negatives(split, options.candidates) if options.candidates else None

    def entries(records: Mapping[str, Any], seed: tf.Tensor) -> dict[str, tf.Tensor]:
        del seed  # What evaluation draws must not depend on the epoch or the place in the batch.
        seen = right_pad(records["seen_items"], max(1, longest))
        entries = {"seen_items": seen, "cold": records["cold"]}
        if negatives is not None:
            positive = records["target_item"][:, tf.newaxis]
            entries["candidates"] = tf.concat([positive, negatives(records, seen)], axis=1)
        return entries

    return entries


def _candidate_negatives(
    split: SplitRead, number: int
) -> Callable[[Mapping[str, Any], tf.Tensor], tf.Tensor]:
    """Returns the function from records and their padded seen items to int64 [B, number]."""
    items = split.vocabularies["target"].size
    longest = split.longest["seen_items"]
    given = split.longest.get("negatives", 0)
    if given:
        if number > given or split.empty["negatives"]:
            raise DataError(
                f"split {split.split} brings {given} negatives of its own for each interaction, "
                f"and for {split.empty['negatives']} of them none, but --evaluation.negatives asks "
                f"for {number}: lower it, or give every line of the file its negatives."
            )
        return lambda records, seen: right_pad(records["negatives"], number)
    if number > items - longest - 1:
        raise DataError(
            f"candidates={number} is too many: in split {split.split} a user has "
            f"taken {longest + 1} of the {items} target items, which leaves "
            f"{items - longest - 1} to draw from; lower --evaluation.negatives."
        )

    def draw(records: Mapping[str, Any], seen: tf.Tensor) -> tf.Tensor:
        example = records["user"] * 2**32 + records["target_item"]
        seeds = tf.stack([tf.fill([split.num_rows], np.int64(split.seed)), example], axis=1)
        spared = tf.concat([seen, records["target_item"][:, tf.newaxis]], axis=1)
        return negative_sampling.draw_distinct(items, spared, number, seeds)

    return draw
