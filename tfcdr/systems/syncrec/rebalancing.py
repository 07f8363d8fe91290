"""Weights of the domains' cross-domain losses by measured negative transfer: SPEC section 4."""

import tensorflow as tf


class LossRebalancing(tf.keras.layers.Layer):
    """Remembers what each domain gains from training with the others, and weighs it by that.

    A domain's gain in a step is how much smaller its cross-domain loss is than its single-domain
    loss. delta <- alpha delta + beta gain, and the weights are the softmax of delta / temperature:
    a domain that suffers from the others pulls less at what all share.

    `delta`, float32 [D], is a variable that no gradient moves. It is saved with the model; replicas
    move their own copies by the losses of the global batch, which are the same for all.
    """

    def __init__(
        self, domains: int, decay: float, rate: float, temperature: float, **kwargs: object
    ) -> None:
        """Creates the memory.

        Args:
          domains: D.
          decay: alpha.
          rate: beta.
          temperature: of the softmax.
          **kwargs: of the Keras layer.
        """
        super().__init__(**kwargs)
        self._decay, self._rate, self._temperature = decay, rate, temperature
        self.delta = self.add_weight(
            "delta",
            (domains,),
            tf.float32,
            initializer=tf.keras.initializers.Constant(1 / domains),
            trainable=False,
            experimental_autocast=False,
            synchronization=tf.VariableSynchronization.ON_READ,
            aggregation=tf.VariableAggregation.MEAN,
        )

    def call(self, single_loss: tf.Tensor, cross_loss: tf.Tensor) -> tf.Tensor:
        """Updates `delta` once and returns the weights.

        Args:
          single_loss: float [D], the mean loss of each domain's single-domain task; 0 without
            targets.
          cross_loss: float [D], that of the cross-domain task over the same targets.

        Returns:
          Float32 [D], which sum to 1; constants for the gradient.
        """
        gain = tf.stop_gradient(single_loss - cross_loss)
        delta = self._decay * self.delta + self._rate * gain
        self.delta.assign(delta)
        return tf.nn.softmax(delta / self._temperature)
