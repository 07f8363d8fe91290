"""Backbones without experts: single task, shared bottom, adaptive information transfer."""

import tensorflow as tf

from tfcdr.layers.mlp_bank import LinearBank
from tfcdr.systems.daa.backbone import (
    TASKS,
    Backbone,
    Prediction,
    flatten,
    predict,
    split_seed,
)


class SingleTask(Backbone):
    """A network of its own for every task, down to the embeddings."""

    def _create_layers(self) -> None:
        self.embeddings = [self._embedding(f"embedding{task}") for task in range(len(TASKS))]
        self.bottoms = [self._bottoms(1, f"bottom{task}") for task in range(len(TASKS))]
        self.tower = self._towers(len(TASKS), "tower")

    def call(
        self,
        categorical: tf.Tensor,
        numerical: tf.Tensor,
        training: bool = False,
        seed: tf.Tensor | None = None,
    ) -> Prediction:
        *of_bottoms, of_tower = split_seed(seed, len(TASKS) + 1)
        features = []
        for embedding, bottom, of_bottom in zip(
            self.embeddings, self.bottoms, of_bottoms, strict=True
        ):
            inputs = flatten(embedding(categorical, numerical))
            features.append(bottom(inputs, training=training, seed=of_bottom))
        hidden = tf.concat(features, 1)
        logits = self.tower(hidden, training=training, seed=of_tower)
        return predict(logits, hidden)


class SharedBottom(Backbone):
    """One bottom under all towers."""

    def _create_layers(self) -> None:
        self.embedding = self._embedding()
        self.bottom = self._bottoms(1, "bottom")
        self.tower = self._towers(len(TASKS), "tower")

    def call(
        self,
        categorical: tf.Tensor,
        numerical: tf.Tensor,
        training: bool = False,
        seed: tf.Tensor | None = None,
    ) -> Prediction:
        of_bottom, of_tower = split_seed(seed, 2)
        inputs = flatten(self.embedding(categorical, numerical))
        hidden = self.bottom(inputs, training=training, seed=of_bottom)[:, 0]
        logits = self.tower(hidden, training=training, seed=of_tower)
        return predict(logits, hidden)


class Aitm(Backbone):
    """Each task's feature attends to itself and to what the task before hands on (AITM)."""

    def _create_layers(self) -> None:
        width = self.config.bottom_widths[-1]
        self.embedding = self._embedding()
        self.bottom = self._bottoms(len(TASKS), "bottom")
        self.tower = self._towers(len(TASKS), "tower")
        self.transfers = [LinearBank(1, width, name=f"transfer{i}") for i in range(len(TASKS) - 1)]
        # Values, keys and queries in this order.
        self.attention = LinearBank(3, width, name="attention")

    def call(
        self,
        categorical: tf.Tensor,
        numerical: tf.Tensor,
        training: bool = False,
        seed: tf.Tensor | None = None,
    ) -> Prediction:
        of_bottom, of_tower = split_seed(seed, 2)
        inputs = flatten(self.embedding(categorical, numerical))
        features = tf.unstack(self.bottom(inputs, training=training, seed=of_bottom), axis=1)
        for task, transfer in enumerate(self.transfers, start=1):
            features[task] = self._attend(transfer(features[task - 1])[:, 0], features[task])
        hidden = tf.stack(features, 1)
        logits = self.tower(hidden, training=training, seed=of_tower)
        return predict(logits, hidden)

    def _attend(self, handed_on: tf.Tensor, own: tf.Tensor) -> tf.Tensor:
        """Mixes two features, float [batch, width] each, by their attention weights."""
        width = own.shape[1]
        pair = tf.concat([handed_on, own], 0)
        members = tf.unstack(self.attention(pair), axis=1)
        value, key, query = (tf.reshape(member, (2, -1, width)) for member in members)
        scores = tf.reduce_sum(key * query, -1, keepdims=True) / width**0.5
        return tf.reduce_sum(tf.nn.softmax(scores, 0) * value, 0)
