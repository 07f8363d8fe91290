"""The recurrent network that predicts from a history how much each interest matters next."""

import tensorflow as tf

from tfcdr.layers.row_dropout import RowDropout
from tfcdr.systems.timirec import initialization

# Steps of a recurrent network that are worth unrolling.
MOST_UNROLLED = 50


class GatedRecurrentUnit(tf.keras.layers.Layer):
    """GRU whose reset gate acts on the recurrent product, as cuDNN's and PyTorch's does.

    r, z = sigmoid(W x + b + U h + c), n = tanh(W x + b + r (U h + c)), h <- (1 - z) n + z h.

    Columns of `kernel` W and `recurrent_kernel` U are [r, z, n]. The products with the inputs of
    all steps are one matrix product. Time must be known: up to `MOST_UNROLLED` steps are unrolled,
    which is fastest; more are a loop, or compiling them would take minutes.

    Source: SPEC section 3.
    """

    def __init__(self, size: int, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.size = size

    def build(self, input_shape: tf.TensorShape) -> None:
        def weight(name: str, *shape: int) -> tf.Variable:
            bound = self.size**-0.5
            start = tf.keras.initializers.RandomUniform(-bound, bound)
            return self.add_weight(name, (*shape, 3 * self.size), initializer=start)

        self.kernel = weight("kernel", input_shape[-1])
        self.recurrent_kernel = weight("recurrent_kernel", self.size)
        self.bias = weight("bias")
        self.recurrent_bias = weight("recurrent_bias")
        super().build(input_shape)

    def call(self, inputs: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """Returns the state after the last step.

        Args:
          inputs: float [time, batch, channels].
          mask: bool [time, batch]; where false, a step leaves the state as it is.

        Returns:
          Float [batch, size].
        """
        projected = tf.tensordot(inputs, self.kernel, 1) + self.bias
        state = tf.zeros((tf.shape(inputs)[1], self.size), projected.dtype)
        mask = mask[..., tf.newaxis]
        if inputs.shape[0] > MOST_UNROLLED:
            return self._loop(projected, mask, state)
        # Unstacked at once: the gradient of a slice is as large as what it was taken from.
        for of_input, is_item in zip(tf.unstack(projected), tf.unstack(mask), strict=True):
            state = self._step(of_input, is_item, state)
        return state

    def _loop(self, projected: tf.Tensor, mask: tf.Tensor, state: tf.Tensor) -> tf.Tensor:
        time = projected.shape[0]
        read = tf.TensorArray(projected.dtype, time).unstack(projected)
        present = tf.TensorArray(tf.bool, time).unstack(mask)
        _, state = tf.while_loop(
            lambda place, state: place < time,
            lambda place, state: (
                place + 1,
                self._step(read.read(place), present.read(place), state),
            ),
            (0, state),
            # XLA reserves what the backward pass reads.
            maximum_iterations=time,
        )
        return state

    def _step(self, of_input: tf.Tensor, is_item: tf.Tensor, state: tf.Tensor) -> tf.Tensor:
        """Returns the next state: float [batch, 3 size], bool [batch, 1], float [batch, size]."""
        recurrent = tf.matmul(state, self.recurrent_kernel) + self.recurrent_bias
        gates, candidate = tf.split(of_input, [2 * self.size, self.size], -1)
        of_gates, of_candidate = tf.split(recurrent, [2 * self.size, self.size], -1)
        reset, update = tf.split(tf.sigmoid(gates + of_gates), 2, -1)
        candidate = tf.tanh(candidate + reset * of_candidate)
        updated = candidate + update * (state - candidate)
        return tf.where(is_item, updated, state)


class InterestPredictor(tf.keras.layers.Layer):
    """Logits pi of the interest weights, read from a history through an item table of its own.

    Input int [batch, time], oldest first, left-padded with 0; output float32 [batch, K].

    Source: SPEC section 3.
    """

    def __init__(
        self, rows: int, size: int, layers: int, dropout: float, interests: int, **kwargs: object
    ) -> None:
        """Creates the predictor.

        Args:
          rows: rows of the item table.
          size: width d.
          layers: linear layers of the projection.
          dropout: share of units dropped between them.
          interests: K.
          **kwargs: Keras layer arguments.
        """
        super().__init__(**kwargs)
        self.item_embedding = initialization.item_table(rows, size, "item_embedding")
        self.recurrent = GatedRecurrentUnit(size, name="recurrent")
        self.projections = [
            initialization.dense(size, f"projection{number}") for number in range(1, layers)
        ]
        self.projection = initialization.dense(interests, "projection")
        self._dropout = dropout

    def call(self, history: tf.Tensor, row_dropout: RowDropout | None = None) -> tf.Tensor:
        """Returns the logits; `row_dropout` draws what training drops, None drops nothing."""
        return self.project(self.encode(history), row_dropout)

    def encode(self, history: tf.Tensor) -> tf.Tensor:
        """Returns the state after the newest item, float [batch, d]."""
        history = tf.transpose(history)
        return self.recurrent(self.item_embedding(history), history > 0)

    def project(self, state: tf.Tensor, row_dropout: RowDropout | None = None) -> tf.Tensor:
        """Turns a state into logits."""
        for number, projection in enumerate(self.projections):
            state = projection(state)
            if row_dropout is not None and self._dropout:
                state = row_dropout(state, self._dropout, number)
            state = tf.nn.relu(state)
        return tf.cast(self.projection(state), tf.float32)
