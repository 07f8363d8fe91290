"""The views' rules once more, in plain Python: user by user, with lists of texts."""

import dataclasses
import itertools

import numpy as np

from data_pipelines.parts import REPEATED, TOO_FEW, TRAIN
from data_pipelines.splitting.user_draws import draw
from tests.data_pipelines.small_logs import rows_of


@dataclasses.dataclass
class Event:
    """An interaction that a run reads; `part` is None where it is a source's."""

    item: str
    time: int
    part: int | None
    negatives: list
    rating: float


@dataclasses.dataclass
class Person:
    """A user as a run sees him: what he did in the domains that have a role, oldest first."""

    events: list
    source_part: int
    held_out_from: float

    @property
    def trained(self):
        return {event.item for event in self.events if event.part == TRAIN}

    @property
    def taken(self):
        return {event.item for event in self.events if event.part is not None}


def people_of(split_log, roles, options):
    """Returns user -> Person; an item's name tells its domain."""
    log = split_log.log
    ratings = [0.0] * len(log.item) if log.ratings is None else log.ratings.tolist()
    rated = [(*row, rating) for row, rating in zip(rows_of(split_log), ratings, strict=True)]
    rows = {
        user: list(of_user) for user, of_user in itertools.groupby(rated, key=lambda row: row[0])
    }
    in_source = {
        user for user, of_user in rows.items() if any(row[2] in roles.sources for row in of_user)
    }

    def drawn(eligible, purpose, *shares):
        chosen = np.array([user in eligible for user in rows])
        ids = np.array(list(rows), object)
        return dict(zip(rows, draw(ids, chosen, options.seed, purpose, *shares), strict=True))

    half = options.cold_share / 2
    cold = {}
    for target in roles.targets:
        there = {user for user in in_source if any(row[2] == target for row in rows[user])}
        cold[target] = drawn(there, "cold", half, half)
    shares = options.source_validation_share, options.source_test_share
    source_parts = drawn(in_source, "source", *shares)
    given = {
        user: {row[4] for row in of_user if row[2] in roles.sources and row[4] < REPEATED}
        for user, of_user in rows.items()
    }
    if split_log.kind == "given" and set().union(*given.values()) - {TRAIN}:
        source_parts = {user: max(parts, default=TRAIN) for user, parts in given.items()}

    def label(user, row):
        _, _, domain, _, part, _, _ = row
        if domain not in roles.targets or part == REPEATED:
            return None
        if cold[domain][user] != TRAIN:
            return int(cold[domain][user])
        return None if part == TOO_FEW else part

    people = {}
    for user, of_user in rows.items():
        events = []
        held_out = [split_log.cut_times[0]] if split_log.cut_times else []
        for row in of_user:
            part = label(user, row)
            if part not in (None, TRAIN) and split_log.log.comparable_times:
                held_out.append(row[3])
            is_target = row[2] in roles.predicted and part is not None
            if is_target or row[2] in roles.sources:
                own = part if is_target else None
                events.append(Event(f"{row[2]}:{row[1]}", row[3], own, row[5], row[6]))
        first = min(held_out, default=float("inf"))
        people[user] = Person(events, int(source_parts[user]), first)
    return people


def windows(person, part, options, overlap, joint=False):
    """Windows of T + overlap items from the latest on, each `overlap` items into the one before.

    `joint` ones hold the target's items that train, too.
    """
    if person.source_part != part:
        return []
    read = (None, TRAIN) if joint else (None,)
    items = [
        event.item
        for event in person.events
        if event.part in read and event.time < person.held_out_from
    ]
    found = []
    while len(items) > 1:
        found.append(tuple(items[-options.max_length - overlap :]))
        items = items[: -options.max_length]
    return found


def transfer(person, part, options):
    """(history, event) for each label of the part; whole histories."""
    found = []
    for event in person.events:
        if event.part != part:
            continue
        history = [
            other.item
            for other in person.events
            if other.part is None and (options.source_history == "all" or other.time < event.time)
        ]
        if part != TRAIN or len(history) >= options.min_history:
            found.append((history, event))
    return found


def leave_one_out(person, part, options):
    """(history, own items of it, event) for each label of the part that has a history."""
    found = []
    for place, event in enumerate(person.events):
        if event.part != part:
            continue
        earlier = person.events[:place]
        own = [other for other in earlier if other.part is not None and other.part <= part]
        if options.source_history == "all":
            history = [other for other in person.events if other.part is None] + own
        else:
            history = [
                other
                for other in earlier
                if (other.time < event.time if other.part is None else other.part <= part)
            ]
        if history:
            found.append(([other.item for other in history], [other.item for other in own], event))
    return found


def latest_with_own(history, own, length, kept_own):
    """The latest `length` items of a history, `kept_own` of its own ones at least, in order."""
    own = set(own)
    own_places = [place for place, item in enumerate(history) if item in own]
    kept = set(own_places[-kept_own:])
    others = [place for place in range(len(history)) if place not in kept]
    room = length - len(kept)
    kept |= set(others[-room:] if room else [])
    return tuple(history[place] for place in sorted(kept))


def recent_items(person, part, options):
    """(event, history) for each label of the part; of who trains nothing, of sources alone."""
    before = {id(event): history for history, event in transfer(person, part, options)}
    whole = {id(event): history for history, _, event in leave_one_out(person, part, options)}
    histories = whole if person.trained else before
    return [(event, histories.get(id(event), [])) for event in person.events if event.part == part]


def training_histories(person, space, most):
    """What trains, oldest first; in space "source" what pre-training reads."""
    trained = [
        event.item
        for event in person.events
        if (
            event.part == TRAIN and space != "source"
            if event.part is not None
            else event.time < person.held_out_from
            and space != "target"
            and (space != "source" or person.source_part == TRAIN)
        )
    ]
    return trained[-most:]


def paired_behaviour(person, part, options):
    """(event, pool of source events, what was liked in the target, in the sources) for each label.

    Lists from the oldest on, as long as they are.
    """
    found = []
    for place, event in enumerate(person.events):
        if event.part != part:
            continue
        earlier = person.events[:place]
        own = [other for other in earlier if other.part is not None and other.part <= part]
        pool = [other for other in person.events if other.part is None]
        if options.behaviour_cutoff == "held_out":
            own = [other for other in person.events if other.part == TRAIN]
            before = person.held_out_from
        else:
            before = event.time
        if options.source_history == "before_target":
            pool = [other for other in pool if other.time < before]
        liked = (
            [other.item for other in behaviours if other.rating > options.positive_above]
            for behaviours in (own, pool)
        )
        found.append((event, pool, *liked))
    return found


def multi_domain_training(person):
    """The items, each with its domain before a colon, up to the first one that is held out."""
    sequence = []
    for event in person.events:
        if event.part not in (None, TRAIN):
            break
        if event.part == TRAIN or event.time < person.held_out_from:
            sequence.append(event.item)
    return sequence if len(sequence) > 1 else []


def multi_domain_evaluation(person, part):
    """(history, event) for each label of the part that has a history."""
    found = []
    for place, event in enumerate(person.events):
        if event.part != part:
            continue
        history = [
            other.item
            for other in person.events[:place]
            if other.part is None or other.part <= part
        ]
        if history:
            found.append((history, event))
    return found


def domain_of(item):
    return item.split(":")[0]
