"""The model patch: PeterRec's small trainable network inside a frozen one."""

from collections.abc import Callable

import tensorflow as tf

# Gives a fresh initializer for one weight.
InitializerFactory = Callable[[], tf.keras.initializers.Initializer]


class Adapter(tf.keras.layers.Layer):
    """Model patch MP(x) = x + sum_i (gelu(x D_i + p_i) U_i + q_i) over c branches.

    The c branches of width H = C / (4c) are held side by side, so that a patch is two matrix
    products whatever its cardinality: branch i owns columns iH..(i+1)H of `down_kernel` and the
    same rows of `up_kernel`. Each branch keeps an output bias of its own, since the optimizer
    moves their sum c times as fast as a single one.

    Input and output: float [batch, time, C].

    Source: PeterRec, section 3.3 and figure 4.
    """

    def __init__(
        self,
        cardinality: int,
        down_initializer: InitializerFactory,
        up_initializer: InitializerFactory,
        **kwargs: object,
    ) -> None:
        """Creates the patch.

        Args:
          cardinality: branches c; 4c must divide the channels.
          down_initializer: gives an initializer for each D_i. A factory, because a Keras
            initializer that is called twice gives the same values twice, and branches that start
            identical stay identical.
          up_initializer: the same for each U_i.
          **kwargs: Keras layer arguments.
        """
        super().__init__(**kwargs)
        self.cardinality = cardinality
        self._down_initializer = down_initializer
        self._up_initializer = up_initializer

    def build(self, input_shape: tf.TensorShape) -> None:
        channels = input_shape[-1]
        self.branch_width = channels // (4 * self.cardinality)
        width = self.branch_width * self.cardinality
        down = self._by_branch(self._down_initializer, (channels, self.branch_width), axis=1)
        up = self._by_branch(self._up_initializer, (self.branch_width, channels), axis=0)
        self.down_kernel = self.add_weight("down_kernel", (channels, width), initializer=down)
        self.down_bias = self.add_weight("down_bias", (width,), initializer="zeros")
        self.up_kernel = self.add_weight("up_kernel", (width, channels), initializer=up)
        self.up_bias = self.add_weight("up_bias", (self.cardinality, channels), initializer="zeros")
        super().build(input_shape)

    def _by_branch(
        self, initializer: InitializerFactory, shape: tuple[int, int], axis: int
    ) -> Callable[..., tf.Tensor]:
        """Returns an initializer that draws each branch by itself and lays them side by side."""

        def side_by_side(whole: tf.TensorShape, dtype: tf.DType, **kwargs: object) -> tf.Tensor:
            del whole, kwargs
            return tf.concat([initializer()(shape, dtype) for _ in range(self.cardinality)], axis)

        return side_by_side

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        narrow = tf.nn.gelu(tf.matmul(inputs, self.down_kernel) + self.down_bias, approximate=True)
        return inputs + tf.matmul(narrow, self.up_kernel) + tf.reduce_sum(self.up_bias, 0)
