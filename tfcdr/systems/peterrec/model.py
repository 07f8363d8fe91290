"""PeterRec's two stages as Keras models: pre-training on source sequences, fine-tuning."""

import numpy as np
import tensorflow as tf

from tfcdr import losses
from tfcdr.layers import candidate_sampling
from tfcdr.layers.row_dropout import RowDropout, UnitDropout
from tfcdr.ranking.item_loss import ItemLoss
from tfcdr.ranking.model import RankingModel, RankingQuery
from tfcdr.stage_model import Batch, StageModel, StepReport, Totals
from tfcdr.systems.peterrec.config import PeterRecConfig
from tfcdr.systems.peterrec.trunk import INITIAL_STDDEV, Trunk

# A use of dropout within a step, apart from the trunk's.
_USER = 0


def make_trunk(config: PeterRecConfig, max_length: int, rows: int, with_adapters: bool) -> Trunk:
    """Builds the trunk of a configuration, with every weight created.

    Args:
      config: the configuration.
      max_length: items T of a history.
      rows: rows of the source item table, reserved ids included.
      with_adapters: whether to insert the configured adapters.
    """
    trunk = Trunk(
        rows=rows,
        channels=config.channels,
        dilations=config.dilations,
        kernel_size=config.kernel_size,
        causal=config.causal,
        # CLS at both ends lengthens a history by two.
        max_time=max_length + 2 if config.position_embedding else None,
        initialization=config.initialization,
        insertion=config.insertion if with_adapters else "",
        cardinality=config.cardinality,
        adapter_zero_start=config.adapter_zero_start,
        name="trunk",
    )
    trunk(tf.zeros((1, max_length), tf.int32))
    return trunk


