"""The few choices that item neighbours offer; the others are made on validation."""

import dataclasses

from tfcdr import field_checks

_CHOICES = {"kind": ("cosine", "ease"), "history_domains": ("all", "target")}


@dataclasses.dataclass(frozen=True)
class NeighboursConfig:
    """What is fixed before validation chooses nearness or ridge, decay and the others' weight.

    Attributes:
      kind: "cosine" counts common users (item neighbours); "ease" solves a ridge regression of
        every item on all others, for at most 25,000 items or as many users.
      history_domains: items of a history: "all" domains' or the "target" domain's alone.
      neighbours: items K that an item of a history speaks of.
      most_items: a user's latest training interactions n that count as taken together, so that a
        user costs at most n^2 pairs.
    """

    kind: str = "cosine"
    history_domains: str = "all"
    neighbours: int = 200
    most_items: int = 100

    def __post_init__(self) -> None:
        """Refuses values outside their range, naming the field.

        Raises:
          ValueError: a field is out of range, or not among its choices.
        """
        field_checks.check_choices(self, _CHOICES)
        field_checks.check_positive(self, ("neighbours", "most_items"))
