"""What SyNCRec is compared with: an encoder for each domain, that shares nothing with the others.

What is left of the cooperative model where there is one domain: one expert, its tower, no gate.
"""

from collections.abc import Sequence

import tensorflow as tf

from tfcdr.named_rows import NamedRows
from tfcdr.stage_model import Batch, StepReport, Totals
from tfcdr.systems.syncrec.config import SyncRecConfig
from tfcdr.systems.syncrec.domain_model import DomainModel
from tfcdr.systems.syncrec.draws import Draws, NoDraws, StepDraws
from tfcdr.systems.syncrec.encoder import (
    AttentionBlock,
    Dropouts,
    FeedForward,
    causal_mask,
)
from tfcdr.systems.syncrec.stacked import StackedLayerNorm, normal


class SingleDomainModel(DomainModel):
    """D encoders side by side; no weight is moved by more than one domain.

    Items of different domains have different rows of one table. In training `items`, `next_items`
    int32 [B, D, T] and, where the loss reads negatives of each position, `negative_items` int32
    [B, D, T, N]: each domain's own sequence.
    """

    def __init__(
        self,
        config: SyncRecConfig,
        domain_sizes: Sequence[int],
        max_length: int,
        domain_names: Sequence[str],
        seed: int = 0,
    ) -> None:
        """Creates the model; see `SyncRecModel`."""
        super().__init__("single_domain", config, domain_sizes, max_length, seed)
        self._names = tuple(domain_names)
        domains, size = len(domain_sizes), config.hidden_size
        self.item_table = self.add_weight(
            "item_table", (self.num_items + 1, size), initializer=normal()
        )
        self.position_table = self.add_weight(
            "position_table", (domains, max_length, size), initializer=normal()
        )
        self.norm = StackedLayerNorm(domains, name="norm")
        dropouts = Dropouts(config.hidden_dropout, config.attention_dropout)
        self.attention_blocks = [
            AttentionBlock(domains, size, config.heads, dropouts, name=f"attention{layer}")
            for layer in range(config.layers)
        ]
        self.feed_forwards = [
            FeedForward(domains, size, config.hidden_dropout, name=f"feed_forward{layer}")
            for layer in range(config.layers)
        ]
        self.towers = FeedForward(domains, size, config.hidden_dropout, name="towers")
        self.hidden(tf.zeros((domains, 1, max_length), tf.int32), NoDraws())
        self.built = True

    @property
    def batch_spec(self) -> dict[str, tf.TensorSpec]:
        shape = [None, len(self.domain_sizes), self.max_length]
        negatives = {"negative_items": tf.TensorSpec([*shape, None], tf.int32)}
        return {
            "items": tf.TensorSpec(shape, tf.int32),
            "next_items": tf.TensorSpec(shape, tf.int32),
            **(negatives if self.item_loss.reads_negatives else {}),
            "user": tf.TensorSpec([None], tf.int32),
            "example_weight": tf.TensorSpec([None], tf.float32),
        }

    def hidden(self, items: tf.Tensor, draws: Draws) -> tf.Tensor:
        """Reads each domain's sequences: int32 [D, B, T] -> float [D, B, T, H]."""
        vectors = tf.gather(self.item_table, items)
        is_item = items > 0
        vectors = tf.where(is_item[..., tf.newaxis], vectors, tf.stop_gradient(vectors))
        summed = self.norm(vectors + self.position_table[:, tf.newaxis])
        # The stack is the domains'; each of its blocks reads one task.
        hidden = draws.dropout(summed, self.config.hidden_dropout, row_axis=1)[:, tf.newaxis]
        mask = causal_mask(is_item)[:, tf.newaxis]
        if self.config.heads > 1:
            # Heads are a part of the blocks' stack.
            mask = tf.tile(mask, (self.config.heads, 1, 1, 1, 1))
        for block, feed_forward in zip(self.attention_blocks, self.feed_forwards, strict=True):
            hidden = feed_forward(block(hidden, mask, draws), draws)
        return self.towers(hidden, draws)[:, 0]

    def batch_totals(self, batch: Batch) -> Totals:
        weights = self._weights(batch)
        return {"targets": tf.reduce_sum(weights)}

    def compute_losses(self, batch: Batch) -> StepReport:
        return self.losses_of_rows(batch, None)

    @tf.autograph.experimental.do_not_convert  # which would take longer than the tracing
    def losses_of_rows(self, batch: Batch, totals: Totals | None) -> StepReport:
        draws = StepDraws(self._seed, self.optimizer.iterations, batch["user"], permuted=False)
        hidden = self.hidden(tf.transpose(batch["items"], (1, 0, 2)), draws)
        domains = tf.range(1, len(self.domain_sizes) + 1)[:, tf.newaxis]
        of_positions = self.position_losses(tf.transpose(hidden, (1, 0, 2, 3)), batch, domains)
        weights = self._weights(batch)
        total = tf.reduce_sum(weights * of_positions)
        targets = tf.reduce_sum(weights) if totals is None else totals["targets"]
        return StepReport({"loss": tf.math.divide_no_nan(total, targets)})

    @tf.autograph.experimental.do_not_convert
    def encode(
        self, items: tf.Tensor, domains: tf.Tensor, target_domain: tf.Tensor | int
    ) -> tf.Tensor:
        """Reads the items of the target's domain alone, whatever else is among them."""
        target = tf.broadcast_to(target_domain, tf.shape(items)[:1])
        own = tf.where(domains == target[:, tf.newaxis], items, 0)
        # Other domains' items leave no gap.
        order = tf.argsort(tf.sign(own), axis=1, stable=True)
        own = tf.gather(own, order, batch_dims=1)
        number = len(self.domain_sizes)
        hidden = self.hidden(tf.tile(own[tf.newaxis], (number, 1, 1)), NoDraws())[:, :, -1]
        chosen = tf.one_hot(target - 1, number, axis=0, dtype=hidden.dtype)
        user = tf.cast(tf.reduce_sum(chosen[..., tf.newaxis] * hidden, 0), tf.float32)
        return tf.where(own[:, -1:] > 0, user, 0.0)

    def rows_of_domains(self) -> list[NamedRows]:
        others = [each for each in self.variables if each is not self.item_table]
        return [NamedRows(variable, self._names) for variable in others]

    def item_factors(self) -> tuple[tf.Tensor, None]:
        return self.item_table, None

    def _weights(self, batch: Batch) -> tf.Tensor:
        """Float32 [B, D, T], which positions have a target."""
        is_target = tf.cast(batch["next_items"] > 0, tf.float32)
        return is_target * batch["example_weight"][:, tf.newaxis, tf.newaxis]
