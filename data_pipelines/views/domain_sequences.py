"""Where the sequences of users over several domains lie in their records.

See view `multi_domain_sequence`.
"""

import numpy as np
import tensorflow as tf

from data_pipelines.parts import TRAIN
from data_pipelines.views.example_batches import Cut
from data_pipelines.views.items_left import LEFT, distinct_items
from data_pipelines.views.roles import RoleRecords, places_of
from data_pipelines.views.view import HistoryRead


class Domains:
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

    def __init__(self, records: RoleRecords, chosen: tf.Tensor, domains: Domains) -> None:
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


def training_cut(records: RoleRecords, read: HistoryRead) -> Cut:
    """Cuts an example for each user with at least two interactions that train."""
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
    by_domain = _ByDomain(records, chosen, Domains(read))
    examples = {
        "user": records.user,
        "start": ends - lengths,
        "end": ends,
        "domain_start": by_domain.starts,
        "domain_end": by_domain.ends,
        "seen_start": records.splits[:-1],
        "seen_end": records.splits[1:],
    }
    if read.needed.least:
        everything = tf.ones_like(chosen)
        taken = distinct_items(records, everything, records.row, rows)
        examples[LEFT] = read.spaces["joint"].size - taken
    enough = places_of(lengths > 1)
    return Cut(
        {name: tf.gather(column, enough) for name, column in examples.items()},
        {
            "sequence": tf.gather(ids, places_of(chosen)),
            "by_domain": tf.gather(ids, by_domain.places),
            "seen": ids,
        },
    )


def evaluation_cut(records: RoleRecords, read: HistoryRead) -> Cut:
    """Cuts an example for each label of the split with a history."""
    rows, domains = tf.size(records.user, tf.int64), Domains(read)
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
    if read.needed.least:
        if read.needed.of_all:
            taken = distinct_items(records, records.is_target, records.row, rows)
            examples[LEFT] = read.spaces["target"].size - tf.gather(taken, row)
        else:
            taken = distinct_items(records, records.is_target, group, rows * domains.number)
            own = tf.gather(tf.constant(np.diff(domains.bounds)), domains.of_records(records) - 1)
            examples[LEFT] = tf.gather(own, labels) - tf.gather(taken, tf.gather(group, labels))
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
