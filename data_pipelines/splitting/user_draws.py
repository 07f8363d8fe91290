"""Seeded draws of users: whose interactions are held out as a whole.

A draw takes the users with the smallest keyed hash of (seed, purpose, user id): it does not depend
on the order of rows, nor on the machine, and the number drawn is exact.
"""

import hashlib
from typing import NamedTuple

import numpy as np

from data_pipelines.splitting.split_log import TEST, VALIDATION, SplitOptions


class Census(NamedTuple):
    """Where users have interactions.

    Attributes:
      user_ids: str [users], distinct.
      in_source: bool [users], whether the user has any in the source domains.
      in_target: bool [users], whether the user has any in the target.
      sources_given: whether the log itself holds source interactions out, so that nobody is drawn
        for that.
    """

    user_ids: np.ndarray
    in_source: np.ndarray
    in_target: np.ndarray
    sources_given: bool


class Drawn(NamedTuple):
    """The part that each user was drawn for, TRAIN for users that were not.

    Attributes:
      target: int8 [users], for all of the user's target interactions.
      source: int8 [users], for all of the user's source interactions; None where the log says it.
    """

    target: np.ndarray
    source: np.ndarray | None


def draw(census: Census, options: SplitOptions) -> Drawn:
    """Draws the users to hold out, all of the log being in the census."""
    if options.kind == "user":
        shares = options.validation_share, options.test_share
        target = _draw(census.user_ids, census.in_target, options.seed, "user", *shares)
    else:  # `given` has no cold_share: nobody is drawn.
        both, half = census.in_source & census.in_target, options.cold_share / 2
        target = _draw(census.user_ids, both, options.seed, "cold", half, half)
    if census.sources_given:
        return Drawn(target, None)
    shares = options.source_validation_share, options.source_test_share
    source = _draw(census.user_ids, census.in_source, options.seed, "source", *shares)
    return Drawn(target, source)


def _draw(
    user_ids: np.ndarray,
    eligible: np.ndarray,
    seed: int,
    purpose: str,
    validation: float,
    test: float,
) -> np.ndarray:
    """int8 [users]: VALIDATION and TEST for round(share * number) of the eligible, 0 for others."""
    part = np.zeros(len(user_ids), np.int8)
    if not validation and not test:
        return part
    users = np.flatnonzero(eligible)
    ids = user_ids[users]
    prefix = f"{seed}\t{purpose}\t"
    keys = np.fromiter((_hash(prefix + user) for user in ids), np.uint64, len(ids))
    order = np.argsort(keys, kind="stable")
    if len(keys) > 1 and not np.diff(keys[order]).all():  # Equal hashes: the ids decide.
        order = np.lexsort((np.argsort(np.argsort(ids)), keys))
    ends = np.floor(np.cumsum([validation, test]) * len(users) + 0.5).astype(np.int64)
    part[users[order[: ends[0]]]] = VALIDATION
    part[users[order[ends[0] : ends[1]]]] = TEST
    return part


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")
