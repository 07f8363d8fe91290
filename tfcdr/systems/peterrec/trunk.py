"""The dilated convolutional network of NextItNet (causal) and GRec's encoder (non-causal)."""

from collections.abc import Sequence

import tensorflow as tf

from tfcdr.systems.peterrec.adapter import Adapter, InitializerFactory

INITIAL_STDDEV = 0.02


def weight_initializer(initialization: str) -> InitializerFactory:
    """Returns the factory of initializers for kernels and adapters.

    Args:
      initialization: "independent", or "released": every initializer carries the same seed, so
        that weights of equal shape start identical, as in the release.
    """
    seed = 1 if initialization == "released" else None

    def make() -> tf.keras.initializers.Initializer:
        return tf.keras.initializers.TruncatedNormal(stddev=INITIAL_STDDEV, seed=seed)

    return make


class DilatedConvolution(tf.keras.layers.Layer):
    """Dilated 1-D convolution over time: y[t] = b + sum_j x[t + j d - left] W[j].

    Zero padding of (k-1)d in all: on the left if causal; else half on each side, an odd one on
    the right. On CPU it is one matrix product over the k shifted inputs laid side by side, which
    is several times faster than TensorFlow's dilated convolution there; with a GPU it is
    `tf.nn.conv1d`. Both give the same numbers.

    Input float [batch, time, C_in], output float [batch, time, filters].
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int,
        dilation: int,
        causal: bool,
        initializer: tf.keras.initializers.Initializer,
        as_matrix_product: bool | None = None,
        **kwargs: object,
    ) -> None:
        super().__init__(**kwargs)
        self.filters = filters
        self.kernel_size = kernel_size
        self.dilation = dilation
        self.causal = causal
        self._initializer = initializer
        if as_matrix_product is None:
            as_matrix_product = not tf.config.list_logical_devices("GPU")
        self._as_matrix_product = as_matrix_product

    def build(self, input_shape: tf.TensorShape) -> None:
        shape = (self.kernel_size, input_shape[-1], self.filters)
        self.kernel = self.add_weight("kernel", shape, initializer=self._initializer)
        self.bias = self.add_weight("bias", (self.filters,), initializer="zeros")
        super().build(input_shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        padding = (self.kernel_size - 1) * self.dilation
        left = padding if self.causal else padding // 2
        padded = tf.pad(inputs, [[0, 0], [left, padding - left], [0, 0]])
        if not self._as_matrix_product:
            return (
                tf.nn.conv1d(padded, self.kernel, 1, "VALID", dilations=self.dilation) + self.bias
            )
        time = tf.shape(inputs)[1] if inputs.shape[1] is None else inputs.shape[1]
        shifted = [
            padded[:, tap * self.dilation : tap * self.dilation + time]
            for tap in range(self.kernel_size)
        ]
        rows = tf.reshape(tf.concat(shifted, -1), (-1, self.kernel_size * inputs.shape[-1]))
        kernel = tf.reshape(self.kernel, (-1, self.filters))
        product = tf.matmul(rows, kernel) + self.bias
        return tf.reshape(product, (-1, time, self.filters))


class ResidualBlock(tf.keras.layers.Layer):
    """x + relu(LN2(conv_2d(relu(LN1(conv_d(x)))))), with adapters beside the convolutions.

    Insertion ("" for none): "serial" passes each convolution's output through an adapter,
    "parallel" adds an adapter of the convolution's input to its output, "serial_single" adapts
    the second convolution's output alone.

    Input and output: float [batch, time, channels].
    """

    def __init__(
        self,
        channels: int,
        kernel_size: int,
        dilation: int,
        causal: bool,
        initializer: InitializerFactory,
        insertion: str = "",
        cardinality: int = 1,
        adapter_up_initializer: InitializerFactory | None = None,
        **kwargs: object,
    ) -> None:
        super().__init__(**kwargs)
        self.insertion = insertion
        self.convolution1 = DilatedConvolution(
            channels, kernel_size, dilation, causal, initializer(), name="convolution1"
        )
        self.convolution2 = DilatedConvolution(
            channels, kernel_size, 2 * dilation, causal, initializer(), name="convolution2"
        )
        # The paper's epsilon lies far below Keras' default and shows in the fixtures.
        self.norm1 = tf.keras.layers.LayerNormalization(epsilon=1e-8, name="norm1")
        self.norm2 = tf.keras.layers.LayerNormalization(epsilon=1e-8, name="norm2")

        def adapter(name: str) -> Adapter:
            up_initializer = adapter_up_initializer or initializer
            return Adapter(cardinality, initializer, up_initializer, name=name)

        self.adapter1 = adapter("adapter1") if insertion in ("serial", "parallel") else None
        self.adapter2 = adapter("adapter2") if insertion else None

    @property
    def adapters(self) -> list[Adapter]:
        """The block's adapters, in order."""
        return [adapter for adapter in (self.adapter1, self.adapter2) if adapter is not None]

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        hidden = self._adapted(self.convolution1, self.adapter1, inputs)
        hidden = tf.nn.relu(self.norm1(hidden))
        hidden = self._adapted(self.convolution2, self.adapter2, hidden)
        return inputs + tf.nn.relu(self.norm2(hidden))

    def _adapted(
        self, convolution: DilatedConvolution, adapter: Adapter | None, inputs: tf.Tensor
    ) -> tf.Tensor:
        outputs = convolution(inputs)
        if adapter is None:
            return outputs
        if self.insertion == "parallel":
            return outputs + adapter(inputs)
        return adapter(outputs)


