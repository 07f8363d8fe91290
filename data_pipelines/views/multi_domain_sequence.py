"""View `multi_domain_sequence`: what a user did in all domains, in one order of time.

Training has an example for each user with at least two interactions that train: those before his
first held-out one in any of the run's targets. Each item of the sequence predicts the next one.
Evaluation has an example for each held-out interaction of the split with a history: the
interactions before it, in the order of the log, where times tie, too. None of a later part is among
them, so that validation never reads what tests. Only the last T items are read.

With `sequences=by_domain`, each domain has a sequence of its own, as if the others were not there,
D in all, and evaluation reads that of the held-out interaction's domain.

Items have ids of space `joint`, domains the numbers 1..D in the order of that space: the run's
targets, then its sources.

Batch:

| key | shape | dtype | |
| --- | --- | --- | --- |
| `items`, `domains` | [B, T], or [B, D, T] where training reads `by_domain` | int32 | oldest \
first, left-padded with 0 |
| training: `next_items`, `next_domains` | like `items` | int32 | what comes next, 0 at padding |
| training, if N > 0: `negative_items` | like `items`, and [N] | int32 | drawn anew in each \
epoch, never of the user's own, whatever their part; 0 at padding |
| else: `target_item`, `target_domain` | [B] | int32 | the held-out item |
| else: `seen_items` | [B, P] | int32 | what the user took in the targets besides `target_item`, \
among zeros; with `repeats=all` there is none |
| else: `cold` | [B] | int32 | 1 if the user has no training interaction in the target's domain |
| else, if candidates > 0: `candidates` | [B, 1+n] | int32 | the target item, then n distinct \
items that the user never took; the same in every epoch, whatever the batch size |
| else, if recent > 0: `recent_items` | [B, R] | int32 | the latest items of all domains before \
the target item, of a user who is cold in its domain those of the others, among zeros |
| `user` | [B] | int32 | user ids from 1 |
| `example_weight` | [B] | float32 | 1, or 0 for rows without a history: those that fill up the \
last batch, and users new in the domain where it alone is read |
"""

import dataclasses
import math
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from data_pipelines.errors import DataError
from data_pipelines.views import batching_checks, negative_sampling
from data_pipelines.views.domain_sequences import Domains, evaluation_cut, training_cut
from data_pipelines.views.example_batches import Assemble, Cut, Draws
from data_pipelines.views.example_options import ExampleOptions
from data_pipelines.views.items_left import ItemsNeeded
from data_pipelines.views.padding import latest, whole
from data_pipelines.views.roles import RoleRecords, Roles
from data_pipelines.views.target_items import seen_items
from data_pipelines.views.view import HistoryRead, View


@dataclasses.dataclass(frozen=True)
class Batching:
    """Which sequences are read, and what is drawn beside them.

    Attributes:
      sequences: "joint", one of all domains; "by_domain", one for each.
      negatives: N, items drawn for each position of a training sequence, with replacement; 0
        for none.
      negative_domains: where they are drawn: in the "own" domain of the next item, or in "all".
        Where a user took all items of a domain, those of all domains are drawn.
      candidates: n, items beside the target item in `candidates`; 0 for none.
      candidate_domains: where these are drawn: in the target item's "own" domain, or in "all" of
        the run's targets.
      recent: R, items of `recent_items` in evaluation; 0 for none.
      least_left: items that a user must leave for his rows of evaluation to be read, as
        `candidates` asks for as many; for the same rows to be read with candidates and without.
    """

    sequences: str = "joint"
    negatives: int = 1
    negative_domains: str = "own"
    candidates: int = 0
    candidate_domains: str = "own"
    recent: int = 0
    least_left: int = 0

    def __post_init__(self) -> None:
        batching_checks.check_choices(
            self,
            {
                "sequences": ("joint", "by_domain"),
                "negative_domains": ("own", "all"),
                "candidate_domains": ("own", "all"),
            },
        )
        numbers = ("negatives", "candidates", "recent", "least_left")
        batching_checks.check_not_negative(self, numbers)


