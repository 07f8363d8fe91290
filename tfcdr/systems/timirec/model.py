"""TiMiRec's two stages as Keras models: the extractor alone, then with the interest predictor."""

import numpy as np
import tensorflow as tf

from tfcdr import losses
from tfcdr.layers.row_dropout import RowDropout, UnitDropout
from tfcdr.ranking.item_loss import ItemLoss
from tfcdr.ranking.model import RankingModel, RankingQuery
from tfcdr.stage_model import Batch, StageModel, StepReport
from tfcdr.systems.timirec.config import TiMiRecConfig
from tfcdr.systems.timirec.extractor import InterestExtractor
from tfcdr.systems.timirec.predictor import InterestPredictor


class InterestModel(StageModel, RankingModel):
    """What both stages share: the extractor, its item table, and the batch.

    Batch (view `leave_one_out`): `history` int32 [batch, T], oldest first, left-padded with 0;
    `target_item`, `user` int32 [batch]; `example_weight` float32 [batch]; in training
    `negative_items` int32 [batch, N] where the loss reads negatives of each row. A row without
    history must have weight 0.

    Attributes:
      extractor: its item table also represents the items that are ranked.
      item_loss: what the ranking learns by.
    """

    def __init__(
        self,
        name: str,
        config: TiMiRecConfig,
        max_length: int,
        rows: int,
        num_items: int,
        seed: int,
        counts: np.ndarray | None,
        trained: np.ndarray | None,
    ) -> None:
        super().__init__(name=name)
        self.config = config
        self.num_items = num_items
        self.own_places = round(config.own_share * max_length)
        counts = np.ones(num_items) if counts is None else counts
        self.item_loss = ItemLoss(config, counts, config.negative_sampler, seed)
        self._seed = seed
        skips = trained is not None and config.untrained_items == "skipped"
        self._readable = np.concatenate([[False], trained]) if skips else None
        self.extractor = InterestExtractor(
            rows,
            max_length,
            config.embedding_size,
            config.attention_size,
            config.interests,
            config.position_embedding,
            config.transformer_layer,
            positions_in_values=config.variant == "timirec",
            name="extractor",
        )
        self.extractor(tf.zeros((1, max_length), tf.int32))

    @property
    def batch_spec(self) -> dict[str, tf.TensorSpec]:
        spec = {
            "history": tf.TensorSpec([None, None], tf.int32),
            "target_item": tf.TensorSpec([None], tf.int32),
            "user": tf.TensorSpec([None], tf.int32),
            "example_weight": tf.TensorSpec([None], tf.float32),
        }
        if self.item_loss.reads_negatives:
            spec["negative_items"] = tf.TensorSpec([None, None], tf.int32)
        return spec

    def interests(self, history: tf.Tensor, row_dropout: RowDropout | None = None) -> tf.Tensor:
        """Returns the interest vectors float32 [batch, K, d] of histories.

        `row_dropout` draws what training drops, None drops nothing.
        """
        if row_dropout is None or not self.config.extractor_dropout:
            return self.extractor(history)
        dropout = UnitDropout(row_dropout, self.config.extractor_dropout)
        return self.extractor(history, dropout=dropout)

    def read_history(self, history: tf.Tensor) -> tf.Tensor:
        """Returns what is read of histories int [batch, T] outside of training, likewise padded.

        Training needs no such choice: what its histories hold, trains.
        """
        if self._readable is None:
            return history
        readable = tf.gather(tf.constant(self._readable), history)
        # The others give way to what is older.
        order = tf.argsort(tf.cast(readable, tf.int32), axis=1, stable=True)
        return tf.gather(tf.where(readable, history, 0), order, batch_dims=1)

    def row_dropout(self, batch: Batch) -> RowDropout:
        """Returns what draws the units that a step drops."""
        rows = batch["user"], batch["target_item"]
        return RowDropout(self._seed, self.optimizer.iterations, *rows)

    def training_items(self, batch: Batch) -> tf.Tensor:
        """Returns vectors of the positive and each row's negatives, if any: [batch, 1+N, d]."""
        ids = batch["target_item"][:, tf.newaxis]
        if self.item_loss.reads_negatives:
            ids = tf.concat([ids, batch["negative_items"]], 1)
        return tf.gather(self.item_factors()[0], ids)

    def ranking_losses(self, user: tf.Tensor, items: tf.Tensor, batch: Batch) -> tf.Tensor:
        """Returns the loss of each example, float [batch].

        Args:
          user: float [batch, d].
          items: float [batch, 1+N, d], see `training_items`.
          batch: the positives' ids.
        """
        if not self.item_loss.reads_negatives:
            return self.item_loss.of_users(
                user, batch["target_item"], self.item_factors(), self.optimizer.iterations
            )
        scores = tf.reduce_sum(user[:, tf.newaxis] * items, -1)
        return self.item_loss.of_scores(scores[:, 0], scores[:, 1:])

    def query(self, batch: Batch) -> RankingQuery:
        return RankingQuery(
            user=self.encode_history(batch["history"]),
            positive=batch["target_item"],
            excluded=batch["seen_items"],
            candidates=batch.get("candidates"),
        )

    def item_factors(self) -> tuple[tf.Tensor, None]:
        return self.extractor.item_embedding.embeddings, None


