"""What the seven multi-task networks share: their interface, task towers, mixtures of experts."""

import abc
from typing import NamedTuple

import tensorflow as tf

from tfcdr.layers.mlp_bank import MlpBank
from tfcdr.systems.daa.config import DaaConfig
from tfcdr.systems.daa.field_embedding import FieldEmbedding

# In the order of the tasks' axis. A conversion is one of an impression, clicked or not (CTCVR).
TASKS = ("click", "conversion")


class Prediction(NamedTuple):
    """What a network makes of a batch of impressions.

    Attributes:
      logits: float32 [batch, tasks]; a probability is sigmoid(logit).
      features: float32 [batch, features], the hidden state that critics compare across domains.
    """

    logits: tf.Tensor
    features: tf.Tensor


class Backbone(tf.keras.layers.Layer, abc.ABC):
    """A multi-task network over impressions (SPEC section 2).

    Attributes:
      num_features: width of the features.
    """

    def __init__(self, config: DaaConfig, field_sizes: tuple[int, ...], num_numerical: int) -> None:
        """Creates the network with every weight.

        Args:
          config: the configuration.
          field_sizes: number of values of each categorical column.
          num_numerical: numerical columns M.
        """
        super().__init__(name=config.backbone)
        self.config = config
        self.field_sizes = tuple(field_sizes)
        self.num_numerical = num_numerical
        self._create_layers()
        one = self(tf.zeros((1, len(field_sizes)), tf.int32), tf.zeros((1, num_numerical)))
        self.num_features = one.features.shape[1]

    @abc.abstractmethod
    def _create_layers(self) -> None:
        """Creates the network's layers."""

    @abc.abstractmethod
    def call(
        self,
        categorical: tf.Tensor,
        numerical: tf.Tensor,
        training: bool = False,
        seed: tf.Tensor | None = None,
    ) -> Prediction:
        """Computes the network.

        Args:
          categorical: int32 [batch, F].
          numerical: float32 [batch, M].
          training: whether units are dropped and batches normalised by themselves; running means
            and variances move then.
          seed: int [2], of the dropout; needed in training.
        """

    def _embedding(self, name: str = "embedding") -> FieldEmbedding:
        return FieldEmbedding(self.field_sizes, self.config.embedding_size, name=name)

    def _bottoms(self, count: int, name: str) -> MlpBank:
        return MlpBank(count, self.config.bottom_widths, self.config.dropout, name=name)

    def _towers(self, count: int, name: str) -> MlpBank:
        return MlpBank(
            count, self.config.tower_widths, self.config.dropout, has_output=True, name=name
        )


def predict(logits: tf.Tensor, features: tf.Tensor) -> Prediction:
    """Returns a prediction in full precision.

    Args:
      logits: float [batch, tasks].
      features: float [batch, width], or [batch, tasks, width], which go side by side.
    """
    features = flatten(features) if features.shape.rank == 3 else features
    return Prediction(tf.cast(logits, tf.float32), tf.cast(features, tf.float32))


def flatten(embedded: tf.Tensor) -> tf.Tensor:
    """Puts the vectors of an impression side by side: [batch, n, width] to [batch, n * width]."""
    return tf.reshape(embedded, (-1, embedded.shape[1] * embedded.shape[2]))


def mix(gates: tf.Tensor, experts: tf.Tensor) -> tf.Tensor:
    """Sums experts by their gates' weights.

    Args:
      gates: float [batch, mixtures, experts], weights.
      experts: float [batch, experts, width].

    Returns:
      Float [batch, mixtures, width].
    """
    return tf.matmul(gates, experts)


def split_seed(seed: tf.Tensor | None, parts: int) -> list[tf.Tensor | None]:
    """Derives a seed for each part of a network from one of int [2]; None stays None."""
    if seed is None:
        return [None] * parts
    return tf.unstack(tf.random.experimental.stateless_split(seed, parts))