class MultiDomainSequence(View):
    """Cuts and batches sequences over all domains; see the module's docstring."""

    name = "multi_domain_sequence"
    batching = Batching

    def check(self, roles: Roles, comparable_times: bool, options: ExampleOptions) -> None:
        """Raises DataError if there is no target, or times cannot be compared between domains."""
        del options
        if not roles.joint:
            raise DataError(
                f"view {self.name} needs the domains whose held-out interactions are predicted: "
                "name them with --target, or all of them by --target=all."
            )
        if not comparable_times:
            raise DataError(
                f"view {self.name} puts what a user did in all domains into one order of time, but "
                "these logs have no times that can be compared."
            )

    def needed(self, read: HistoryRead, batching: Batching) -> ItemsNeeded:
        """Says how many items must be left to a user; see `View.needed`."""
        of_all = batching.candidate_domains == "all"
        if read.for_training:
            least = int(batching.negatives > 0)
            enough = read.longest < read.spaces["joint"].size
        else:
            least = max(batching.candidates, batching.least_left)
            enough = all(
                most + least <= items for items, _, most in _targets_taken(read, of_all).values()
            )
        return ItemsNeeded() if enough else ItemsNeeded(least, of_all)

    def cut(self, records: RoleRecords, read: HistoryRead) -> Cut:
        """Cuts an example for each user (train) or each label of the split, if it has a history."""
        return (training_cut if read.for_training else evaluation_cut)(records, read)

    def assembler(self, read: HistoryRead, batching: Batching) -> Assemble:
        """Returns the function that pads sequences and draws negatives or candidates.

        Raises:
          DataError: every user leaves too little of a domain for the candidates.
        """
        return (_training if read.for_training else _evaluation)(read, batching)


def _training(read: HistoryRead, batching: Batching) -> Assemble:
    space, domains, length = read.spaces["joint"], Domains(read), read.options.max_length
    cumulative = tf.range(1, space.size + 1, dtype=tf.int64)
    joint = batching.sequences == "joint"
    shape = (length,) if joint else (domains.number, length)
    positions = math.prod(shape)
    name, prefix = ("sequence", "") if joint else ("by_domain", "domain_")

    def assemble(
        rows: Mapping[str, tf.Tensor], shared: Mapping[str, tf.Tensor], draws: Draws
    ) -> dict[str, tf.Tensor]:
        starts, ends = (tf.reshape(rows[f"{prefix}{edge}"], [-1]) for edge in ("start", "end"))
        # Of a sequence of one item nothing comes next.
        items, following = (
            tf.reshape(latest(shared[name], first_place, last, length), (-1, *shape))
            for first_place, last in (
                (starts, tf.maximum(ends - 1, starts)),
                (starts + 1, ends),
            )
        )
        next_domains = domains.of_items(following)
        entries = {
            "items": items,
            "domains": domains.of_items(items),
            "next_items": following,
            "next_domains": next_domains,
        }
        if not batching.negatives:
            return entries
        ranges = None
        if batching.negative_domains == "own":
            of_positions = tf.reshape(next_domains, (-1, positions))
            ranges = domains.ranges(tf.repeat(of_positions, batching.negatives, 1))
        number = positions * batching.negatives
        bits = draws.own(negative_sampling.random_bits(draws.batch_size, number, draws.seed))
        seen = whole(shared["seen"], rows["seen_start"], rows["seen_end"])
        drawn = negative_sampling.draw_excluding(cumulative, seen, bits, ranges)
        drawn = tf.reshape(drawn, (-1, *shape, batching.negatives))
        entries["negative_items"] = tf.where(following[..., tf.newaxis] > 0, drawn, 0)
        return entries

    return assemble


