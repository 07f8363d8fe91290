"""What a split is asked for, and what it gives."""

import dataclasses
from collections.abc import Mapping

import pandas as pd

from data_pipelines.errors import DataError

KINDS = ("leave_one_out", "ratio", "user", "given")
TRAIN, VALIDATION, TEST = range(3)  # positions in PARTS


@dataclasses.dataclass(frozen=True)
class SplitOptions:
    """How a log is split.

    Attributes:
      target: the target domain; all others are sources. Empty: every domain is a source, for
        pre-training only.
      kind: how target interactions are split. leave_one_out: of each user the last one tests, the
        last but one validates, the others train; users with fewer than 3 are dropped from the
        target. ratio: of each user the last test_share test, the validation_share before them
        validate. user: validation_share and test_share of the target's users are held out
        with all their target interactions. given: the log's part column.
      validation_share: for ratio and user, the share that validates.
      test_share: for ratio and user, the share that tests.
      cold_share: for leave_one_out and ratio, the share of the users with source and target
        interactions of whom all target interactions are held out, one half of these users
        validating, the other testing. They are cold in the target.
      source_validation_share: share of users whose source interactions validate pre-training.
      source_test_share: share of users whose source interactions test pre-training.
      min_user_interactions: users with fewer interactions in a domain leave that domain.
      min_item_interactions: items with fewer interactions leave the log.
      seed: of the draws of users.
    """

    target: str = ""
    kind: str = "leave_one_out"
    validation_share: float = 0.1
    test_share: float = 0.1
    cold_share: float = 0.0
    source_validation_share: float = 0.05
    source_test_share: float = 0.05
    min_user_interactions: int = 1
    min_item_interactions: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise DataError(f"kind {self.kind!r}: use {', '.join(KINDS)}.")
        pairs = [
            ("validation_share", "test_share"),
            ("source_validation_share", "source_test_share"),
        ]
        for name in (*pairs[0], *pairs[1], "cold_share"):
            if not 0 <= getattr(self, name) < 1:
                raise DataError(f"{name} is {getattr(self, name)}: it must be in [0, 1).")
        for first, second in pairs:
            if getattr(self, first) + getattr(self, second) >= 1:
                raise DataError(f"{first} and {second} leave nothing to train on: lower them.")
        for name in ("min_user_interactions", "min_item_interactions"):
            if getattr(self, name) < 1:
                raise DataError(f"{name} is {getattr(self, name)}: it must be at least 1.")
        if self.cold_share and self.kind in ("user", "given"):
            raise DataError(f"cold_share has no meaning with kind {self.kind}: leave it out.")
        defaults = SplitOptions.__dataclass_fields__
        if self.kind in ("leave_one_out", "given"):
            for name in pairs[0]:
                if getattr(self, name) != defaults[name].default:
                    raise DataError(f"{name} has no meaning with kind {self.kind}: leave it out.")


@dataclasses.dataclass(frozen=True)
class DomainRoles:
    """Which domains a log has and what they are for.

    Attributes:
      domains: all domains, in the log's order.
      target: the target domain, or "".
      comparable_times: as in the log.
    """

    domains: tuple[str, ...]
    target: str
    comparable_times: bool

    @property
    def sources(self) -> tuple[str, ...]:
        """The domains that are not the target, in the log's order."""
        return tuple(name for name in self.domains if name != self.target)

    @property
    def target_number(self) -> int:
        """Place of the target among the domains, -1 if there is none."""
        return self.domains.index(self.target) if self.target else -1


@dataclasses.dataclass(frozen=True)
class SplitLog(DomainRoles):
    """A log, or all interactions of some of its users, with a part for every interaction.

    Attributes:
      interactions: the log's columns and `part` (train, validation or test), sorted by user_id,
        then timestamp; equal timestamps keep their order in the file. Source rows carry the part
        of their user's source sequence, the same in all source domains.
      dropped: what -> how many, for the summary.
    """

    interactions: pd.DataFrame
    dropped: Mapping[str, int]
