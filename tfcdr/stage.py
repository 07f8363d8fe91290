"""One training run of a system: what it reads and how long it trains."""

import dataclasses

from tfcdr.data_source import DomainPairs, ViewRequest


@dataclasses.dataclass(frozen=True)
class Stage:
    """One training run of a system; later stages start from the best of earlier ones.

    Attributes:
      name: such as "pretrain"; names the checkpoints and the lines of `metrics.jsonl`.
      training: the view of the training batches.
      evaluation: the view of validation and test batches.
      batch_size: examples in a training batch.
      epochs: most passes over the training examples.
      patience: epochs without a better validation score after which the stage stops.
      has_candidates: whether the evaluation view can draw candidates for sampled ranking.
    """

    name: str
    training: ViewRequest | DomainPairs
    evaluation: ViewRequest
    batch_size: int
    epochs: int
    patience: int
    has_candidates: bool
