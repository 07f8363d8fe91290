"""How much each task listens to each expert: SPEC section 2, gate."""

import tensorflow as tf

from tfcdr.systems.syncrec.draws import Draws
from tfcdr.systems.syncrec.stacked import StackedDense

_NOISE_FLOOR = 1e-3


class PartitionedGates(tf.keras.layers.Layer):
    """Gates of several tasks: a softmax over each group of experts, noisy in training.

    A group's softmax is multiplied by the group's share of the gate, so that a task's weights sum
    to 1 over all experts: the single experts', then the cross experts'.
    """

    def __init__(self, count: int, single: int, cross: int, **kwargs: object) -> None:
        """Creates the gates.

        Args:
          count: tasks with a gate of their own; 1 for a gate that all tasks share.
          single: S, single experts.
          cross: C, cross experts.
          **kwargs: of the Keras layer.
        """
        super().__init__(**kwargs)
        self.gate_single = StackedDense(count, single, name="gate_single")
        self.noise_single = StackedDense(count, single, name="noise_single")
        self.gate_cross = StackedDense(count, cross, name="gate_cross")
        self.noise_cross = StackedDense(count, cross, name="noise_cross")

    def build(self, input_shape: tf.TensorShape) -> None:
        # A model is first called without noise.
        for noise in (self.noise_single, self.noise_cross):
            with tf.name_scope(noise.name):
                noise.build(input_shape)
        super().build(input_shape)

    def call(self, inputs: tf.Tensor, draws: Draws, *, single_share: float) -> tf.Tensor:
        """Weighs the experts.

        Args:
          inputs: float [tasks, B, T * H], the tasks' embedded sequences.
          draws: the noise.
          single_share: of the single experts' group; the cross experts have the rest.

        Returns:
          Float [tasks, B, E].
        """
        logits = self._noisy(self.gate_single, self.noise_single, inputs, draws, "single")
        cross = self._noisy(self.gate_cross, self.noise_cross, inputs, draws, "cross")
        return _shared_out(logits, cross, single_share)

    def call_last(self, inputs: tf.Tensor, draws: Draws, *, single_share: float) -> tf.Tensor:
        """Weighs the experts for one task by the gate of the last task.

        Args:
          inputs: float [1, B, T * H].
          draws: as in a call.
          single_share: as in a call.
        """
        # Every gate reads the sequence; only the last is heard. A rare mode of the release.
        every = self(tf.repeat(inputs, self.gate_single.count, 0), draws, single_share=single_share)
        return every[-1:]

    def _noisy(
        self, gate: StackedDense, noise: StackedDense, inputs: tf.Tensor, draws: Draws, name: str
    ) -> tf.Tensor:
        logits = gate(inputs)
        drawn = draws.gate_noise(name, logits)
        if drawn is None:
            return logits
        return logits + drawn * (tf.nn.softplus(noise(inputs)) + _NOISE_FLOOR)


class PlainGates(tf.keras.layers.Layer):
    """Gates of several tasks: one softmax over all experts, without noise."""

    def __init__(self, count: int, single: int, cross: int, **kwargs: object) -> None:
        """Creates the gates; see `PartitionedGates`."""
        super().__init__(**kwargs)
        self.gate_total = StackedDense(count, single + cross, name="gate_total")

    def call(self, inputs: tf.Tensor, draws: Draws, *, single_share: float) -> tf.Tensor:
        """Weighs the experts; see `PartitionedGates.call`."""
        del draws, single_share
        return tf.nn.softmax(self.gate_total(inputs))

    def call_last(self, inputs: tf.Tensor, draws: Draws, *, single_share: float) -> tf.Tensor:
        """See `PartitionedGates.call_last`."""
        every = self(tf.repeat(inputs, self.gate_total.count, 0), draws, single_share=single_share)
        return every[-1:]


def _shared_out(single: tf.Tensor, cross: tf.Tensor, single_share: float) -> tf.Tensor:
    parts = ((single_share, single), (1 - single_share, cross))
    return tf.concat([share * tf.nn.softmax(logits) for share, logits in parts], -1)
