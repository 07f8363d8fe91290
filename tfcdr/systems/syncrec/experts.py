"""A group of experts, which reads the sequences of several tasks at once: SPEC section 2."""

import tensorflow as tf

from tfcdr.systems.syncrec.config import SyncRecConfig
from tfcdr.systems.syncrec.draws import Draws
from tfcdr.systems.syncrec.embedding import FoldedSequences, Sequences
from tfcdr.systems.syncrec.encoder import AttentionBlock, Dropouts, FeedForward, causal_mask


class TransformerExperts(tf.keras.layers.Layer):
    """Experts that are encoders of several layers, an attention and a feed-forward block each."""

    def __init__(self, count: int, config: SyncRecConfig, **kwargs: object) -> None:
        """Creates the experts.

        Args:
          count: with weights of their own; 1 for one that stands for all.
          config: the configuration.
          **kwargs: of the Keras layer.
        """
        super().__init__(**kwargs)
        size = config.hidden_size
        self.attention_blocks = attention_blocks(count, config)
        self.feed_forwards = [
            FeedForward(count, size, config.hidden_dropout, name=f"feed_forward{layer}")
            for layer in range(config.layers)
        ]

    def call(
        self,
        sequences: Sequences | FoldedSequences,
        mask: tf.Tensor,
        draws: Draws,
        *,
        number: int,
    ) -> tf.Tensor:
        first, *others = self.attention_blocks
        hidden = first.read(sequences, number, mask, draws)
        hidden = self.feed_forwards[0](hidden, draws)
        for block, feed_forward in zip(others, self.feed_forwards[1:], strict=True):
            hidden = feed_forward(block(hidden, mask, draws), draws)
        return hidden


class FeedForwardExperts(tf.keras.layers.Layer):
    """Experts that are one feed-forward block each, above attention that they are given."""

    def __init__(self, count: int, config: SyncRecConfig, **kwargs: object) -> None:
        """Creates the experts; `count` as in `TransformerExperts`."""
        super().__init__(**kwargs)
        self.feed_forward = FeedForward(
            count, config.hidden_size, config.hidden_dropout, name="feed_forward"
        )

    def call(self, attended: tf.Tensor, draws: Draws, *, number: int) -> tf.Tensor:
        """Reads float [1, P, B, T, H] by `number` experts: [number, P, B, T, H]."""
        return self.feed_forward(tf.repeat(attended, number, 0), draws)


class SharedAttention(tf.keras.layers.Layer):
    """The attention below all feed-forward experts: blocks one behind the other."""

    def __init__(self, config: SyncRecConfig, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.attention_blocks = attention_blocks(1, config)

    def call(
        self, sequences: Sequences | FoldedSequences, mask: tf.Tensor, draws: Draws
    ) -> tf.Tensor:
        """Reads P tasks' sequences: float [1, P, B, T, H]."""
        first, *others = self.attention_blocks
        hidden = first.read(sequences, 1, mask, draws)
        for block in others:
            hidden = block(hidden, mask, draws)
        return hidden


def attention_blocks(count: int, config: SyncRecConfig) -> list[AttentionBlock]:
    """Returns a block for each layer; `count` as in `TransformerExperts`."""
    dropouts = Dropouts(config.hidden_dropout, config.attention_dropout)
    return [
        AttentionBlock(count, config.hidden_size, config.heads, dropouts, name=f"attention{layer}")
        for layer in range(config.layers)
    ]


def task_mask(sequences: Sequences | FoldedSequences, config: SyncRecConfig) -> tf.Tensor:
    """Returns the attention mask of the tasks' sequences, bool [1 or P, B, queries, keys]."""
    if isinstance(sequences, FoldedSequences):
        return sequences.mask
    attended = config.blanked_positions == "attended"
    return causal_mask(sequences.is_item[tf.newaxis] if attended else sequences.kept)
