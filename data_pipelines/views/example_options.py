"""How a run cuts examples from users' histories, whichever view it reads."""

import dataclasses

from data_pipelines.errors import DataError
from data_pipelines.splitting.split_log import check_shares

_CHOICES = {
    "source_history": ("before_target", "all"),
    "behaviour_cutoff": ("example", "held_out"),
}


@dataclasses.dataclass(frozen=True)
class ExampleOptions:
    """What a run reads of a data set of interactions.

    Attributes:
      max_length: T, the largest number of items in a model's context (the papers' sequence
        length). A longer history is cut into windows (next_item, masked_item) or loses its oldest
        items (transfer, leave_one_out).
      source_history: which source items precede a target item (transfer, leave_one_out).
        "before_target" (default): those with a time strictly before it, which needs times that
        can be compared between domains. "all": the whole source sequence, for data without times.
      min_history: transfer view: a training example with fewer source items is left out, since it
        says nothing about what the source tells. Validation and test keep everybody.
      positive_above: paired_behaviour view: an item is liked if its rating is above this.
      behaviour_cutoff: paired_behaviour view: what of a user's behaviours goes with an example.
        "example" (default): the source behaviours before the example's time, and what the user
        liked before it. "held_out", as BIAO's release has it: the source behaviours before the
        user's first held-out target interaction, and all that he liked in training, so that a
        training example is read beside what came after it, and beside its own item.
      developing_share: paired_behaviour view: the share of users whose latest training example is
        held out of training, to develop what is learned about learning (`developing_behaviour`).
        0: all training examples serve for both.
      cold_share: the share of the users with source and target interactions of whom all target
        interactions are held out, one half of these users validating, the other testing. They are
        cold in the target. Splits of kind user, given and time say themselves what is held out.
      source_validation_share: share of users whose source interactions validate pre-training;
        without meaning where the data say it themselves.
      source_test_share: share of users whose source interactions test pre-training; likewise.
      seed: of the draws of users. It is not the run's, so that runs of other seeds are tested on
        the same users.
    """

    max_length: int = 20
    source_history: str = "before_target"
    min_history: int = 1
    positive_above: float = 3.0
    behaviour_cutoff: str = "example"
    developing_share: float = 0.0
    cold_share: float = 0.0
    source_validation_share: float = 0.05
    source_test_share: float = 0.05
    seed: int = 0

    def __post_init__(self) -> None:
        if self.max_length < 2:
            raise DataError(f"max_length must be at least 2. Received: {self.max_length}.")
        if self.min_history < 0:
            raise DataError(f"min_history must not be negative. Received: {self.min_history}.")
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                raise DataError(
                    f"{name} must be {' or '.join(allowed)}. Received: {getattr(self, name)!r}."
                )
        if not 0 <= self.cold_share < 1:
            raise DataError(f"cold_share is {self.cold_share}: it must be in [0, 1).")
        if not 0 <= self.developing_share <= 1:
            raise DataError(f"developing_share is {self.developing_share}: it must be in [0, 1].")
        check_shares(self, "source_validation_share", "source_test_share")
