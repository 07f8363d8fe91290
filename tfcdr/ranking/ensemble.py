"""Models that learn side by side, each from a start of its own, and rank by their mean score."""

from collections.abc import Callable, Mapping, Sequence
from typing import Generic, TypeVar

import tensorflow as tf

from tfcdr.errors import RunError
from tfcdr.ranking.model import RankingModel, RankingQuery
from tfcdr.stage_model import Batch, StageModel, StepReport

# A `StageModel` and a `RankingModel` at once.
MemberT = TypeVar("MemberT", bound=tf.keras.Model)


class RankingEnsemble(StageModel, RankingModel, Generic[MemberT]):
    """Ranks by the mean of what several models of one kind score.

    Each member learns from the batches as it would alone; where they stop, the ensemble's
    validation decides, and under mixed precision they share the loss's scale. Members must differ
    in where they start: their initial weights, and what they draw. They must make `StageModel`'s
    plain step: one optimizer moves all weights by one mean over the rows, weighted by
    `example_weight`. A user is float [batch, M, ...]: what each of M members has of him.

    Source: Lakshminarayanan et al., "Simple and scalable predictive uncertainty estimation using
    deep ensembles", NeurIPS 2017, without its adversarial examples; it averages probabilities,
    this the scores.

    Attributes:
      members: alike but for their weights.
    """

    def __init__(self, members: Sequence[MemberT]) -> None:
        """Takes models that read the same batches and rank the same items."""
        super().__init__(name="ensemble")
        self.members: Sequence[MemberT] = list(members)
        self.num_items = members[0].num_items
        self.own_places = members[0].own_places
        self.built = True

    @tf.__internal__.tracking.no_automatic_dependency_tracking
    def compile(
        self, optimizers: Mapping[str, tf.keras.optimizers.Optimizer], jit_compile: bool = False
    ) -> None:
        """Takes one optimizer, whose count of steps members draw by."""
        super().compile(optimizers, jit_compile)
        for member in self.members:
            member.compile(self.optimizers)

    @property
    def batch_spec(self) -> dict[str, tf.TensorSpec]:
        return self.members[0].batch_spec

    def compute_losses(self, batch: Batch) -> StepReport:
        reports = [member.compute_losses(batch) for member in self.members]
        mean = tf.nest.map_structure(lambda *each: tf.add_n(each) / len(each), *reports)
        total = tf.add_n([report.losses["loss"] for report in reports])
        # As large as the mean, with the gradient of the sum: a member's is as if it were alone.
        loss = total + tf.stop_gradient(mean.losses["loss"] - total)
        return StepReport({**mean.losses, "loss": loss}, mean.figures)

    def query(self, batch: Batch) -> RankingQuery:
        queries = [member.query(batch) for member in self.members]
        return queries[0]._replace(user=tf.stack([query.user for query in queries], 1))

    def encode_history(self, history: tf.Tensor) -> tf.Tensor:
        return tf.stack([member.encode_history(history) for member in self.members], 1)

    def item_factors(self) -> tuple[tf.Tensor, None]:
        raise RunError(
            "retrieval=scann searches one vector of an item, of which an ensemble has one for each "
            "member: use retrieval=brute_force."
        )

    def score_range(self, user: tf.Tensor, first: tf.Tensor | int, count: int) -> tf.Tensor:
        """Scores neighbouring items: [batch, M, ...] -> float32 [batch, count]."""
        return self._mean(user, lambda member, own: member.score_range(own, first, count))

    def score_candidates(self, user: tf.Tensor, ids: tf.Tensor) -> tf.Tensor:
        """Scores chosen items: [batch, M, ...], int [batch, n] -> float32 [batch, n]."""
        return self._mean(user, lambda member, own: member.score_candidates(own, ids))

    def _mean(self, user: tf.Tensor, score: Callable[[MemberT, tf.Tensor], tf.Tensor]) -> tf.Tensor:
        users = tf.unstack(user, len(self.members), 1)
        scores = [score(*each) for each in zip(self.members, users, strict=True)]
        return tf.add_n(scores) / len(scores)
