"""How impressions are read and split: flags `--impression_read.*`, `--impression_split.*`."""

import dataclasses

# fancyflags makes a comma-separated flag of typing.Sequence only, not of collections.abc.Sequence.
from typing import Sequence  # noqa: UP035

from data_pipelines.errors import DataError


@dataclasses.dataclass(frozen=True)
class ImpressionReadOptions:
    """How a reader of impressions understands its files; it refuses an option it does not use.

    Attributes:
      categorical_columns: csv reader: names of the categorical columns, in the model's order;
        empty for the columns categorical_1, categorical_2 and so on of the file.
      numerical_columns: csv reader: names of the numerical columns; empty for numerical_1,
        numerical_2 and so on.
      click_column: csv reader: name of the column with 1 for a click, else 0.
      conversion_column: csv reader: name of the column with 1 for a purchase, else 0.
      domain_column: csv reader: name of the column with the domain, for an --input without
        DOMAIN=.
      part_column: csv reader: name of the column with train, validation or test; read if the file
        has it. Without it and without @PART, rows train.
      separator: csv reader: sign between fields, empty for a comma in .csv and a tab in any other
        file.
      field_sizes: for each categorical column, the number n of its values 0 .. n-1; a value
        outside is an error. Empty: the greatest value of all domains and parts, plus one.
      max_unpacked_gb: aliexpress reader: an archive whose members take more, in gigabytes (1e9
        bytes) once unpacked, is refused.
      max_bad_lines: number of bad lines that may be skipped, in all files together.
    """

    categorical_columns: Sequence[str] = ()
    numerical_columns: Sequence[str] = ()
    click_column: str = "click"
    conversion_column: str = "conversion"
    domain_column: str = "domain"
    part_column: str = "part"
    separator: str = ""
    field_sizes: Sequence[int] = ()
    max_unpacked_gb: float = 100.0
    max_bad_lines: int = 0

    def __post_init__(self) -> None:
        for name in ("categorical_columns", "numerical_columns", "field_sizes"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if self.field_sizes and min(self.field_sizes) < 1:
            raise DataError(f"field_sizes are {self.field_sizes}: each must be at least 1.")
        if not self.max_unpacked_gb > 0:
            raise DataError(f"max_unpacked_gb is {self.max_unpacked_gb}: it must be positive.")
        if self.max_bad_lines < 0:
            raise DataError(f"max_bad_lines is {self.max_bad_lines}: it must not be negative.")
        for name in ("click_column", "conversion_column"):
            if not getattr(self, name):
                raise DataError(f"{name} is empty: give a value.")

    def require_only(self, reader: str, used: Sequence[str]) -> None:
        """Raises a DataError if an option has a value but no meaning for this reader."""
        for field in dataclasses.fields(self):
            if field.name not in used and getattr(self, field.name) != field.default:
                raise DataError(
                    f"--impression_read.{field.name} has no meaning for --reader={reader}: "
                    "leave it out."
                )

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
