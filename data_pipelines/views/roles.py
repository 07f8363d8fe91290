"""What the domains of a data set are for in one run, and what follows for every interaction."""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from data_pipelines.errors import DataError
from data_pipelines.parts import REPEATED, TEST, TRAIN
from data_pipelines.views.user_records import UserRecords

NEVER = np.iinfo(np.int64).max
_NO_TARGET = -1


@dataclasses.dataclass(frozen=True)
class Roles:
    """Which domains are read and what for.

    Attributes:
      domains: of the data set, in its order.
      target: the one whose held-out interactions are predicted; "" for pre-training alone, and
        where the run has one model for all targets.
      sources: those whose histories are read besides, in the order of the data set.
      targets: all targets of the run. Pre-training on the sources, which all of them share, sees
        nothing of a user from the first interaction on that is held out in any of them.
      joint: whether one model predicts for all targets at once.
    """

    domains: tuple[str, ...]
    target: str
    sources: tuple[str, ...]
    targets: tuple[str, ...]
    joint: bool = False

    @property
    def predicted(self) -> tuple[str, ...]:
        """The domains whose held-out interactions are predicted, as far as there are any."""
        if self.joint:
            return self.targets
        return (self.target,) if self.target else ()

    def numbers(self, names: Sequence[str]) -> tuple[int, ...]:
        """Returns the places of domains in the data set."""
        return tuple(self.domains.index(name) for name in names)


def roles_of(
    domains: Sequence[str],
    targets: Sequence[str],
    sources: Sequence[str],
    shared: bool,
    joint: bool = False,
) -> tuple[Roles, ...]:
    """Gives domains their roles.

    Args:
      domains: of the data set.
      targets: names, or "all" alone; empty for pre-training on all domains.
      sources: names; empty for all others.
      shared: whether all targets share what is pre-trained on the sources. If not, each target has
        a training of its own, and all other domains are its sources, other targets among them.
      joint: whether one model predicts for all targets.

    Returns:
      The roles for each target, in the order in which they were named; for pre-training alone, one
      without a target; one for all where they are joint.

    Raises:
      DataError: a name is unknown, comes twice, or is a source and a target.
    """
    targets = list(domains) if list(targets) == ["all"] else list(targets)
    for flag, names in (("target", targets), ("sources", sources)):
        for name in names:
            if name not in domains:
                raise DataError(
                    f"--{flag}={name}: the data set has no such domain; it has "
                    f"{', '.join(domains)}."
                )
        if len(set(names)) < len(names):
            raise DataError(f"--{flag}={','.join(names)}: name each domain once.")
    both = [name for name in sources if name in targets]
    if both:
        raise DataError(
            f"--sources={','.join(sources)}: {both[0]} is a target; a domain is one or the other."
        )
    roles = []
    joint = joint and bool(targets)
    for target in [""] if joint else targets or [""]:
        together = tuple(targets) if shared or not target else (target,)
        chosen = sources or [name for name in domains if name not in together]
        ordered = tuple(name for name in domains if name in chosen)
        roles.append(Roles(tuple(domains), target, ordered, together, joint))
    return tuple(roles)


class Assignment(NamedTuple):
    """What is decided over all users of a data set, in a run.

    Attributes:
      roles: the domains'.
      drawn: int8 [targets, users + 1], by the run's targets and user ids: the part for which all
        that a user did in a target was drawn; TRAIN for others.
      source_parts: int8 [users + 1], the part of each user's source sequence.
      held_out_from: from this time on, no source interaction trains, whoever's it is; `NEVER` if
        parts do not depend on the time alone.
      comparable_times: whether a user's times can be compared between domains.
      sources_are_split: whether parts that came with the log divide users' source interactions, as
        one point in time does: from a user's first held-out one on, of a source too, nothing
        trains.
    """

    roles: Roles
    drawn: np.ndarray
    source_parts: np.ndarray
    held_out_from: int
    comparable_times: bool
    sources_are_split: bool = False


