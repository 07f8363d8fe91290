"""Perceptrons of one shape, side by side: each layer of all of them is one matrix product."""

import tensorflow as tf

from tfcdr.errors import RunError
from tfcdr.layers.stateless_uniform import dropout


class LinearBank(tf.keras.layers.Layer):
    """Affine maps of one shape with weights of their own.

    Input [batch, in], which all maps read, or [batch, count, in], one for each map. Output
    [batch, count, width]. Where all read the same, their kernels are columns of one matrix:
    a product of two dimensions is what a CPU's kernels, a GPU and XLA are fastest at.

    Weights and biases start from U(-b, b), b = 1 / sqrt(in), as PyTorch's do.
    """

    def __init__(self, count: int, width: int, **kwargs: object) -> None:
        """Creates the maps.

        Args:
          count: how many.
          width: outputs of each.
          **kwargs: of the Keras layer.
        """
        super().__init__(**kwargs)
        self.count = count
        self.width = width

    def build(self, input_shape: tf.TensorShape) -> None:
        inputs = input_shape[-1]
        self.input_spec = tf.keras.layers.InputSpec(ndim=len(input_shape), axes={-1: inputs})
        shared = len(input_shape) == 2
        shape = (inputs, self.count * self.width) if shared else (self.count, inputs, self.width)
        self.kernel = self._weight("kernel", shape, inputs)
        self.bias = self._weight("bias", (self.count * self.width,), inputs)

    def _weight(self, name: str, shape: tuple[int, ...], inputs: int) -> tf.Variable:
        bound = inputs**-0.5
        start = tf.keras.initializers.RandomUniform(-bound, bound)
        return self.add_weight(name, shape, initializer=start)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        if inputs.shape.rank == 2:
            product = tf.matmul(inputs, self.kernel)
        else:
            product = tf.matmul(tf.transpose(inputs, (1, 0, 2)), self.kernel)
            product = tf.transpose(product, (1, 0, 2))
            product = tf.reshape(product, (-1, self.count * self.width))
        # `bias_add` is what TensorFlow fuses with a product.
        return tf.reshape(tf.nn.bias_add(product, self.bias), (-1, self.count, self.width))


class BatchNorm(tf.keras.layers.Layer):
    """Batch normalisation of [batch, count, width] over the batch as PyTorch computes it.

    Training normalises by the batch's mean and biased variance, and moves the running values,
    by which evaluation normalises, towards the mean and the unbiased variance. Keras' layer
    normalises two dimensions by the slower of its kernels, keeps the biased variance there, and
    has other constants.
    """

    EPSILON = 1e-5
    MOMENTUM = 0.1

    def build(self, input_shape: tf.TensorShape) -> None:
        shape = (input_shape[1] * input_shape[2],)
        self.gamma = self._weight("gamma", shape, "ones")
        self.beta = self._weight("beta", shape, "zeros")
        # Replicas move their own values; who reads them gets the mean.
        running = {
            "trainable": False,
            "synchronization": tf.VariableSynchronization.ON_READ,
            "aggregation": tf.VariableAggregation.MEAN,
        }
        self.running_mean = self._weight("running_mean", shape, "zeros", **running)
        self.running_variance = self._weight("running_variance", shape, "ones", **running)

    def _weight(
        self, name: str, shape: tuple[int, ...], start: str, **kwargs: object
    ) -> tf.Variable:
        # Half precision is too coarse for means and variances.
        return self.add_weight(
            name, shape, tf.float32, initializer=start, experimental_autocast=False, **kwargs
        )

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Normalises.

        Args:
          inputs: float [batch, count, width].
          training: whether by the batch's own statistics.

        Raises:
          RunError: a training batch of one row.
        """
        if training and inputs.shape[0] == 1:
            raise RunError(
                "a training batch of one row has no variance to normalise by; make the batch "
                "size at least 2."
            )
        units = self.gamma.shape[0]
        nothing = tf.constant([], tf.float32)
        normalised = tf.raw_ops.FusedBatchNormV3(
            x=tf.reshape(inputs, (-1, 1, 1, units)),
            scale=self.gamma,
            offset=self.beta,
            mean=nothing if training else self.running_mean,
            variance=nothing if training else self.running_variance,
            epsilon=self.EPSILON,
            is_training=training,
        )
        if training:
            self._move(self.running_mean, normalised.batch_mean)
            # The kernel normalises by the biased variance and returns the unbiased one.
            self._move(self.running_variance, normalised.batch_variance)
        return tf.reshape(normalised.y, tf.shape(inputs))

    def _move(self, running: tf.Variable, value: tf.Tensor) -> None:
        running.assign_add(self.MOMENTUM * (tf.stop_gradient(value) - running))


class MlpBank(tf.keras.layers.Layer):
    """Perceptrons: per width affine map, batch norm, relu, dropout (DAA SPEC section 1).

    Input [batch, in], which all read, or [batch, count, in]. Output [batch, count, last width],
    or logits [batch, count] with an output unit.
    """

    def __init__(
        self,
        count: int,
        widths: tuple[int, ...],
        dropout: float,
        has_output: bool = False,
        **kwargs: object,
    ) -> None:
        """Creates the perceptrons.

        Args:
          count: how many.
          widths: of their hidden layers.
          dropout: share of hidden units that training drops.
          has_output: whether an affine map to one logit follows.
          **kwargs: of the Keras layer.
        """
        super().__init__(**kwargs)
        self.count = count
        self.linears = [
            LinearBank(count, width, name=f"linear{i}") for i, width in enumerate(widths)
        ]
        self.norms = [BatchNorm(name=f"norm{i}") for i in range(len(widths))]
        self.output_layer = LinearBank(count, 1, name="output") if has_output else None
        self._dropout = dropout

    def call(
        self, inputs: tf.Tensor, training: bool = False, seed: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Computes all perceptrons.

        Args:
          inputs: float [batch, in] or [batch, count, in].
          training: whether units are dropped and batches normalised by themselves.
          seed: int [2], of the dropout; needed in training.
        """
        hidden = inputs
        for layer, (linear, norm) in enumerate(zip(self.linears, self.norms, strict=True)):
            hidden = tf.nn.relu(norm(linear(hidden), training=training))
            if training and self._dropout:
                of_layer = tf.random.experimental.stateless_fold_in(seed, layer)
                hidden = dropout(hidden, self._dropout, of_layer)
        if self.output_layer is None:
            return hidden
        return tf.squeeze(self.output_layer(hidden), -1)
