"""The perceptron that says how much each source behaviour of a batch counts: SPEC section 3."""

import itertools
import math
from typing import NamedTuple

import tensorflow as tf

from tfcdr.systems.biao.config import BiaoConfig
from tfcdr.systems.biao.history_attention import HistoryAttention
from tfcdr.systems.biao.linear import linear

_HIDDEN_WIDTHS = (32, 16)
# Where each gate gives 1: softplus(log(e - 1)) = 1.
_PRIORS_OF_ONE = {"softplus": math.log(math.e - 1), "relu": 1.0}


class Behaviours(NamedTuple):
    """What the perceptron reads of a batch's source behaviours, embedded.

    Attributes:
      candidate: float [batch, 2e], the source behaviours' items.
      source_history: float [batch, T, 2e].
      source_length: int [batch].
      target_history: float [batch, T, 2e].
      target_length: int [batch].
    """

    candidate: tf.Tensor
    source_history: tf.Tensor
    source_length: tf.Tensor
    target_history: tf.Tensor
    target_length: tf.Tensor


class ImportancePerceptron(tf.keras.layers.Layer):
    """Weighs source behaviours: w = gate(prior) * share of the row's score in the batch.

    A score is relevance * item score; `normalisation` says how scores become shares.
    What it reads of embeddings is constant, but for the candidate in the item's score with
    `importance_gradient="released"`.

    Attributes:
      domain_prior: what the sum of a batch's weights follows from, whatever its size; 1 at first.
      source_attention, target_attention: over each history beside the candidate.
      relevance_layers: of what the two histories say.
      item_transform: of the candidate alone.
    """

    def __init__(self, config: BiaoConfig) -> None:
        super().__init__(name="importance")
        self._config = config
        size = config.embedding_size
        start = tf.keras.initializers.Constant(_PRIORS_OF_ONE[config.prior_gate])
        self.domain_prior = self.add_weight("domain_prior", (1,), initializer=start)
        self.source_attention = HistoryAttention(config, "source_attention")
        self.target_attention = HistoryAttention(config, "target_attention")
        widths = (8 * size, *_HIDDEN_WIDTHS, 1)
        self.relevance_layers = [
            linear(*sizes, f"relevance{number}")
            for number, sizes in enumerate(itertools.pairwise(widths))
        ]
        self.item_transform = linear(2 * size, 1, "item_transform")

    def call(self, behaviours: Behaviours, counts: tf.Tensor) -> tf.Tensor:
        """Returns float [batch], the weight of each row's source behaviour.

        Args:
          behaviours: of the batch.
          counts: bool [batch], which rows share the weight; without any, all is 0.
        """
        logits = self.relevance(behaviours) * self.item_score(behaviours.candidate)
        if self._config.normalisation == "sigmoid":
            # The softmax of their logarithms are sigmoids divided by their sum.
            logits = tf.math.log_sigmoid(logits)
        logits = tf.where(counts, logits, logits.dtype.min)
        shares = tf.nn.softmax(logits) * tf.cast(counts, logits.dtype)
        return self.total() * shares

    def total(self) -> tf.Tensor:
        """Returns float [1], the sum of a batch's weights."""
        gate = tf.nn.softplus if self._config.prior_gate == "softplus" else tf.nn.relu
        return gate(self.domain_prior)

    def relevance(self, behaviours: Behaviours) -> tf.Tensor:
        """Returns float [batch], g: what both histories say of the candidate."""
        candidate = tf.stop_gradient(behaviours.candidate)
        representations = [
            attention(tf.stop_gradient(history), lengths, candidate)
            for attention, history, lengths in (
                (self.source_attention, behaviours.source_history, behaviours.source_length),
                (self.target_attention, behaviours.target_history, behaviours.target_length),
            )
        ]
        values = tf.concat(representations, 1)
        for layer in self.relevance_layers[:-1]:
            values = tf.nn.relu(layer(values))
        return self.relevance_layers[-1](values)[:, 0]

    def item_score(self, candidate: tf.Tensor) -> tf.Tensor:
        """Returns float [batch], h: what the candidate says by itself."""
        if self._config.importance_gradient == "perceptron":
            candidate = tf.stop_gradient(candidate)
        return self.item_transform(candidate)[:, 0]

    def decays(self, variable: tf.Variable) -> bool:
        """Returns whether the weight decay shrinks a variable of the perceptron."""
        return self._config.decayed == "all" or variable.shape.rank == 2