def _evaluation(read: HistoryRead, batching: Batching) -> Assemble:
    domains, length = Domains(read), read.options.max_length
    joint = batching.sequences == "joint"
    name, prefix = ("sequence", "") if joint else ("by_domain", "domain_")
    if batching.candidates:
        _check_candidates(read, batching)

    def assemble(
        rows: Mapping[str, tf.Tensor], shared: Mapping[str, tf.Tensor], draws: Draws
    ) -> dict[str, tf.Tensor]:
        del draws  # What evaluation draws must not depend on the epoch or the place in the batch.
        target = rows["target_item"]
        items = latest(shared[name], rows[f"{prefix}start"], rows[f"{prefix}end"], length)
        target_domain = domains.of_items(target)
        entries = {
            "items": items,
            "domains": domains.of_items(items),
            "target_item": target,
            "target_domain": target_domain,
            "seen_items": seen_items(rows, shared, read),
            "cold": rows["cold"],
            # A history without padding ends with an item.
            "example_weight": tf.cast(items[:, -1] > 0, tf.float32),
        }
        if batching.recent:
            recent = latest(shared["sequence"], rows["start"], rows["end"], batching.recent)
            is_own = domains.of_items(recent) == target_domain[:, tf.newaxis]
            is_cold = rows["cold"][:, tf.newaxis] == 1
            recent = tf.where(tf.logical_and(is_own, is_cold), tf.zeros_like(recent), recent)
            entries["recent_items"] = recent
        if batching.candidates:
            own = whole(shared["own"], rows["own_start"], rows["own_end"])
            ranges = domains.ranges(target_domain)
            if batching.candidate_domains == "all":
                ranges = tf.ones_like(target), tf.fill(tf.shape(target), _last_target(read))
            drawn = _draw_candidates(rows, own, ranges, read.seed, batching.candidates)
            entries["candidates"] = tf.concat([target[:, tf.newaxis], drawn], 1)
        return entries

    return assemble


def _last_target(read: HistoryRead) -> tf.Tensor:
    """The last id of a target's item; sources' follow."""
    return tf.constant(read.spaces["target"].size, tf.int64)


def _draw_candidates(
    rows: Mapping[str, tf.Tensor],
    own: tf.Tensor,
    ranges: tuple[tf.Tensor, tf.Tensor],
    seed: int,
    number: int,
) -> tf.Tensor:
    """Draws int64 [R, number], distinct ids of a range without the user's own.

    Args:
      rows: with `user` and `target_item`.
      own: int64 [R, P], the user's items, of any domain.
      ranges: the first and the last id, int64 [R] each.
      seed: of the candidates.
      number: of them.
    """
    before, last = ranges[0] - 1, ranges[1]
    seeds = negative_sampling.row_seeds(seed, rows["user"], rows["target_item"])
    within = tf.logical_and(own > before[:, tf.newaxis], own <= last[:, tf.newaxis])
    spared = tf.where(within, own - before[:, tf.newaxis], tf.zeros_like(own))
    drawn = negative_sampling.draw_distinct(last - before, spared, number, seeds)
    return drawn + before[:, tf.newaxis]


def _targets_taken(read: HistoryRead, of_all: bool) -> dict[str, tuple[int, int, int]]:
    """Gives the items of each target, or of all, and how many of them users have taken.

    Returns:
      By name, the number of items, and the least and the greatest number that a user with an
      example there has taken.
    """
    space = read.spaces["target"]
    if of_all:
        return {"all targets": (space.size, read.fewest_seen, read.most_seen)}
    names, sizes = space.items.domains, np.diff(space.items.starts)
    return {names[d]: (int(sizes[d]), *read.seen_by_domain[d].tolist()) for d in space.chosen}


def _check_candidates(read: HistoryRead, batching: Batching) -> None:
    """Raises DataError if to every user with an example of a domain too few of it are left."""
    of_all = batching.candidate_domains == "all"
    for name, (items, fewest, _) in _targets_taken(read, of_all).items():
        if batching.candidates > items - fewest:
            raise DataError(
                f"candidates={batching.candidates} is too many: in split {read.split} every user "
                f"has taken {fewest} or more of the {items} items of {name}, which leaves at most "
                f"{items - fewest} to draw from; lower --evaluation.negatives."
            )


VIEW = MultiDomainSequence()
