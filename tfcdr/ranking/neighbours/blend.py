"""A trained model and item neighbours, blended: a product of what both hold likely."""

import math
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tfcdr.data_source import HistorySource
from tfcdr.errors import RunError
from tfcdr.fitted_model import FittedModel
from tfcdr.ranking.model import RankingModel, RankingQuery
from tfcdr.ranking.neighbours.model import NeighbourModel, choices
from tfcdr.stage_model import Batch

# How loud the neighbours are beside the model, which validation chooses; 0 leaves the model alone.
STRENGTHS = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
# The share of an item of which no neighbour speaks; of those that are spoken of, few have less.
_LEAST_SHARE = 1e-4


def tries(kind: str, transfers: bool) -> int:
    """Returns the epochs of a blend's stage: settings of the neighbours alone, then strengths.

    Args:
      kind: of the neighbours; see `NeighbourOptions`.
      transfers: whether histories hold items of other domains than the ranked one.
    """
    return len(choices(kind, transfers)) + len(STRENGTHS)


class NeighbourBlend(FittedModel, RankingModel):
    """Ranks by the sum of a model's scores and the neighbours' logarithmic ones.

    score_i = m_i + strength * log(share_i + 1e-4), with m_i of the model and share_i the part that
    item i has of all that the neighbours of a history say for items; what EASE says against one is
    no part. Where m_i are logits of a softmax, that is the logarithm of a product of two
    distributions, up to what is alike for all items (a logarithmic opinion pool: Genest and Zidek,
    1986).

    The first epochs try the neighbours' settings, ranking by them alone; the others try strengths
    with the best of these. Both read the same histories. A user is int32 [batch, any]: the bits of
    what the model has of him, then what the neighbours have.

    Attributes:
      model: the trained one, whose weights stay as they are.
      neighbours: fitted here.
      items_at_once: how many are best scored together.
    """

    def __init__(self, model: RankingModel, neighbours: NeighbourModel, max_length: int) -> None:
        """Takes both, which rank the same items by histories of the same ids.

        Args:
          model: of a stage before; its batches hold what it reads as `history`.
          neighbours: without any neighbour yet.
          max_length: items T of a history.
        """
        super().__init__(name="neighbour_blend")
        self.model = model
        self.neighbours = neighbours
        self.num_items = model.num_items
        self.own_places = model.own_places
        of_model = model.encode_history(tf.zeros((1, max_length), tf.int32))
        self._user_shapes = of_model.shape[1:], tf.TensorShape((max_length, 2))
        # Scores by each of several vectors of a user are in memory at once.
        vectors = math.prod(of_model.shape[1:-1])
        self.items_at_once = neighbours.items_at_once // vectors
        # 0 while the neighbours rank alone.
        self.model_weight = self._number("model_weight", 1.0)
        self.strength = self._number("strength", 0.0)
        self.built = True

    def fit_epoch(
        self, data: HistorySource, epoch: int, scores: Sequence[float]
    ) -> dict[str, float]:
        settings = len(self.neighbours.settings)
        alone = epoch < settings
        chosen = epoch if alone else int(np.argmax(scores[:settings]))
        figures = self.neighbours.fit_epoch(data, chosen, scores[:settings])
        self.model_weight.assign(0.0 if alone else 1.0)
        self.strength.assign(1.0 if alone else STRENGTHS[epoch - settings])
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
        heard = self.neighbours.shares(self.neighbours.encode_history(history))
        return tf.concat([tf.reshape(user, (rows, -1)), tf.reshape(heard, (rows, -1))], 1)

    def _apart(self, user: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Undoes `_joined`."""
        of_model, of_neighbours = self._user_shapes
        sizes = of_model.num_elements(), of_neighbours.num_elements()
        own, heard = tf.split(user, sizes, 1)
        own = tf.bitcast(tf.reshape(own, (-1, *of_model)), tf.float32)
        return own, tf.reshape(heard, (-1, *of_neighbours))

    def item_factors(self) -> tuple[tf.Tensor, None]:
        raise RunError(
            "retrieval=scann searches item vectors, which a blend with neighbours has none of: use "
            "retrieval=brute_force."
        )

    def score_range(self, user: tf.Tensor, first: tf.Tensor | int, count: int) -> tf.Tensor:
        """Scores neighbouring items: int32 [batch, any] -> float32 [batch, count]."""
        own, heard = self._apart(user)
        of_neighbours = self.neighbours.score_range(heard, first, count)
        return self._blended(self.model.score_range(own, first, count), of_neighbours)

    def score_candidates(self, user: tf.Tensor, ids: tf.Tensor) -> tf.Tensor:
        """Scores chosen items: int32 [batch, any], int [batch, n] -> float32 [batch, n]."""
        own, heard = self._apart(user)
        of_neighbours = self.neighbours.score_candidates(heard, ids)
        return self._blended(self.model.score_candidates(own, ids), of_neighbours)

    def _blended(self, of_model: tf.Tensor, shares: tf.Tensor) -> tf.Tensor:
        likely = tf.math.log(tf.nn.relu(shares) + _LEAST_SHARE)
        return self.model_weight * of_model + self.strength * likely

    def _number(self, name: str, value: float) -> tf.Variable:
        initial = tf.keras.initializers.Constant(value)
        return self.add_weight(name, (), initializer=initial, trainable=False)