class PretrainingModel(InterestModel):
    """The extractor, trained by the interest that is nearest to the target (ComiRec).

    An item's score is its inner product with the user's nearest interest.

    Source: SPEC section 4, pre-training.
    """

    def __init__(
        self,
        config: TiMiRecConfig,
        max_length: int,
        rows: int,
        num_items: int,
        seed: int = 0,
        counts: np.ndarray | None = None,
        trained: np.ndarray | None = None,
    ) -> None:
        """Creates the model.

        Args:
          config: the configuration.
          max_length: items T of a history.
          rows: rows of the item table: padding, then the items of histories.
          num_items: ranked items; they are the first of the table after padding.
          seed: of the dropout and of shared negatives.
          counts: int [num_items], their training interactions; alike if not given.
          trained: bool [rows - 1], whether an item of histories has training interactions; all
            have if not given.
        """
        super().__init__("pretraining", config, max_length, rows, num_items, seed, counts, trained)
        self.built = True

    def encode_history(self, history: tf.Tensor) -> tf.Tensor:
        return self.interests(self.read_history(history))

    def nearest_interest(self, interests: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
        """Chooses the interest with the largest inner product with the target.

        Args:
          interests: float [batch, K, d].
          target: float [batch, d], the target item's vector.

        Returns:
          Float [batch, d]. No gradient runs through the choice.
        """
        nearness = tf.reduce_sum(interests * target[:, tf.newaxis], -1)
        # A sum with one weight of 1: the gradient of a gather is slow under XLA on CPU.
        chosen = tf.one_hot(tf.argmax(nearness, -1), self.config.interests)
        return tf.reduce_sum(chosen[..., tf.newaxis] * interests, 1)

    def compute_losses(self, batch: Batch) -> StepReport:
        items = self.training_items(batch)
        interests = self.interests(batch["history"], self.row_dropout(batch))
        user = self.nearest_interest(interests, items[:, 0])
        ranking = self.ranking_losses(user, items, batch)
        return StepReport({"loss": losses.weighted_mean(ranking, batch["example_weight"])})

    def score_range(self, user: tf.Tensor, first: tf.Tensor | int, count: int) -> tf.Tensor:
        """Scores neighbouring rows: [batch, K, d] -> float32 [batch, count]."""
        return tf.reduce_max(super().score_range(user, first, count), 1)

    def score_candidates(self, user: tf.Tensor, ids: tf.Tensor) -> tf.Tensor:
        """Scores chosen items: [batch, K, d], int [batch, n] -> [batch, n]."""
        vectors = tf.gather(self.item_factors()[0], ids)
        return tf.reduce_max(tf.matmul(user, vectors, transpose_b=True), 1)


class FinetuningModel(InterestModel):
    """The extractor and the predictor of its interests' weights, taught by the target.

    Source: SPEC section 4, fine-tuning.

    Attributes:
      predictor: gives the interest weights.
    """

    def __init__(
        self,
        config: TiMiRecConfig,
        max_length: int,
        rows: int,
        num_items: int,
        seed: int = 0,
        counts: np.ndarray | None = None,
        trained: np.ndarray | None = None,
    ) -> None:
        """Creates the model.

        Args:
          config: the configuration.
          max_length: items T of a history.
          rows: rows of the item table: padding, then the items of histories.
          num_items: ranked items; they are the first of the table after padding.
          seed: of the dropout and of shared negatives.
          counts: int [num_items], their training interactions; alike if not given.
          trained: bool [rows - 1], whether an item of histories has training interactions; all
            have if not given.
        """
        super().__init__("finetuning", config, max_length, rows, num_items, seed, counts, trained)
        self.predictor = InterestPredictor(
            rows + 1,  # as in the release, which does not read the last one
            config.embedding_size,
            config.layers,
            config.projection_dropout,
            config.interests,
            name="predictor",
        )
        self.predictor(tf.zeros((1, max_length), tf.int32))
        self.built = True

    def encode_history(self, history: tf.Tensor) -> tf.Tensor:
        history = self.read_history(history)
        return self.weighted(self.interests(history), self.interest_weights(history))

    def weighted(self, interests: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        """Sums interests float [batch, K, d] by weights [batch, K] to users [batch, d]."""
        return tf.reduce_sum(weights[..., tf.newaxis] * interests, 1)

    def interest_weights(self, history: tf.Tensor) -> tf.Tensor:
        """Predicts each interest's weight: int [batch, T] -> float32 [batch, K], rows sum to 1."""
        return tf.nn.softmax(self.predictor(history))

    def target_interest_weights(self, history: tf.Tensor, target_item: tf.Tensor) -> tf.Tensor:
        """Returns the weights that the target teaches, float32 [batch, K]; rows sum to 1."""
        target = tf.gather(self.item_factors()[0], target_item)
        nearness = self.target_nearness(self.interests(history), target)
        return tf.nn.softmax(nearness / self.config.temperature)

    def target_nearness(self, interests: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
        """Cosines of interests float [batch, K, d] and targets [batch, d]: float [batch, K]."""
        interests = tf.math.l2_normalize(interests, -1, epsilon=1e-24)
        target = tf.math.l2_normalize(target, -1, epsilon=1e-24)
        return tf.reduce_sum(interests * target[:, tf.newaxis], -1)

    def distillation_losses(self, nearness: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        """KL of the predicted weights from the target's, at the temperature: float [batch].

        Args:
          nearness: float [batch, K], see `target_nearness`; gets no gradient.
          logits: float [batch, K] of the predictor.
        """
        taught = tf.nn.log_softmax(tf.stop_gradient(nearness) / self.config.temperature)
        predicted = tf.nn.log_softmax(logits / self.config.temperature)
        return tf.reduce_sum(tf.exp(taught) * (taught - predicted), -1)

    def compute_losses(self, batch: Batch) -> StepReport:
        history, weight = batch["history"], batch["example_weight"]
        row_dropout = self.row_dropout(batch)
        interests, items = self.interests(history, row_dropout), self.training_items(batch)
        logits = self.predictor(history, row_dropout)
        user = self.weighted(interests, tf.nn.softmax(logits))
        ranking = losses.weighted_mean(self.ranking_losses(user, items, batch), weight)
        nearness = self.target_nearness(interests, items[:, 0])
        distillation = losses.weighted_mean(self.distillation_losses(nearness, logits), weight)
        # The gradient of softened weights shrinks with the square of the temperature.
        loss = ranking + self.config.temperature**2 * distillation
        return StepReport(
            {"loss": loss, "ranking_loss": ranking, "distillation_loss": distillation}
        )
