"""A trained model and item neighbours, blended: a product of what both hold likely."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from tfcdr.data_source import HistorySource
from tfcdr.fitted_model import FittedModel
from tfcdr.ranking.model import ModelWithoutVectors, RankingModel, RankingQuery
from tfcdr.ranking.neighbours.model import NeighbourModel, choices
from tfcdr.stage_model import Batch

# How loud the neighbours are beside the model, which validation chooses; 0 leaves the model alone.
STRENGTHS = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
# The share of an item of which no neighbour speaks; of those that are spoken of, few have less.
_LEAST_SHARE = 1e-4


def tries(kinds: Sequence[str], transfers: bool) -> int:
    """Returns the epochs of a blend's stage: settings of each kind alone, then strengths.

    Args:
      kinds: of neighbours; see `NeighbourOptions`.
      transfers: whether histories hold items of other domains than the ranked one.
    """
    return sum(len(choices(kind, transfers)) for kind in kinds) + len(STRENGTHS)


class NeighbourBlend(FittedModel, ModelWithoutVectors):
    """Ranks by the sum of a model's scores and the neighbours' logarithmic ones.

    score_i = m_i + strength * log(share_i + 1e-4), with m_i of the model and share_i the part that
    item i has of all that the neighbours of a history say for items, less what EASE says against
    it, and 0 at the least. Of several kinds of neighbours it is the mean of their shares. Where m_i
    are logits of a softmax and shares add up to 1, as item neighbours' do, that is the logarithm of
    a product of two distributions, up to what is alike for all items (a logarithmic opinion pool;
    the mean is a linear one: Genest and Zidek, 1986).

    The first epochs try the neighbours' settings, ranking by one kind of them alone; the others try
    strengths with the best settings of each kind. All read the same histories. A user is int32
    [batch, any]: the bits of what the model has of him, then what the neighbours have.

    Attributes:
      model: the trained one, whose weights stay as they are.
      neighbours: one of each kind, fitted here.
      items_at_once: how many are best scored together.
    """

    def __init__(
        self, model: RankingModel, neighbours: Sequence[NeighbourModel], max_length: int
    ) -> None:
        """Takes all, which rank the same items by histories of the same ids.

        Args:
          model: of a stage before; its batches hold what it reads as `history`.
          neighbours: without any neighbour yet.
          max_length: items T of a history.
        """
        super().__init__(name="neighbour_blend")
        self.model = model
        self.neighbours: Sequence[NeighbourModel] = list(neighbours)
        self.num_items = model.num_items
        self.own_places = model.own_places
        of_model = model.encode_history(tf.zeros((1, max_length), tf.int32)).shape[1:]
        heard = tf.TensorShape((max_length, 2))
        self._user_shapes = [of_model, *[heard] * len(neighbours)]
        # Scores by each of several vectors of a user are in memory at once.
        vectors = math.prod(of_model[:-1])
        self.items_at_once = neighbours[0].items_at_once // vectors
        # While one kind of neighbours is tried, 0 for the model and for the other kinds.
        self.model_weight = self._weight("model_weight", (), 1.0)
        self.strength = self._weight("strength", (), 0.0)
        self.kind_weights = self._weight("kind_weights", (len(neighbours),), 1 / len(neighbours))
        self.built = True

    def fit_epoch(
        self, data: HistorySource, epoch: int, scores: Sequence[float]
    ) -> dict[str, float]:
        figures: dict[str, float] = {}
        kind_weights = np.zeros(len(self.neighbours))
        ends = np.cumsum([len(neighbours.settings) for neighbours in self.neighbours])
        with_model = epoch >= ends[-1]
        for kind, neighbours in enumerate(self.neighbours):
            first = ends[kind] - len(neighbours.settings)
            of_kind = scores[first : ends[kind]]
            if first <= epoch < ends[kind]:
                chosen = epoch - first
            elif with_model:
                chosen = int(np.argmax(of_kind))
            else:
                continue
            kind_weights[kind] = 1
            settings = neighbours.fit_epoch(data, chosen, of_kind)
            member = f"[{neighbours.kind}]" if len(self.neighbours) > 1 else ""
            figures |= {name + member: value for name, value in settings.items()}
        self.kind_weights.assign(kind_weights / kind_weights.sum())
        self.model_weight.assign(float(with_model))
        self.strength.assign(STRENGTHS[epoch - ends[-1]] if with_model else 1.0)
        return {
            **figures,
            "model_weight": float(self.model_weight),
            "strength": float(self.strength),
        }

    def query(self, batch: Batch) -> RankingQuery:
        query = self.model.query(batch)
        return query._replace(user=self._joined(query.user, batch["history"]))

    def encode_history(self, history: tf.Tensor) -> tf.Tensor:
        return self._joined(self.model.encode_history(history), history)

    def _joined(self, user: tf.Tensor, history: tf.Tensor) -> tf.Tensor:
        rows = tf.shape(user)[0]
        user = tf.bitcast(tf.cast(user, tf.float32), tf.int32)
        heard = [each.shares(each.encode_history(history)) for each in self.neighbours]
        return tf.concat([tf.reshape(each, (rows, -1)) for each in (user, *heard)], 1)

    def _apart(self, user: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Undoes `_joined`."""
        parts = tf.split(user, [shape.num_elements() for shape in self._user_shapes], 1)
        own, *heard = [
            tf.reshape(part, (-1, *shape))
            for part, shape in zip(parts, self._user_shapes, strict=True)
        ]
        return tf.bitcast(own, tf.float32), heard

    def score_range(self, user: tf.Tensor, first: tf.Tensor | int, count: int) -> tf.Tensor:
        """Scores neighbouring items: int32 [batch, any] -> float32 [batch, count]."""
        return self._blended(user, lambda model, own: model.score_range(own, first, count))

    def score_candidates(self, user: tf.Tensor, ids: tf.Tensor) -> tf.Tensor:
        """Scores chosen items: int32 [batch, any], int [batch, n] -> float32 [batch, n]."""
        return self._blended(user, lambda model, own: model.score_candidates(own, ids))

    def _blended(
        self, user: tf.Tensor, score: Callable[[RankingModel, tf.Tensor], tf.Tensor]
    ) -> tf.Tensor:
        own, heard = self._apart(user)
        weights = tf.unstack(self.kind_weights, len(heard))
        shares = tf.add_n(
            [
                weight * tf.nn.relu(score(neighbours, each))
                for weight, neighbours, each in zip(weights, self.neighbours, heard, strict=True)
            ]
        )
        likely = tf.math.log(shares + _LEAST_SHARE)
        return self.model_weight * score(self.model, own) + self.strength * likely

    def _weight(self, name: str, shape: tuple[int, ...], value: float) -> tf.Variable:
        initial = tf.keras.initializers.Constant(value)
        return self.add_weight(name, shape, initializer=initial, trainable=False)
