"""A stage whose model ranks items."""

import dataclasses

from tfcdr.stage import Stage


@dataclasses.dataclass(frozen=True, kw_only=True)
class RankingStage(Stage):
    """A stage of a ranking system.

    Attributes:
      catalogue: the item space that its model ranks, such as "target".
      has_candidates: whether the evaluation view can draw candidates for sampled ranking.
    """

    catalogue: str
    has_candidates: bool
