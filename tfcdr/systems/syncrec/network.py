"""The network that single- and cross-domain tasks share: SPEC section 3.

The single-domain tasks of all domains are one batched computation. Outputs that a task must leave
as they are come out of operations of their own behind `tf.stop_gradient`, so that nothing is
computed backwards for them.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from tfcdr.systems.syncrec.config import SyncRecConfig
from tfcdr.systems.syncrec.draws import Draws
from tfcdr.systems.syncrec.embedding import (
    FoldedSequences,
    SequenceEmbedding,
    Sequences,
    folded,
    of_each_domain,
)
from tfcdr.systems.syncrec.encoder import FeedForward
from tfcdr.systems.syncrec.experts import (
    FeedForwardExperts,
    SharedAttention,
    TransformerExperts,
    task_mask,
)
from tfcdr.systems.syncrec.gate import PartitionedGates, PlainGates


class TaskOutputs(NamedTuple):
    """What P tasks make of B users.

    Attributes:
      embedded: float [P, B, T, H], x: the sequences that experts and gates read.
      gates: float [P, B, E], each expert's weight, the single experts' first.
      mixed: float [P, B, T, H], h: the experts' outputs, weighted by the gates.
      hidden: float [P, B, T, H], y: the towers' outputs.
    """

    embedded: tf.Tensor
    gates: tf.Tensor
    mixed: tf.Tensor
    hidden: tf.Tensor


class OwnOutputs(NamedTuple):
    """What the single-domain tasks make of B users, at the positions that matter.

    Attributes:
      gates: float [D, B, E].
      own: float [B, T, H], the state of the task of each item's domain.
      next: float [B, T, H], that of the task of the next item's domain.
    """

    gates: tf.Tensor
    own: tf.Tensor
    next: tf.Tensor


class CooperativeNetwork(tf.keras.layers.Layer):
    """Embedding, experts, gates and towers of D single-domain tasks and a cross-domain one."""

    def __init__(
        self, config: SyncRecConfig, rows: int, domains: int, max_length: int, **kwargs: object
    ) -> None:
        """Creates all parts.

        Args:
          config: the configuration.
          rows: of the item table, padding included.
          domains: D.
          max_length: T.
          **kwargs: of the Keras layer.
        """
        super().__init__(**kwargs)
        self._config = config
        self._domains = domains
        size, groups = config.hidden_size, (config.single_experts, config.cross_experts)
        self.embedding = SequenceEmbedding(
            rows, domains, max_length, size, config.hidden_dropout, name="embedding"
        )
        self.shared_attention = None
        kind = TransformerExperts
        if config.expert_layer == "ffn":
            kind = FeedForwardExperts
            self.shared_attention = SharedAttention(config, name="shared_attention")
        gates = PartitionedGates if config.has_partitioned_gates else PlainGates
        if config.modules == "released":
            # One of each stands for all.
            self.single_experts = self.cross_experts = kind(1, config, name="experts")
            self.single_gates = self.cross_gates = gates(1, *groups, name="gates")
            self.single_towers = self.cross_tower = FeedForward(
                1, size, config.hidden_dropout, name="towers"
            )
            return
        self.single_experts, self.cross_experts = (
            kind(count, config, name=f"{name}_experts")
            for name, count in zip(("single", "cross"), groups, strict=True)
        )
        self.single_gates, self.cross_gates = (
            gates(count, *groups, name=name)
            for name, count in (("single_gates", domains), ("cross_gates", 1))
        )
        self.single_towers, self.cross_tower = (
            FeedForward(count, size, config.hidden_dropout, name=name)
            for name, count in (("single_towers", domains), ("cross_tower", 1))
        )

    def own_variables(self) -> list[tf.Variable]:
        """Returns the variables that have a row for each domain, its gate's and its tower's."""
        if self._config.modules == "released":
            return []
        return [*self.single_gates.variables, *self.single_towers.variables]

    def idle_layers(self, with_single: bool) -> list[tf.keras.layers.Layer]:
        """Returns the parts that training does not move.

        Args:
          with_single: whether the single-domain tasks are among what it computes.
        """
        idle = [] if with_single else [self.single_experts, self.single_gates, self.single_towers]
        moved = [self.cross_experts, self.cross_tower]
        borrowed = self._config.cross_gate_in_training == "last_domain"
        moved.append(self.single_gates if borrowed else self.cross_gates)
        if borrowed:
            idle.append(self.cross_gates)
        moved += [self.single_gates] if with_single else []
        return [layer for layer in idle if not any(layer is other for other in moved)]

    def single_tasks(self, items: tf.Tensor, domains: tf.Tensor, draws: Draws) -> TaskOutputs:
        """Lets the single-domain task of each domain read its positions.

        Args:
          items: int32 [B, T], left-padded with 0.
          domains: int32 [B, T] from 1, 0 for padding.
          draws: of the step.

        Returns:
          The outputs of D tasks, in the order of domains.
        """
        config = self._config
        sequences = self.embedding(items, domains, draws)
        sequences = of_each_domain(sequences, domains, self._domains)
        constant = (False, config.single_stop_gradient)
        experts = self._read(sequences, constant, draws)
        gates = self._single_gates(sequences, draws)
        return self._outputs(sequences, experts, gates, self.single_towers, draws)

    def own_outputs(
        self, items: tf.Tensor, domains: tf.Tensor, next_domains: tf.Tensor, draws: Draws
    ) -> OwnOutputs:
        """Lets the single-domain tasks read, and keeps each where it is its turn.

        Where tasks see their own domain alone, they are folded into one: what they cost then does
        not depend on the number of domains, but for gates and towers.

        Args:
          items: as in `single_tasks`.
          domains: as in `single_tasks`.
          next_domains: int32 [B, T], of the items that come next.
          draws: of the step.
        """
        if self._config.blanked_positions == "masked":
            return self._folded_tasks(items, domains, next_domains, draws)
        outputs = self.single_tasks(items, domains, draws)
        own, following = (
            tf.reduce_sum(turn[..., tf.newaxis] * outputs.hidden, 0)
            for turn in (self._turns(domains), self._turns(next_domains))
        )
        return OwnOutputs(outputs.gates, own, following)

    def task_gates(self, items: tf.Tensor, domains: tf.Tensor, draws: Draws) -> tf.Tensor:
        """Returns the single-domain tasks' gates alone, float [D, B, E]; see `single_tasks`."""
        every = self.embedding(items, domains, draws)
        return self._single_gates(of_each_domain(every, domains, self._domains), draws)

    def cross_task(
        self, items: tf.Tensor, domains: tf.Tensor, draws: Draws, training: bool
    ) -> TaskOutputs:
        """Lets the cross-domain task read all positions.

        Args:
          items: as in `single_tasks`.
          domains: as in `single_tasks`.
          draws: of the step.
          training: whether `cross_gate_in_training` and stop-gradients count.

        Returns:
          The outputs of one task.
        """
        config = self._config
        sequences = self.embedding(items, domains, draws)
        borrowed = training and config.cross_gate_in_training == "last_domain"
        stopped = config.single_stop_gradient if borrowed else config.cross_stop_gradient
        constant = (stopped or config.loss_weighting == "cross_only", False)
        experts = self._read(sequences, constant, draws)
        inputs, share = self._gate_inputs(sequences), 1 - config.cross_expert_ratio
        gate = self.single_gates.call_last if borrowed else self.cross_gates
        gates = gate(inputs, draws, single_share=share)
        return self._outputs(sequences, experts, gates, self.cross_tower, draws)

    def _folded_tasks(
        self,
        items: tf.Tensor,
        domains: tf.Tensor,
        next_domains: tf.Tensor,
        draws: Draws,
    ) -> OwnOutputs:
        """Does what `own_outputs` does, for tasks that see their own domain alone."""
        every = self.embedding(items, domains, draws)
        gates = self._single_gates(of_each_domain(every, domains, self._domains), draws)
        tokens = folded(every, domains, next_domains)
        experts = self._read(tokens, (False, self._config.single_stop_gradient), draws)
        # Each token's gate is that of the task that reads it.
        reading = tf.concat([domains, next_domains], 1)
        of_tokens = tf.reduce_sum(
            self._turns(reading)[..., tf.newaxis] * gates[:, :, tf.newaxis], 0
        )
        mixed = _mixture(experts, tf.transpose(of_tokens, (2, 0, 1))[:, tf.newaxis])[0]
        # Padding is anybody's, and then nothing.
        hidden = self.single_towers.of_tokens(mixed, tf.maximum(reading - 1, 0), draws)
        hidden = tf.where(reading[..., tf.newaxis] > 0, hidden, tf.zeros_like(hidden))
        own, following = tf.split(hidden, 2, 1)
        # Of two states of one token, which dropout tells apart, it is the item's.
        following = tf.where(tokens.is_same[..., tf.newaxis], own, following)
        return OwnOutputs(gates, own, following)

    def _turns(self, domains: tf.Tensor) -> tf.Tensor:
        """Returns float [D, ...], 1 where int32 [...] is the domain of the task."""
        numbers = tf.range(1, self._domains + 1)
        numbers = tf.reshape(numbers, (-1, *[1] * domains.shape.rank))
        return tf.cast(domains == numbers, self.compute_dtype)

    def _single_gates(self, sequences: Sequences, draws: Draws) -> tf.Tensor:
        share = self._config.cross_expert_ratio
        return self.single_gates(self._gate_inputs(sequences), draws, single_share=share)

    def _read(
        self, sequences: Sequences | FoldedSequences, constant: tuple[bool, bool], draws: Draws
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the outputs of both groups: float [S, P, B, T, H] and [C, P, B, T, H].

        Args:
          sequences: of P tasks.
          constant: whether the single and the cross experts' outputs are constants.
          draws: of the step.
        """
        config, mask = self._config, task_mask(sequences, self._config)
        if self.shared_attention is None:
            inputs: tuple[Any, ...] = (sequences, mask, draws)
        else:
            inputs = (self.shared_attention(sequences, mask, draws), draws)

        def outputs(experts: Callable[..., tf.Tensor], number: int, stopped: bool) -> tf.Tensor:
            of_experts = experts(*inputs, number=number)
            return tf.stop_gradient(of_experts) if stopped else of_experts

        return (
            outputs(self.single_experts, config.single_experts, constant[0]),
            outputs(self.cross_experts, config.cross_experts, constant[1]),
        )

    def _gate_inputs(self, sequences: Sequences) -> tf.Tensor:
        embedded = sequences.of_tasks()
        tasks, _, time, size = embedded.shape
        return tf.reshape(embedded, (tasks, -1, time * size))

    def _outputs(
        self,
        sequences: Sequences,
        experts: tuple[tf.Tensor, tf.Tensor],
        gates: tf.Tensor,
        towers: FeedForward,
        draws: Draws,
    ) -> TaskOutputs:
        weights = tf.transpose(gates, (2, 0, 1))[..., tf.newaxis]
        mixed = _mixture(experts, weights)
        # The towers' stack is the tasks'.
        hidden = towers(mixed[:, tf.newaxis], draws)[:, 0]
        return TaskOutputs(sequences.of_tasks(), gates, mixed, hidden)


def _mixture(experts: tuple[tf.Tensor, tf.Tensor], weights: tf.Tensor) -> tf.Tensor:
    """Sums both groups' outputs, float [.., P, B, T, H], by weights [E, P, B, T or 1].

    It is no matrix product, since what is summed over is the stack.
    """
    single, cross = experts
    parts = tf.split(weights[..., tf.newaxis], [single.shape[0], cross.shape[0]], 0)
    return tf.add_n([tf.reduce_sum(part * of, 0) for part, of in zip(parts, experts, strict=True)])
