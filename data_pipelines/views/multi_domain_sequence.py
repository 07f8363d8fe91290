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
from data_pipelines.parts import TRAIN
from data_pipelines.views import negative_sampling
from data_pipelines.views.example_batches import Assemble, Cut, Draws
from data_pipelines.views.example_options import ExampleOptions
from data_pipelines.views.padding import first, latest, whole
from data_pipelines.views.roles import RoleRecords, Roles, places_of
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
    """

    sequences: str = "joint"
    negatives: int = 1
    negative_domains: str = "own"
    candidates: int = 0
    candidate_domains: str = "own"
    recent: int = 0

    def __post_init__(self) -> None:
        for field, allowed in (
            ("sequences", ("joint", "by_domain")),
            ("negative_domains", ("own", "all")),
            ("candidate_domains", ("own", "all")),
        ):
            value = getattr(self, field)
            if value not in allowed:
                raise ValueError(
                    f"{field} must be one of {', '.join(allowed)}. Received: {value!r}."
                )
        for field in ("negatives", "candidates", "recent"):
            value = getattr(self, field)
            if value < 0:
                raise ValueError(f"{field} must not be negative. Received: {value}.")


class _Domains:
    """The domains of space `joint`, numbered from 1 in its order.

    Attributes:
      number: D.
      bounds: int64 [D + 1], how many items there are up to each domain; its ids follow.
    """

    def __init__(self, read: HistoryRead) -> None:
        space = read.spaces["joint"]
        sizes = np.diff(space.items.starts)
        self.number = len(space.chosen)
        self.bounds = np.cumsum([0, *(sizes[domain] for domain in space.chosen)])
        self._numbers = np.zeros(len(sizes), np.int64)
        self._numbers[list(space.chosen)] = np.arange(1, self.number + 1)

    def of_records(self, records: RoleRecords) -> tf.Tensor:
        """Returns int64 [n], the domain of each interaction."""
        return tf.gather(tf.constant(self._numbers), records.domains)

    def of_items(self, items: tf.Tensor) -> tf.Tensor:
        """Returns the domains of ids, int64 of any shape; 0 for padding."""
        flat = tf.searchsorted(self.bounds, tf.reshape(items, [-1]), out_type=tf.int64)
        return tf.reshape(flat, tf.shape(items))

    def ranges(self, domains: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the first and the last id of domains; 1 and 0 for none."""
        bounds = tf.constant(self.bounds)
        return tf.gather(bounds, tf.maximum(domains - 1, 0)) + 1, tf.gather(bounds, domains)


