"""MetaHeac's network: experts and towers, mixed by gates that read a task's embedding."""

import math

import tensorflow as tf

from tfcdr.layers.mlp_bank import LinearBank
from tfcdr.systems.daa.backbone import (
    TASKS,
    Backbone,
    Prediction,
    flatten,
    mix,
    predict,
    split_seed,
)


class MetaHeac(Backbone):
    """Every task mixes the same experts and the probabilities of the same towers ("critics")."""

    def _create_layers(self) -> None:
        config = self.config
        self.embedding = self._embedding()
        self.task_embedding = self.add_weight(
            "task_embedding",
            (len(TASKS), config.embedding_size),
            initializer=tf.keras.initializers.RandomNormal(stddev=1.0),
        )
        self.expert = self._bottoms(config.experts, "expert")
        self.critic = self._towers(config.mixture_critics, "critic")
        self.expert_gate = LinearBank(1, config.experts, name="expert_gate")
        self.critic_gate = LinearBank(1, config.mixture_critics, name="critic_gate")

    def call(
        self,
        categorical: tf.Tensor,
        numerical: tf.Tensor,
        training: bool = False,
        seed: tf.Tensor | None = None,
        task_embedding: tf.Tensor | None = None,
    ) -> Prediction:
        """Computes the network.

        Args:
          categorical: see `Backbone.call`.
          numerical: see `Backbone.call`.
          training: see `Backbone.call`.
          seed: see `Backbone.call`.
          task_embedding: float [tasks, e], the embeddings that an inner step moved; the network's
            own ones by default.
        """
        if task_embedding is None:
            task_embedding = tf.convert_to_tensor(self.task_embedding)
        of_expert, *of_critics = split_seed(seed, 1 + len(TASKS))
        embedded = self.embedding(categorical, numerical)
        experts = self.expert(flatten(embedded), training=training, seed=of_expert)
        gate_inputs = self._gate_inputs(embedded, task_embedding)
        hidden = mix(tf.nn.softmax(self._gates(self.expert_gate, gate_inputs)), experts)
        log_gates = tf.nn.log_softmax(self._gates(self.critic_gate, gate_inputs))
        # Each task's features are a batch of their own to the towers' batch norms.
        logits = [
            self._mixed_logit(
                self.critic(hidden[:, task], training=training, seed=of_task), log_gates[:, task]
            )
            for task, of_task in enumerate(of_critics)
        ]
        return predict(tf.stack(logits, 1), hidden)

    def _gate_inputs(self, embedded: tf.Tensor, task_embedding: tf.Tensor) -> tf.Tensor:
        """Returns [task embedding; mean of the impression's vectors], float [batch * tasks, 2e]."""
        mean = tf.reduce_mean(embedded, 1)
        of_tasks = tf.tile(tf.cast(task_embedding, mean.dtype), (tf.shape(mean)[0], 1))
        return tf.concat([of_tasks, tf.repeat(mean, len(TASKS), axis=0)], 1)

    def _gates(self, gate: LinearBank, inputs: tf.Tensor) -> tf.Tensor:
        """Returns a gate's logits, float [batch, tasks, gate's width]."""
        return tf.reshape(gate(inputs), (-1, len(TASKS), gate.width))

    def _mixed_logit(self, logits: tf.Tensor, log_gates: tf.Tensor) -> tf.Tensor:
        """Returns the logit of the mixed probability, computed from logarithms.

        Args:
          logits: float [batch, critics].
          log_gates: float [batch, critics], logarithms of weights that sum to 1.

        Returns:
          Float [batch].
        """
        log_yes = tf.reduce_logsumexp(log_gates + tf.math.log_sigmoid(logits), 1)
        if self.config.critic_mixture == "convex":
            return log_yes - tf.reduce_logsumexp(log_gates + tf.math.log_sigmoid(-logits), 1)
        log_yes -= math.log(self.config.mixture_critics)
        return log_yes - tf.math.log1p(-tf.exp(log_yes))
