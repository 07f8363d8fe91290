"""What a model must offer so that its rankings can be evaluated and served."""

import abc
from typing import NamedTuple

import tensorflow as tf

from tfcdr.errors import RunError
from tfcdr.stage_model import Batch


class RankingQuery(NamedTuple):
    """One held-out interaction a row.

    Attributes:
      user: the model's representation of the user, float [batch, ...].
      positive: int [batch], the held-out item.
      excluded: int [batch, any], other items of the user, 0 for none; they are not ranked.
      candidates: int [batch, 1 + negatives] with the positive first, or None.
      ranked: int [batch, 2], the first and the last id of the catalogue that each is ranked in,
        such as one of several domains; None for all items.
    """

    user: tf.Tensor
    positive: tf.Tensor
    excluded: tf.Tensor
    candidates: tf.Tensor | None
    ranked: tf.Tensor | None = None


class RankingModel(tf.keras.Model, abc.ABC):
    """A model that scores items 1..num_items for a user by an inner product.

    A system with another score overrides `score_range` and `score_candidates`.
    """

    num_items: int
    # Of a history's places, how many are kept for the latest of the ranked items themselves, whose
    # ids in histories are then 1..num_items.
    own_places: int = 0
    # How many items are best scored together; None for what suits an inner product.
    items_at_once: int | None = None

    @abc.abstractmethod
    def query(self, batch: Batch) -> RankingQuery:
        """Reads an evaluation batch."""

    @abc.abstractmethod
    def encode_history(self, history: tf.Tensor) -> tf.Tensor:
        """Represents users by what they did before; runs in the exported model.

        Args:
          history: int32 [batch, max_length], ids of the space that the system's histories use,
            oldest first, left-padded with 0.

        Returns:
          The user representation that `score_catalogue` and `score_candidates` take.
        """

    @abc.abstractmethod
    def item_factors(self) -> tuple[tf.Tensor, tf.Tensor | None]:
        """Returns item vectors [rows, channels] and biases [rows] or None; row = item id.

        Raises:
          RunError: see `ModelWithoutVectors`.
        """

    def score_range(self, user: tf.Tensor, first: tf.Tensor | int, count: int) -> tf.Tensor:
        """Scores neighbouring rows of the item table: [..., channels] -> float32 [..., count].

        Args:
          user: float, at least [batch, channels].
          first: the first row.
          count: rows to score; known when traced.
        """
        vectors, bias = self.item_factors()
        vectors = tf.slice(vectors, (first, 0), (count, vectors.shape[1]))
        # Two dimensions: XLA on CPU takes the gradient of a product over more to a plain loop. The
        # product is computed in the precision of the user.
        rows = tf.reshape(user, (-1, user.shape[-1]))
        scores = tf.matmul(rows, tf.cast(vectors, rows.dtype), transpose_b=True)
        scores = tf.cast(scores, tf.float32)
        if bias is not None:
            scores += tf.slice(bias, (first,), (count,))
        return tf.reshape(scores, tf.concat([tf.shape(user)[:-1], [count]], 0))

    def score_catalogue(self, user: tf.Tensor) -> tf.Tensor:
        """Scores every row of the item table at once: [..., channels] -> [..., rows]."""
        return self.score_range(user, 0, self.item_factors()[0].shape[0])

    def score_candidates(self, user: tf.Tensor, ids: tf.Tensor) -> tf.Tensor:
        """Scores chosen items: [batch, channels], int [batch, n] -> [batch, n]."""
        vectors, bias = self.item_factors()
        scores = tf.einsum("bc,bnc->bn", user, tf.gather(vectors, ids))
        return scores if bias is None else scores + tf.gather(bias, ids)


class ModelWithoutVectors(RankingModel):
    """A model whose items have no vector, or several: it scores by methods of its own."""

    def item_factors(self) -> tuple[tf.Tensor, None]:
        """Raises RunError: there are none to be searched."""
        raise RunError(
            f"{self.name} has no single vector of each item, which retrieval=scann searches: use "
            "retrieval=brute_force."
        )

    @abc.abstractmethod
    def score_range(self, user: tf.Tensor, first: tf.Tensor | int, count: int) -> tf.Tensor:
        """See `RankingModel.score_range`."""

    @abc.abstractmethod
    def score_candidates(self, user: tf.Tensor, ids: tf.Tensor) -> tf.Tensor:
        """See `RankingModel.score_candidates`."""