class RoleRecords(NamedTuple):
    """The interactions of some users with the domains that a run reads, and what each is there.

    Attributes:
      user: int64 [U], ids.
      splits: int64 [U + 1]; the user in row r has the interactions splits[r]:splits[r + 1].
      row: int64 [n], each interaction's row.
      items: int64 [n], ids of the data set.
      domains: int64 [n].
      times: int64 [n].
      is_target: bool [n]: a label in the target. All others are source interactions.
      parts: int64 [n], of target interactions their own, of others that of the user's sequence.
      ratings: float32 [n].
      before_held_out: bool [n], whether nothing of the user is held out up to this time.
      negatives: int64 [m], given negatives of any interactions.
      negative_starts: int64 [n]; an interaction has negatives[negative_starts:negative_ends].
      negative_ends: int64 [n].
    """

    user: tf.Tensor
    splits: tf.Tensor
    row: tf.Tensor
    items: tf.Tensor
    domains: tf.Tensor
    times: tf.Tensor
    is_target: tf.Tensor
    parts: tf.Tensor
    ratings: tf.Tensor
    before_held_out: tf.Tensor
    negatives: tf.Tensor
    negative_starts: tf.Tensor
    negative_ends: tf.Tensor

    @property
    def is_source(self) -> tf.Tensor:
        """Bool [n]."""
        return tf.logical_not(self.is_target)


def cast(records: UserRecords, assignment: Assignment) -> RoleRecords:
    """Gives every interaction its role and leaves those without one out.

    A user's repeated interactions in the target, and those of users with too few, have none.
    """
    roles, rows = assignment.roles, tf.size(records.user, tf.int64)
    row = tf.repeat(tf.range(rows), records.splits[1:] - records.splits[:-1])
    user = tf.gather(records.user, row)
    number_of_target = np.full(len(roles.domains), _NO_TARGET, np.int64)
    number_of_target[list(roles.numbers(roles.targets))] = np.arange(len(roles.targets))
    number = tf.gather(number_of_target, records.domains)
    parts = records.parts
    if roles.targets:
        place = tf.stack([tf.maximum(number, 0), user], axis=1)
        drawn = tf.cast(tf.gather_nd(tf.constant(assignment.drawn), place), tf.int64)
        own = tf.logical_or(drawn == TRAIN, parts == REPEATED)
        parts = tf.where(tf.logical_and(number >= 0, tf.logical_not(own)), drawn, parts)
    label = tf.logical_and(number >= 0, parts <= TEST)
    held_out_from = tf.fill([rows], tf.constant(assignment.held_out_from, tf.int64))
    in_role = np.zeros((2, len(roles.domains)), bool)
    in_role[0, list(roles.numbers(roles.sources))] = True
    in_role[1, list(roles.numbers(roles.predicted))] = True
    is_source = tf.gather(in_role[0], records.domains)
    if assignment.comparable_times:
        held_out = tf.logical_and(label, parts != TRAIN)
        if assignment.sources_are_split:
            of_source = tf.logical_and(records.parts != TRAIN, records.parts <= TEST)
            held_out = tf.logical_or(held_out, tf.logical_and(is_source, of_source))
        times = tf.where(held_out, records.times, NEVER)
        first = tf.math.unsorted_segment_min(times, row, rows)
        held_out_from = tf.minimum(held_out_from, first)
    before = records.times < tf.gather(held_out_from, row)
    is_target = tf.logical_and(label, tf.gather(in_role[1], records.domains))
    source_parts = tf.cast(tf.gather(tf.constant(assignment.source_parts), user), tf.int64)
    kept = tf.logical_or(is_target, is_source)
    places = places_of(kept)
    columns = {
        "row": row,
        "items": records.items,
        "domains": records.domains,
        "times": records.times,
        "is_target": is_target,
        "parts": tf.where(is_target, parts, source_parts),
        "ratings": records.ratings,
        "before_held_out": before,
        "negative_starts": records.negative_splits[:-1],
        "negative_ends": records.negative_splits[1:],
    }
    columns = {name: tf.gather(column, places) for name, column in columns.items()}
    counts = tf.math.unsorted_segment_sum(tf.cast(kept, tf.int64), row, rows)
    splits = tf.concat([[0], tf.cumsum(counts)], axis=0)
    return RoleRecords(user=records.user, splits=splits, negatives=records.negatives, **columns)


def places_of(chosen: tf.Tensor) -> tf.Tensor:
    """Returns int64 [k], where bool [n] holds; gathering from there costs less than a mask."""
    return tf.reshape(tf.where(chosen), [-1])


def first_of_ties(records: RoleRecords) -> tf.Tensor:
    """Returns int64 [n], for each interaction the first one of its user that has the same time."""
    row, times = records.row, records.times
    is_tied = tf.logical_and(row[1:] == row[:-1], times[1:] == times[:-1])
    begins = tf.concat([tf.ones([tf.minimum(tf.size(row), 1)], tf.bool), ~is_tied], 0)
    return tf.gather(places_of(begins), tf.cumsum(tf.cast(begins, tf.int64)) - 1)