class Trunk(tf.keras.layers.Layer):
    """Item embedding and the stack of residual blocks.

    Input int [batch, time], ids below `rows`; output float [batch, time, channels].
    """

    def __init__(
        self,
        rows: int,
        channels: int,
        dilations: Sequence[int],
        kernel_size: int,
        causal: bool,
        max_time: int | None,
        initialization: str,
        insertion: str = "",
        cardinality: int = 1,
        adapter_zero_start: bool = False,
        **kwargs: object,
    ) -> None:
        """Creates the trunk.

        Args:
          rows: rows of the item table, reserved ids included.
          channels: width C.
          dilations: first dilation of each block.
          kernel_size: taps k.
          causal: whether position t reads only positions up to t.
          max_time: rows of the position table; None for none.
          initialization: see `weight_initializer`.
          insertion: see `ResidualBlock`.
          cardinality: branches of each adapter.
          adapter_zero_start: whether up-projections start at zero.
          **kwargs: Keras layer arguments.
        """
        super().__init__(**kwargs)
        initializer = weight_initializer(initialization)

        def table(table_rows: int, name: str) -> tf.keras.layers.Embedding:
            embedding_start = tf.keras.initializers.TruncatedNormal(stddev=INITIAL_STDDEV)
            return tf.keras.layers.Embedding(table_rows, channels, embedding_start, name=name)

        self.item_embedding = table(rows, "item_embedding")
        self.position_embedding = table(max_time, "position_embedding") if max_time else None
        self.blocks = [
            ResidualBlock(
                channels,
                kernel_size,
                dilation,
                causal,
                initializer,
                insertion,
                cardinality,
                tf.keras.initializers.Zeros if adapter_zero_start else None,
                name=f"block_{index}",
            )
            for index, dilation in enumerate(dilations)
        ]

    def call(self, ids: tf.Tensor) -> tf.Tensor:
        return self.activations(ids)[-1]

    def activations(self, ids: tf.Tensor) -> list[tf.Tensor]:
        """Returns the embedding and every block's output, each [batch, time, channels]."""
        hidden = self.item_embedding(ids)
        if self.position_embedding is not None:
            # Counted from the newest item, so that left padding does not move an item.
            time = tf.shape(ids)[1]
            hidden += self.position_embedding(tf.range(time - 1, -1, -1))
        activations = [hidden]
        for block in self.blocks:
            activations.append(block(activations[-1]))
        return activations

    @property
    def pretrained_layers(self) -> list[tf.keras.layers.Layer]:
        """Every layer but the adapters, in an order that does not depend on the adapters."""
        layers = [self.item_embedding]
        if self.position_embedding is not None:
            layers.append(self.position_embedding)
        for block in self.blocks:
            layers += [block.convolution1, block.norm1, block.convolution2, block.norm2]
        return layers