class _ByDomain:
    """Chosen interactions of users, each user's domain by domain.

    Attributes:
      places: int64 [k], where these are among the records, domain by domain.
      starts: int64 [U, D], the first of each user's in each domain, as a place of `places`.
      ends: int64 [U, D].
    """

    def __init__(self, records: RoleRecords, chosen: tf.Tensor, domains: _Domains) -> None:
        rows, number = tf.size(records.user, tf.int64), domains.number
        self._group = records.row * number + domains.of_records(records) - 1
        order = tf.cast(tf.argsort(self._group, stable=True), tf.int64)
        is_chosen = tf.gather(chosen, order)
        self.places = tf.gather(order, places_of(is_chosen))
        before = tf.concat([[0], tf.cumsum(tf.cast(is_chosen, tf.int64))], 0)
        sizes = tf.math.unsorted_segment_sum(tf.ones_like(self._group), self._group, rows * number)
        ends = tf.cumsum(sizes)
        self.starts, self.ends = (
            tf.reshape(tf.gather(before, edge), [rows, number]) for edge in (ends - sizes, ends)
        )
        self._before = tf.gather(before, tf.math.invert_permutation(order))

    def ends_before(self, places: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns where the user's own of the domain begin, and end before records at places."""
        starts = tf.gather(tf.reshape(self.starts, [-1]), tf.gather(self._group, places))
        return starts, tf.gather(self._before, places)


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

    def cut(self, records: RoleRecords, read: HistoryRead) -> Cut:
        """Cuts an example for each user (train) or each label of the split, if it has a history."""
        return (_training_cut if read.for_training else _evaluation_cut)(records, read)

    def assembler(self, read: HistoryRead, batching: Batching) -> Assemble:
        """Returns the function that pads sequences and draws negatives or candidates.

        Raises:
          DataError: a domain is too small for the negatives or candidates.
        """
        return (_training if read.for_training else _evaluation)(read, batching)


def _training_cut(records: RoleRecords, read: HistoryRead) -> Cut:
    n, rows = tf.size(records.row, tf.int64), tf.size(records.user, tf.int64)
    places = tf.range(n)
    held_out = tf.logical_and(records.is_target, records.parts != TRAIN)
    first_held_out = tf.math.unsorted_segment_min(tf.where(held_out, places, n), records.row, rows)
    # Sources have no parts of their own here; a global time, if there is one, ends them, too.
    trains = tf.logical_or(records.is_target, records.before_held_out)
    chosen = tf.logical_and(trains, places < tf.gather(first_held_out, records.row))
    ids = read.ids("joint", records)
    lengths = tf.math.unsorted_segment_sum(tf.cast(chosen, tf.int64), records.row, rows)
    ends = tf.cumsum(lengths)
    by_domain = _ByDomain(records, chosen, _Domains(read))
    examples = {
        "user": records.user,
        "start": ends - lengths,
        "end": ends,
        "domain_start": by_domain.starts,
        "domain_end": by_domain.ends,
        "seen_start": records.splits[:-1],
        "seen_end": records.splits[1:],
    }
    enough = places_of(lengths > 1)
    return Cut(
        {name: tf.gather(column, enough) for name, column in examples.items()},
        {
            "sequence": tf.gather(ids, places_of(chosen)),
            "by_domain": tf.gather(ids, by_domain.places),
            "seen": ids,
        },
    )


def _evaluation_cut(records: RoleRecords, read: HistoryRead) -> Cut:
    rows, domains = tf.size(records.user, tf.int64), _Domains(read)
    labels = places_of(tf.logical_and(records.is_target, records.parts == read.part))
    readable = tf.logical_or(records.is_source, records.parts <= read.part)
    before = tf.concat([[0], tf.cumsum(tf.cast(readable, tf.int64))], 0)
    row = tf.gather(records.row, labels)
    ids = read.ids("joint", records)
    by_domain = _ByDomain(records, readable, domains)
    own_start, own_end = by_domain.ends_before(labels)
    # Cold is who has nothing in the label's domain that trains.
    group = records.row * domains.number + domains.of_records(records) - 1
    trains = tf.logical_and(records.is_target, records.parts == TRAIN)
    trained = tf.math.unsorted_segment_sum(tf.cast(trains, tf.int64), group, rows * domains.number)
    is_target = tf.cast(records.is_target, tf.int64)
    taken = tf.math.unsorted_segment_sum(is_target, records.row, rows)
    seen_ends = tf.cumsum(taken)
    examples = {
        "user": tf.gather(records.user, row),
        "target_item": tf.gather(ids, labels),
        "cold": tf.cast(tf.gather(trained, tf.gather(group, labels)) == 0, tf.int64),
        "start": tf.gather(before, tf.gather(records.splits, row)),
        "end": tf.gather(before, labels),
        "domain_start": own_start,
        "domain_end": own_end,
        "seen_start": tf.gather(seen_ends - taken, row),
        "seen_end": tf.gather(seen_ends, row),
        "own_start": tf.gather(records.splits, row),
        "own_end": tf.gather(records.splits, row + 1),
    }
    enough = places_of(examples["end"] > examples["start"])
    return Cut(
        {name: tf.gather(column, enough) for name, column in examples.items()},
        {
            "sequence": tf.gather(ids, places_of(readable)),
            "by_domain": tf.gather(ids, by_domain.places),
            "seen": tf.gather(ids, places_of(records.is_target)),
            "own": ids,
        },
    )


def _training(read: HistoryRead, batching: Batching) -> Assemble:
    space, domains, length = read.spaces["joint"], _Domains(read), read.options.max_length
    if batching.negatives and space.size <= read.most_seen:
        raise DataError(
            f"a user has taken {read.most_seen} of the {space.size} items, which leaves none for a "
            "negative."
        )
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
    domains, length = _Domains(read), read.options.max_length
    width = max(1, read.most_seen)
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
        if read.excludes_seen:
            seen = first(shared["seen"], rows["seen_start"], rows["seen_end"], width)
            seen = tf.where(seen == target[:, tf.newaxis], tf.zeros_like(seen), seen)
        else:
            seen = tf.zeros([tf.size(target), width], tf.int64)
        target_domain = domains.of_items(target)
        entries = {
            "items": items,
            "domains": domains.of_items(items),
            "target_item": target,
            "target_domain": target_domain,
            "seen_items": seen,
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
    example = rows["user"] * 2**32 + rows["target_item"]
    seeds = tf.stack([tf.fill(tf.shape(example), np.int64(seed)), example], axis=1)
    within = tf.logical_and(own > before[:, tf.newaxis], own <= last[:, tf.newaxis])
    spared = tf.where(within, own - before[:, tf.newaxis], tf.zeros_like(own))
    drawn = negative_sampling.draw_distinct(last - before, spared, number, seeds)
    return drawn + before[:, tf.newaxis]


def _check_candidates(read: HistoryRead, batching: Batching) -> None:
    """Raises DataError if a domain is too small for so many candidates."""
    space = read.spaces["target"]
    names, sizes = space.items.domains, np.diff(space.items.starts)
    if batching.candidate_domains == "all":
        named = {"all targets": (space.size, read.most_seen)}
    else:
        seen = read.most_seen_by_domain
        named = {names[d]: (int(sizes[d]), int(seen[d])) for d in space.chosen}
    for name, (items, seen) in named.items():
        if batching.candidates > items - seen:
            raise DataError(
                f"candidates={batching.candidates} is too many: in split {read.split} a user has "
                f"taken {seen} of the {items} items of {name}, which leaves {items - seen} to draw "
                "from; lower --evaluation.negatives."
            )


VIEW = MultiDomainSequence()
