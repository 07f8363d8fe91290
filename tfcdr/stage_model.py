"""The train step of a stage that minimises one loss by one optimizer, on one replica or several."""

import abc
from collections.abc import Mapping

import tensorflow as tf

Batch = Mapping[str, tf.Tensor]
# A dense tensor, tf.IndexedSlices of a table's touched rows, or None, for each trainable variable.
Gradients = list[tf.Tensor | tf.IndexedSlices | None]


class StageModel(tf.keras.Model, abc.ABC):
    """A Keras model trained on dict batches by one optimizer.

    Several replicas share the rows of a global batch and make the step that one replica would
    make with all of them. Losses are weighted means over a batch, sum(w l) / sum(w), so that the
    global loss is the sum over replicas of their losses times their shares of the weight; a
    penalty counts once, because the shares add up to 1. What a step draws must therefore not
    depend on a row's place: replicas draw the same from `optimizer.iterations`.

    Systems with several networks or a nested loop override `loss_and_gradients`, which sees one
    replica's rows, and `apply_gradients`, which sees the sums; those with several optimizers
    also `build_optimizers`.
    """

    @property
    @abc.abstractmethod
    def batch_spec(self) -> dict[str, tf.TensorSpec]:
        """The entries that a training batch must hold; None stands for any size."""

    @abc.abstractmethod
    def compute_losses(self, batch: Batch) -> dict[str, tf.Tensor]:
        """Returns scalar losses by name; "loss" is the one to minimise."""

    def batch_weight(self, batch: Batch) -> tf.Tensor:
        """Returns the sum of the weights by which the loss averages over a batch, float scalar."""
        return tf.reduce_sum(batch["example_weight"])

    def build_optimizers(self) -> None:
        """Creates the state of every optimizer, in the scope of the run's distribution."""
        self.optimizer.build(self.trainable_variables)

    def loss_and_gradients(
        self, batch: Batch, share: tf.Tensor | float = 1.0
    ) -> tuple[dict[str, tf.Tensor], Gradients]:
        """Returns what some rows of a global batch add to its losses and gradients.

        Args:
          batch: the rows.
          share: their `batch_weight` divided by that of the global batch.
        """
        with tf.GradientTape() as tape:
            losses = {name: share * loss for name, loss in self.compute_losses(batch).items()}
        # Scales the loss up and the gradients down where mixed precision asks for it.
        gradients = self.optimizer.compute_gradients(
            losses["loss"], self.trainable_variables, tape=tape
        )
        return losses, [gradient for gradient, _ in gradients]

    def apply_gradients(self, gradients: Gradients) -> None:
        """Updates the trainable variables by gradients, which it first adds up over replicas."""
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))

    def train_step(self, batch: Batch) -> dict[str, tf.Tensor]:
        """Updates the trainable variables once and returns the losses of the global batch.

        XLA compiles what a replica computes by itself, forward and backward, if the model was
        compiled with `jit_compile`. It cannot compile what passes between replicas, and on CPU
        its updates of whole variables are slower than TensorFlow's fused kernels. All of it does
        compile as one, on one replica.

        Args:
          batch: this replica's rows.
        """
        replica = tf.distribute.get_replica_context()
        several = replica.num_replicas_in_sync > 1
        share = 1.0
        if several:
            weight = self.batch_weight(batch)
            total = replica.all_reduce(tf.distribute.ReduceOp.SUM, weight)
            share = tf.math.divide_no_nan(weight, total)
        compute = tf.function(self.loss_and_gradients, jit_compile=self.jit_compile)
        losses, gradients = compute(batch, share)
        self.apply_gradients(gradients)
        return replica.all_reduce(tf.distribute.ReduceOp.SUM, losses) if several else losses