class PretrainingModel(StageModel, RankingModel):
    """NextItNet (causal: next item at every position) or GRec's encoder (masked items).

    Training batch, causal (view `next_item`): `items` int32 [batch, T+1], left-padded with 0;
    `example_weight` float32 [batch]. Non-causal (view `masked_item`): `masked_items` int32
    [batch, T], `positions` and `labels` int32 [batch, M], `label_weight` float32 [batch, M],
    `example_weight`.

    Source: SPEC section 3.
    """

    def __init__(
        self,
        config: PeterRecConfig,
        max_length: int,
        rows: int,
        counts: np.ndarray,
        seed: int = 0,
    ) -> None:
        """Creates the model.

        Args:
          config: the configuration.
          max_length: items T of a history.
          rows: rows of the item table, reserved ids included.
          counts: int [num_items], training counts of ids 1..num_items.
          seed: of the sampled softmax.

        Raises:
          ValueError: the catalogue is too small for sampled softmax.
        """
        super().__init__(name="pretraining")
        self.config = config
        self.num_items = len(counts)
        self._seed = seed
        self.trunk = make_trunk(config, max_length, rows, with_adapters=False)
        if config.pretrain_loss == "full_softmax":
            self.sampler = None
            vector_start = tf.keras.initializers.TruncatedNormal(stddev=INITIAL_STDDEV)
            bias_start = tf.keras.initializers.Zeros()
        else:
            self.sampler = self._make_sampler(counts)
            vector_start = tf.keras.initializers.RandomNormal(stddev=0.01)
            bias_start = tf.keras.initializers.Constant(0.1)
        self.output_vectors = self.add_weight(
            "output_vectors", (rows, config.channels), initializer=vector_start
        )
        self.output_bias = self.add_weight("output_bias", (rows,), initializer=bias_start)
        self.built = True

    def _make_sampler(self, counts: np.ndarray) -> candidate_sampling.Sampler:
        num_distinct = int(self.config.sampled_share * len(counts))
        if self.config.sampler == "popularity":
            return candidate_sampling.PopularitySampler(counts, num_distinct)
        return candidate_sampling.LogUniformSampler(counts, num_distinct)

    @property
    def batch_spec(self) -> dict[str, tf.TensorSpec]:
        weight = {"example_weight": tf.TensorSpec([None], tf.float32)}
        if self.config.causal:
            return {"items": tf.TensorSpec([None, None], tf.int32), **weight}
        return {
            "masked_items": tf.TensorSpec([None, None], tf.int32),
            "positions": tf.TensorSpec([None, None], tf.int32),
            "labels": tf.TensorSpec([None, None], tf.int32),
            "label_weight": tf.TensorSpec([None, None], tf.float32),
            **weight,
        }

    def labels_and_weights(self, batch: Batch) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the labels int [batch, M] and their weights float [batch, M]."""
        example_weight = batch["example_weight"][:, tf.newaxis]
        if not self.config.causal:
            return batch["labels"], batch["label_weight"] * example_weight
        labels = batch["items"][:, 1:]
        counted = tf.ones_like(labels) if self.config.loss_on_padding else tf.sign(labels)
        return labels, tf.cast(counted, tf.float32) * example_weight

    def batch_totals(self, batch: Batch) -> Totals:
        return {"label_weight": tf.reduce_sum(self.labels_and_weights(batch)[1])}

    def hidden(self, batch: Batch) -> tf.Tensor:
        """Returns the hidden states float [batch, M, C] from which the labels are predicted."""
        if not self.config.causal:
            return tf.gather(self.trunk(batch["masked_items"]), batch["positions"], batch_dims=1)
        return self.trunk(batch["items"][:, :-1])

    def output_features(self, hidden: tf.Tensor) -> tf.Tensor:
        """Returns what the head reads: the full softmax takes the relu of the hidden state."""
        return tf.nn.relu(hidden) if self.sampler is None else hidden

    def position_losses(self, features: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """Returns the cross-entropy at each position, float [batch, M]."""
        if self.sampler is None:
            return tf.nn.sparse_softmax_cross_entropy_with_logits(
                labels, self.score_catalogue(features)
            )
        step = tf.cast(self.optimizer.iterations, tf.int32)
        sample = self.sampler.draw(tf.stack([self._seed, step]))
        return losses.sampled_softmax(
            features,
            labels,
            self.output_vectors,
            self.output_bias,
            sample.ids,
            sample.mask,
            self.sampler.log_expected_count(labels),
            self.sampler.log_expected_count(sample.ids),
        )

    def compute_losses(self, batch: Batch) -> StepReport:
        labels, weights = self.labels_and_weights(batch)
        position_losses = self.position_losses(self.output_features(self.hidden(batch)), labels)
        return StepReport({"loss": losses.weighted_mean(position_losses, weights)})

    def query(self, batch: Batch) -> RankingQuery:
        """Asks for the last item of each row; nothing is excluded, since items may repeat."""
        hidden, labels = self.hidden(batch), self.labels_and_weights(batch)[0]
        # An evaluation batch of `masked_item` hides the last item alone, at its first position.
        position = -1 if self.config.causal else 0
        return RankingQuery(
            user=self.output_features(hidden[:, position]),
            positive=labels[:, position],
            excluded=tf.zeros_like(labels[:, :1]),
            candidates=None,
        )

    def encode_history(self, history: tf.Tensor) -> tf.Tensor:
        """Reads what comes next: the last position, or a MASK put behind the history.

        As in training, a history with its MASK has the length T: the oldest item makes room.
        """
        if not self.config.causal:
            mask = tf.fill((tf.shape(history)[0], 1), self.trunk.item_embedding.input_dim - 1)
            history = tf.concat([history[:, 1:], mask], 1)
        return self.output_features(tf.cast(self.trunk(history)[:, -1], tf.float32))

    def item_factors(self) -> tuple[tf.Tensor, tf.Tensor]:
        return self.output_vectors, self.output_bias


class FinetuningModel(StageModel, RankingModel):
    """The (adapted) trunk read at its CLS tokens or last item, and the target item table W_t.

    Batch (view `transfer`): `context` int32 [batch, T+1], history then CLS (causal), or
    [batch, T+2], CLS on both sides; `target_item` int32 [batch]; `example_weight` float32
    [batch]; in training `negative_items` int32 [batch, negatives] where the loss reads negatives
    of each row, and `user` int32 [batch] where units are dropped. With history_domains=all or
    target (view `leave_one_out`) `history` int32 [batch, T] in place of `context`.

    Source: SPEC section 4.

    Attributes:
      item_loss: what fine-tuning learns by.
    """

    def __init__(
        self,
        config: PeterRecConfig,
        max_length: int,
        source_rows: int,
        num_targets: int,
        counts: np.ndarray | None = None,
        seed: int = 0,
    ) -> None:
        """Creates the model and freezes what the configured adaptation does not train.

        Args:
          config: the configuration.
          max_length: items T of a history.
          source_rows: rows of the table of histories' items, reserved ids included.
          num_targets: target items; the table has a row 0 besides.
          counts: int [num_targets], their training interactions; alike if not given.
          seed: of negatives that a batch shares and of the dropout.

        Raises:
          ValueError: the catalogue is too small for so many negatives.
        """
        super().__init__(name="finetuning")
        self.config = config
        self.num_items = num_targets
        self.own_places = round(config.own_share * max_length)
        counts = np.ones(num_targets) if counts is None else counts
        self.item_loss = ItemLoss(config, counts, config.negative_sampler, seed)
        self._seed = seed
        self.trunk = make_trunk(config, max_length, source_rows, config.has_adapters)
        self.target_embedding = None
        if config.target_table == "own":
            self.target_embedding = self.add_weight(
                "target_embedding",
                (num_targets + 1, config.channels),
                initializer=tf.keras.initializers.TruncatedNormal(stddev=INITIAL_STDDEV),
            )
        self._freeze()
        self.built = True

    @property
    def batch_spec(self) -> dict[str, tf.TensorSpec]:
        spec = {
            self._read_entry: tf.TensorSpec([None, None], tf.int32),
            "target_item": tf.TensorSpec([None], tf.int32),
            "example_weight": tf.TensorSpec([None], tf.float32),
        }
        if self.item_loss.reads_negatives:
            spec["negative_items"] = tf.TensorSpec([None, None], tf.int32)
        if self.config.finetune_dropout:
            spec["user"] = tf.TensorSpec([None], tf.int32)
        return spec

    @property
    def _read_entry(self) -> str:
        return "context" if self.config.history_domains == "source" else "history"

    def _freeze(self) -> None:
        if self.config.adaptation in ("fine_tune_all", "from_scratch"):
            return
        if self.config.adaptation == "last_layer":
            self.trunk.trainable = False
            return
        second_norms = {id(block.norm2) for block in self.trunk.blocks}
        for layer in self.trunk.pretrained_layers:
            layer.trainable = id(layer) in second_norms

    def encode(self, context: tf.Tensor, dropout: UnitDropout | None = None) -> tf.Tensor:
        """Returns user vectors float32 [batch, C] of histories with their CLS tokens, if any.

        `dropout` is training's, None drops nothing.
        """
        hidden = tf.cast(self.trunk(context, dropout=dropout), tf.float32)
        last = hidden[:, -1]
        user = last if self.config.causal else hidden[:, 0] + last
        return user if dropout is None else dropout(user, _USER)

    def encode_history(self, history: tf.Tensor, dropout: UnitDropout | None = None) -> tf.Tensor:
        """Encodes histories after adding the CLS tokens that the view `transfer` adds, if any."""
        if self.config.user_position == "last_item":
            return self.encode(history, dropout)
        cls = tf.fill((tf.shape(history)[0], 1), self.trunk.item_embedding.input_dim - 2)
        before = [] if self.config.causal else [cls]
        return self.encode(tf.concat([*before, history, cls], 1), dropout)

    def users(self, batch: Batch, dropout: UnitDropout | None = None) -> tf.Tensor:
        """Returns the user vectors float32 [batch, C] of a batch of either view."""
        if self.config.history_domains == "source":
            context = batch["context"]
            read_at_last_item = self.config.user_position == "last_item"
            return self.encode(context[:, :-1] if read_at_last_item else context, dropout)
        return self.encode_history(batch["history"], dropout)

    def dropout(self, batch: Batch) -> UnitDropout | None:
        """Returns what a step drops, None for nothing."""
        if not self.config.finetune_dropout:
            return None
        rows = batch["user"], batch["target_item"]
        drawn = RowDropout(self._seed, self.optimizer.iterations, *rows)
        return UnitDropout(drawn, self.config.finetune_dropout)

    def data_losses(self, user: tf.Tensor, batch: Batch) -> tf.Tensor:
        """Returns the loss of each example without the penalty, float [batch]."""
        if not self.item_loss.reads_negatives:
            return self.item_loss.of_users(
                user, batch["target_item"], self.item_factors(), self.optimizer.iterations
            )
        positive = self.score_candidates(user, batch["target_item"][:, tf.newaxis])[:, 0]
        negative = self.score_candidates(user, batch["negative_items"])
        return self.item_loss.of_scores(positive, negative)

    def penalty(self, batch: Batch) -> tf.Tensor:
        """Returns l2 * sum(W_t^2) / 2 over the whole table, row 0 included.

        Where only touched rows move, the sum goes over the rows that an example reads by itself,
        and the penalty is the mean over examples.
        """
        if not self.config.l2:
            return tf.zeros(())
        if self.config.table_update == "all_rows" or self.config.loss == "softmax":
            return self.config.l2 * tf.nn.l2_loss(self.item_factors()[0])
        ids = batch["target_item"][:, tf.newaxis]
        if self.item_loss.reads_negatives:
            ids = tf.concat([ids, batch["negative_items"]], 1)
        squares = tf.reduce_sum(tf.square(tf.gather(self.item_factors()[0], ids)), (1, 2))
        return self.config.l2 / 2 * losses.weighted_mean(squares, batch["example_weight"])

    def compute_losses(self, batch: Batch) -> StepReport:
        users = self.users(batch, self.dropout(batch))
        data_losses = self.data_losses(users, batch)
        data_loss = losses.weighted_mean(data_losses, batch["example_weight"])
        return StepReport({"loss": data_loss + self.penalty(batch), "data_loss": data_loss})

    def query(self, batch: Batch) -> RankingQuery:
        return RankingQuery(
            user=self.users(batch),
            positive=batch["target_item"],
            excluded=batch["seen_items"],
            candidates=batch.get("candidates"),
        )

    def item_factors(self) -> tuple[tf.Tensor, None]:
        """Returns W_t, float [1 + num_items, C]; the target's items come first in a joint space."""
        if self.target_embedding is None:
            return self.trunk.item_embedding.embeddings[: self.num_items + 1], None
        return self.target_embedding, None
