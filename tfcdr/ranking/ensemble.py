"""Models of several seeds, which rank by their mean score."""

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import tensorflow as tf

from tfcdr.ranking.model import ModelWithoutVectors, RankingModel, RankingQuery
from tfcdr.stage_model import Batch

MemberT = TypeVar("MemberT", bound=RankingModel)


class RankingEnsemble(ModelWithoutVectors, Generic[MemberT]):
    """Ranks by the mean of what several trained models of one kind score.

    A user is float [batch, M, ...]: what each of M members has of him.

    Source: Lakshminarayanan et al., "Simple and scalable predictive uncertainty estimation using
    deep ensembles", NeurIPS 2017, without its adversarial examples; it averages probabilities,
    this the scores.

    Attributes:
      members: alike but for their weights.
    """

    def __init__(self, members: Sequence[MemberT]) -> None:
        """Takes models that read the same histories and rank the same items."""
        super().__init__(name="ensemble")
        self.members: Sequence[MemberT] = list(members)
        self.num_items = members[0].num_items
        self.own_places = members[0].own_places
        self.built = True

    def query(self, batch: Batch) -> RankingQuery:
        queries = [member.query(batch) for member in self.members]
        return queries[0]._replace(user=tf.stack([query.user for query in queries], 1))

    def encode_history(self, history: tf.Tensor) -> tf.Tensor:
        return tf.stack([member.encode_history(history) for member in self.members], 1)

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
