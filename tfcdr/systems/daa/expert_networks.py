"""Backbones that mix experts: one gate (OMoE), a gate a task (MMoE), experts of a task's (PLE)."""

import tensorflow as tf

from tfcdr.layers.mlp_bank import LinearBank, MlpBank
from tfcdr.systems.daa.backbone import (
    TASKS,
    Backbone,
    Prediction,
    flatten,
    mix,
    predict,
    split_seed,
)


class OneGateMixture(Backbone):
    """All towers read one mixture of the experts."""

    def _create_layers(self) -> None:
        self.embedding = self._embedding()
        self.expert = self._bottoms(self.config.experts, "expert")
        self.gate = LinearBank(1, self.config.experts, name="gate")
        self.tower = self._towers(len(TASKS), "tower")

    def call(
        self,
        categorical: tf.Tensor,
        numerical: tf.Tensor,
        training: bool = False,
        seed: tf.Tensor | None = None,
    ) -> Prediction:
        of_expert, of_tower = split_seed(seed, 2)
        inputs = flatten(self.embedding(categorical, numerical))
        experts = self.expert(inputs, training=training, seed=of_expert)
        hidden = mix(tf.nn.softmax(self.gate(inputs)), experts)[:, 0]
        logits = self.tower(hidden, training=training, seed=of_tower)
        return predict(logits, hidden)


class MultiGateMixture(Backbone):
    """Each tower reads a mixture of its own."""

    def _create_layers(self) -> None:
        self.embedding = self._embedding()
        self.expert = self._bottoms(self.config.experts, "expert")
        self.gate = LinearBank(len(TASKS), self.config.experts, name="gate")
        self.tower = self._towers(len(TASKS), "tower")

    def call(
        self,
        categorical: tf.Tensor,
        numerical: tf.Tensor,
        training: bool = False,
        seed: tf.Tensor | None = None,
    ) -> Prediction:
        of_expert, of_tower = split_seed(seed, 2)
        inputs = flatten(self.embedding(categorical, numerical))
        experts = self.expert(inputs, training=training, seed=of_expert)
        hidden = mix(tf.nn.softmax(self.gate(inputs)), experts)
        logits = self.tower(hidden, training=training, seed=of_tower)
        return predict(logits, hidden)


class ExtractionLevel(tf.keras.layers.Layer):
    """One level of progressive layered extraction: experts of each task and shared ones.

    The groups of experts are the tasks' in their order, then the shared one. The experts of a
    group read the same, so that a group is one perceptron as wide as all of them.
    """

    def __init__(
        self, experts: int, width: int, dropout: float, has_shared_state: bool, **kwargs: object
    ) -> None:
        """Creates the level.

        Args:
          experts: in each group.
          width: of an expert's output.
          dropout: share of an expert's units that training drops.
          has_shared_state: whether a level follows, for which a shared state is mixed too.
          **kwargs: of the Keras layer.
        """
        super().__init__(**kwargs)
        self.num_experts = experts
        self.width = width
        groups = len(TASKS) + 1
        self.experts = MlpBank(groups, (experts * width,), dropout, name="experts")
        self.task_gates = LinearBank(len(TASKS), 2 * experts, name="task_gates")
        # The release also has a shared gate in the last level, which nothing reads.
        self.shared_gate = (
            LinearBank(1, groups * experts, name="shared_gate") if has_shared_state else None
        )

    def call(
        self, states: tf.Tensor, training: bool = False, seed: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Mixes new states from the old.

        Args:
          states: float [batch, in], which all groups read, or [batch, groups, in].
          training: see `MlpBank`.
          seed: see `MlpBank`.

        Returns:
          Float [batch, groups, width], or [batch, tasks, width] without a shared state.
        """
        experts = self.experts(states, training=training, seed=seed)
        groups = len(TASKS) + 1
        experts = tf.reshape(experts, (-1, groups, self.num_experts, self.width))
        of_tasks, of_shared = states, states
        if states.shape.rank == 3:
            of_tasks, of_shared = states[:, :-1], states[:, -1]
        gates = tf.nn.softmax(self.task_gates(of_tasks))
        own, shared = tf.split(gates, 2, axis=-1)  # the task's own experts come first
        own_mixed = tf.matmul(own[:, :, tf.newaxis], experts[:, :-1])[:, :, 0]
        mixed = own_mixed + mix(shared, experts[:, -1])
        if self.shared_gate is None:
            return mixed
        everyone = tf.reshape(experts, (-1, groups * self.num_experts, self.width))
        of_everyone = mix(tf.nn.softmax(self.shared_gate(of_shared)), everyone)
        return tf.concat([mixed, of_everyone], 1)


class LayeredExtraction(Backbone):
    """Progressive layered extraction (PLE): one level for each width of the bottom."""

    def _create_layers(self) -> None:
        config = self.config
        last = len(config.bottom_widths) - 1
        self.embedding = self._embedding()
        self.levels = [
            ExtractionLevel(
                config.experts // 2,
                width,
                config.dropout,
                has_shared_state=level < last,
                name=f"level{level}",
            )
            for level, width in enumerate(config.bottom_widths)
        ]
        self.tower = self._towers(len(TASKS), "tower")

    def call(
        self,
        categorical: tf.Tensor,
        numerical: tf.Tensor,
        training: bool = False,
        seed: tf.Tensor | None = None,
    ) -> Prediction:
        *of_levels, of_tower = split_seed(seed, len(self.levels) + 1)
        states = flatten(self.embedding(categorical, numerical))
        for level, of_level in zip(self.levels, of_levels, strict=True):
            states = level(states, training=training, seed=of_level)
        logits = self.tower(states, training=training, seed=of_tower)
        return predict(logits, states)
