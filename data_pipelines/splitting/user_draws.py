"""Seeded draws of users: whose interactions are held out as a whole.

A draw takes the users with the smallest keyed hash of (seed, purpose, user id): it does not depend
on the order of rows, nor on the machine, and the number drawn is exact.
"""

import hashlib

import numpy as np

from data_pipelines.parts import TEST, VALIDATION


def draw(
    user_ids: np.ndarray,
    eligible: np.ndarray,
    seed: int,
    purpose: str,
    validation: float,
    test: float,
) -> np.ndarray:
    """Draws users.

    Args:
      user_ids: str [users], distinct.
      eligible: bool [users], who can be drawn.
      seed: decides who is.
      purpose: draws of different purposes are independent.
      validation: share of the eligible that validates.
      test: share that tests.

    Returns:
      int8 [users]: VALIDATION and TEST for round(share * number) of the eligible, TRAIN for others.
    """
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
