"""What a split is asked for, and the parts that it gives."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from data_pipelines.coding.coded_log import CodedLog
from data_pipelines.errors import DataError

KINDS = ("leave_one_out", "last_of_all", "ratio", "user", "time", "given")
# Users with fewer interactions are TOO_FEW where the last one tests and the one before validates.
FEWEST = 3
_SHARED_KINDS = ("ratio", "user", "time")


@dataclasses.dataclass(frozen=True)
class SplitOptions:
    """How the interactions of every domain are split, so that each domain can be a target.

    Attributes:
      kind: leave_one_out: of a user's interactions in a domain the last one tests, the last but one
        validates, the others train; a user with fewer than 3 in a domain is nobody to test there.
        last_of_all: the same for the user's whole sequence, whatever the domains in it. ratio: of a
        user's interactions in a domain the last test_share test, the validation_share before them
        validate. user: validation_share and test_share of a domain's users are held out with all
        that they did in it. time: what happens from a time on validates, from a later time on
        tests, for all users alike. given: the log's part column.
      validation_share: for ratio, user and time, the share that validates.
      test_share: for ratio, user and time, the share that tests.
      cut_times: for time, the first times of validation and of test, such as 1356998400,1388534400,
        in the log's unit, which is seconds unless some times have fractions; empty for those that
        leave the shares of the log.
      repeats: what a user's later interactions with the same item are. first: no labels, only
        sources' history; an item that a user has taken is no candidate again. all: interactions
        like any other; since an item may come again, none is left out of the catalogue that a
        held-out one is ranked in.
      max_user_interactions: of a user with more interactions in a domain the latest so many are
        kept; 0 keeps all.
      min_user_interactions: users with fewer interactions in a domain leave that domain.
      min_item_interactions: items with fewer interactions leave the log.
      seed: of the draw of users.
    """

    kind: str = "leave_one_out"
    validation_share: float = 0.1
    test_share: float = 0.1
    cut_times: tuple[int, ...] = ()
    repeats: str = "first"
    max_user_interactions: int = 0
    min_user_interactions: int = 1
    min_item_interactions: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        for name, allowed in (("kind", KINDS), ("repeats", ("first", "all"))):
            if getattr(self, name) not in allowed:
                raise DataError(f"{name} {getattr(self, name)!r}: use {', '.join(allowed)}.")
        shares = ("validation_share", "test_share")
        check_shares(self, *shares)
        for name in ("min_user_interactions", "min_item_interactions"):
            if getattr(self, name) < 1:
                raise DataError(f"{name} is {getattr(self, name)}: it must be at least 1.")
        if self.max_user_interactions < 0:
            raise DataError(
                f"max_user_interactions is {self.max_user_interactions}: it must not be negative."
            )
        if self.kind not in _SHARED_KINDS or self.cut_times:
            for name in shares:
                if getattr(self, name) != type(self).__dataclass_fields__[name].default:
                    reason = "cut_times" if self.cut_times else f"kind {self.kind}"
                    raise DataError(f"{name} has no meaning with {reason}: leave it out.")
        if self.cut_times and self.kind != "time":
            raise DataError(f"cut_times have no meaning with kind {self.kind}: leave them out.")
        if self.cut_times and (len(self.cut_times) != 2 or np.diff(self.cut_times)[0] < 0):
            raise DataError(
                f"cut_times are {', '.join(map(str, self.cut_times))}: give two, the first time of "
                "validation and, not before it, the first of test."
            )


def check_shares(options: object, first: str, second: str) -> None:
    """Raises DataError unless two attributes are shares that leave something to train on."""
    for name in (first, second):
        if not 0 <= getattr(options, name) < 1:
            raise DataError(f"{name} is {getattr(options, name)}: it must be in [0, 1).")
    if getattr(options, first) + getattr(options, second) >= 1:
        raise DataError(f"{first} and {second} leave nothing to train on: lower them.")


@dataclasses.dataclass(frozen=True, eq=False)
class SplitLog:
    """A log, or all interactions of some of its users, with a part for every interaction.

    Attributes:
      log: the interactions.
      parts: int8 [n], what each is where its domain is the target; see `parts`.
      kind: as in `SplitOptions`.
      repeats: as in `SplitOptions`.
      cut_times: of kind time, where validation and test begin; else empty.
      dropped: what -> how many, for the summary.
      notes: of the log's reader, for the summary.
      time_unit: as in the log.
    """

    log: CodedLog
    parts: np.ndarray
    kind: str
    repeats: str
    cut_times: tuple[int, ...]
    dropped: Mapping[str, int]
    notes: tuple[str, ...] = ()
    time_unit: str = "s"
