"""What a split is asked for, what it gives, and how it is shown."""

import dataclasses
from collections.abc import Mapping

import numpy as np
import pandas as pd

from data_pipelines.errors import DataError
from data_pipelines.logs import PARTS

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
class SplitLog:
    """A log with a part for every interaction.

    Attributes:
      interactions: the log's columns and `part` (train, validation or test), sorted by user_id,
        then timestamp; equal timestamps keep their order in the file. Source rows carry the part
        of their user's source sequence, the same in all source domains.
      domains: all domains, in the log's order.
      target: the target domain, or "".
      sources: the other domains, in the log's order.
      comparable_times: as in the log.
      dropped: what -> how many, for the summary.
    """

    interactions: pd.DataFrame
    domains: tuple[str, ...]
    target: str
    sources: tuple[str, ...]
    comparable_times: bool
    dropped: Mapping[str, int]


def summary_table(split_log: SplitLog) -> str:
    """The split as text: a row for each domain, then the held-out users and what was dropped."""
    rows = split_log.interactions
    # Numbers instead of texts: distinct counts over millions of rows take no time.
    user = pd.factorize(rows["user_id"])[0]
    item = pd.factorize(rows["item_id"])[0]
    domain = pd.Categorical(rows["domain"], categories=split_log.domains).codes
    part = pd.Categorical(rows["part"], categories=PARTS).codes
    is_target = _marks(user[rows["domain"].to_numpy() == split_log.target], user)
    lines = []
    for number, name in enumerate(split_log.domains):
        of = domain == number
        users, items = np.unique(user[of]), np.unique(item[of])
        counts = np.bincount(part[of], minlength=len(PARTS))
        cells = max(1, len(users) * len(items))
        lines.append(
            {
                "domain": name + (" (target)" if name == split_log.target else ""),
                "users": f"{len(users):,}",
                "items": f"{len(items):,}",
                "interactions": f"{of.sum():,}",
                **{text: f"{count:,}" for text, count in zip(PARTS, counts, strict=True)},
                "users in target": f"{is_target[users].sum():,}" if split_log.target else "-",
                "sparsity": f"{100 * (1 - of.sum() / cells):.3f}%",
            }
        )
    text = [pd.DataFrame(lines).to_string(index=False)]
    if split_log.target:
        of = domain == split_log.domains.index(split_log.target)
        text += _held_out_lines(user[of], item[of], part[of])
    text += [f"dropped: {what}: {count:,}" for what, count in split_log.dropped.items()]
    return "\n".join(text)


def _held_out_lines(user: np.ndarray, item: np.ndarray, part: np.ndarray) -> list[str]:
    """How many held-out users are cold, and how many held-out items were never trained on."""
    warm, trained = _marks(user[part == TRAIN], user), _marks(item[part == TRAIN], item)
    lines = []
    for number in (VALIDATION, TEST):
        held = part == number
        users = np.unique(user[held])
        lines.append(
            f"{PARTS[number]}: {len(users):,} users, {(~warm[users]).sum():,} of them cold; "
            f"{(~trained[item[held]]).sum():,} interactions with items that do not train"
        )
    return lines


def _marks(chosen: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Bool [largest code + 1]: which codes are among the chosen ones."""
    marks = np.zeros(codes.max() + 1, bool)
    marks[chosen] = True
    return marks
