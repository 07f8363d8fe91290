"""What readers of impressions have in common, and how a log of them is split."""

import dataclasses

from data_pipelines.errors import DataError


@dataclasses.dataclass(frozen=True)
class ImpressionFileOptions:
    """What every reader of files of impressions takes.

    Attributes:
      field_sizes: for each categorical column, the number n of its values 0 .. n-1; a value
        outside is an error. Empty: the greatest value of all domains and parts, plus one.
      max_bad_lines: number of bad lines that may be skipped, in all files together.
    """

    field_sizes: tuple[int, ...] = ()
    max_bad_lines: int = 0

    def __post_init__(self) -> None:
        if self.field_sizes and min(self.field_sizes) < 1:
            raise DataError(f"field_sizes are {self.field_sizes}: each must be at least 1.")
        if self.max_bad_lines < 0:
            raise DataError(f"max_bad_lines is {self.max_bad_lines}: it must not be negative.")

    def check_field_sizes(self, fields: int) -> None:
        """Raises a DataError if sizes are given, but not one for each categorical column."""
        if self.field_sizes and len(self.field_sizes) != fields:
            raise DataError(
                f"--impression_read.field_sizes has {len(self.field_sizes)} numbers, the data "
                f"{fields} categorical columns: give one number for each."
            )


@dataclasses.dataclass(frozen=True)
class ImpressionSplitOptions:
    """What becomes of a log's rows.

    Attributes:
      target: the target domain; all others are sources. Empty: every domain is a source, for the
        source stage only.
      positive_rate: share of the target's training rows with a click that is kept, each row drawn
        on its own; what is left out is as if it had no label.
      negative_rate: the same for its training rows without a click.
      validation_share: share of each domain's training rows, after those left out, that validates
        instead; 0 for data that come with validation rows.
      seed: of all draws.
    """

    target: str = ""
    positive_rate: float = 1.0
    negative_rate: float = 1.0
    validation_share: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("positive_rate", "negative_rate"):
            if not 0 < getattr(self, name) <= 1:
                raise DataError(f"{name} is {getattr(self, name)}: it must be in (0, 1].")
            if getattr(self, name) != 1 and not self.target:
                raise DataError(f"{name} is of the target's rows: name the target.")
        if not 0 <= self.validation_share < 1:
            raise DataError(f"validation_share is {self.validation_share}: it must be in [0, 1).")
        if self.seed < 0:
            raise DataError(f"seed is {self.seed}: it must not be negative.")
