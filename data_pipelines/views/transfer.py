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
| `target_item` | [B] | int32 | target id |
| `user` | [B] | int32 | user ids from 1 |
| `example_weight` | [B] | float32 | 1, or 0 for the zero rows that fill up the last batch |
| training: `negative_items` | [B, N] | int32 | target ids drawn anew in each epoch |
| else: `seen_items` | [B, P] | int32 | padded with 0 at the end; P is fixed for the split |
| else: `cold` | [B] | int32 | 0 or 1 |
| else, if candidates > 0: `candidates` | [B, 1+n] | int32 | the target item, then n distinct \
items that the user never took; the same in every epoch, whatever the batch size |
"""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from data_pipelines import negative_sampling
from data_pipelines.errors import DataError
from data_pipelines.split_log import TRAIN, DomainRoles
from data_pipelines.user_histories import UserHistory
from data_pipelines.views.next_item import check_has_source
from data_pipelines.views.padding import left_pad, right_pad
from data_pipelines.views.view import Assemble, Example, ExampleOptions, SplitRead, View


@dataclasses.dataclass(frozen=True)
class Batching:
    """How contexts are framed and negatives are drawn.

    Attributes:
      cls: where the CLS token goes. "last": behind the history, for causal models; "both": before
        and behind it, for models that look both ways.
      negatives: N, negatives per training example, drawn with replacement.
      sampler: their distribution: "uniform", "popularity" (training interactions + 1) or
        "lambdafm" (p(r) ~ exp(-(r + 1) / (lambdafm_rho * N)) over popularity ranks r).
      lambdafm_rho: the smaller, the more popular the negatives; above 0.
      negatives_exclude: "seen": no item of the user's training interactions is a negative;
        "positive": only the example's own target item is spared, as in PeterRec's release.
      candidates: n, negatives beside the target item in `candidates` of validation and test
        batches; 0 for none.
    """

    cls: str = "last"
    negatives: int = 1
    sampler: str = "uniform"
    lambdafm_rho: float = 0.3
    negatives_exclude: str = "seen"
    candidates: int = 0

    def __post_init__(self) -> None:
        for field, allowed in (
            ("cls", ("last", "both")),
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


class Transfer(View):
    """Cuts and batches pairs of source history and target item; see the module's docstring."""

    name = "transfer"
    scalars = ("user", "target_item", "cold")
    sequences = ("source_history", "seen_items")
    batching = Batching

    def check(self, roles: DomainRoles, options: ExampleOptions) -> None:
        """Raises DataError if a domain is missing or times cannot be compared."""
        if not roles.target:
            raise DataError("view transfer needs a target domain: name it with --split.target.")
        check_has_source(self.name, roles)
        if options.source_history == "before_target" and not roles.comparable_times:
            raise DataError(
                "--examples.source_history=before_target compares times between domains, but these "
                "logs have no such times: use --examples.source_history=all."
            )

    def examples(
        self, history: UserHistory, part: int, options: ExampleOptions
    ) -> Iterator[Example]:
        """Cuts one example per target interaction of the part; see `ExampleOptions`."""
        targets = history.items[history.is_target]
        parts = history.parts[history.is_target]
        chosen = np.flatnonzero(parts == part)
        if not len(chosen):
            return
        sources = history.items[~history.is_target]
        ends = np.full(len(chosen), len(sources))
        if options.source_history == "before_target":
            times = history.timestamps[history.is_target][chosen]
            ends = np.searchsorted(history.timestamps[~history.is_target], times, side="left")
        trained = np.unique(targets[parts == TRAIN])
        seen = trained if part == TRAIN else np.unique(targets)
        cold = int(not len(trained))
        for target, end in zip(targets[chosen].tolist(), ends.tolist(), strict=True):
            if part == TRAIN and end < options.min_history:
                continue
            yield {
                "user": history.user,
                "source_history": sources[max(0, end - options.max_length) : end],
                "target_item": target,
                "seen_items": seen if part == TRAIN else seen[seen != target],
                "cold": cold,
            }

    def assembler(self, split: SplitRead, batching: Batching) -> Assemble:
        """Returns the function that frames the contexts and draws the negatives."""
        cls_id = split.vocabularies["source"].cls_id
        draw = _training_entries if split.training else _evaluation_entries
        entries = draw(split, batching)

        def assemble(records: Mapping[str, Any], seed: tf.Tensor) -> dict[str, tf.Tensor]:
            history = left_pad(records["source_history"], split.max_length)
            cls = tf.fill([split.num_rows, 1], tf.constant(cls_id, tf.int64))
            before = [cls] if batching.cls == "both" else []
            return {
                "context": tf.concat([*before, history, cls], axis=1),
                "target_item": records["target_item"],
                **entries(records, seed),
            }

        return assemble


def _training_entries(split: SplitRead, batching: Batching) -> Assemble:
    target = split.vocabularies["target"]
    exclude_seen = batching.negatives_exclude == "seen"
    excluded = split.longest["seen_items"] if exclude_seen else 1
    if target.size <= excluded:
        raise DataError(
            f"a training example excludes {excluded} of the {target.size} target items, so that it "
            "has no possible negative"
            + (": use negatives_exclude=positive." if exclude_seen else ".")
        )
    extra = (batching.lambdafm_rho,) if batching.sampler == "lambdafm" else ()
    weights = negative_sampling.SAMPLERS[batching.sampler](target.counts, *extra)
    cumulative = tf.constant(np.cumsum(weights))

    def entries(records: Mapping[str, Any], seed: tf.Tensor) -> dict[str, tf.Tensor]:
        if exclude_seen:
            seen = records["seen_items"]
            # All rows of this process may be ones that only fill the batch up.
            spared = right_pad(seen, tf.maximum(seen.bounding_shape(axis=1), 1))
        else:
            spared = records["target_item"][:, tf.newaxis]
        bits = split.own(negative_sampling.random_bits(split.batch_size, batching.negatives, seed))
        negatives = negative_sampling.draw_excluding(cumulative, spared, bits)
        return {"negative_items": tf.ensure_shape(negatives, [split.num_rows, batching.negatives])}

    return entries


def _evaluation_entries(split: SplitRead, batching: Batching) -> Assemble:
    items = split.vocabularies["target"].size
    longest = split.longest["seen_items"]
    if batching.candidates > items - longest - 1:
        raise DataError(
            f"candidates={batching.candidates} is too many: in split {split.split} a user has "
            f"taken {longest + 1} of the {items} target items, which leaves "
            f"{items - longest - 1} to draw from; lower --evaluation.negatives."
        )

    def entries(records: Mapping[str, Any], seed: tf.Tensor) -> dict[str, tf.Tensor]:
        del seed  # What evaluation draws must not depend on the epoch or the place in the batch.
        seen = right_pad(records["seen_items"], max(1, longest))
        entries = {"seen_items": seen, "cold": records["cold"]}
        if batching.candidates:
            positive = records["target_item"][:, tf.newaxis]
            example = records["user"] * 2**32 + records["target_item"]
            seeds = tf.stack([tf.fill([split.num_rows], np.int64(split.seed)), example], axis=1)
            negatives = negative_sampling.draw_distinct(
                items, tf.concat([seen, positive], axis=1), batching.candidates, seeds
            )
            entries["candidates"] = tf.concat([positive, negatives], axis=1)
        return entries

    return entries


VIEW = Transfer()
