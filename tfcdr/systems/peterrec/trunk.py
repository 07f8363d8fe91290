"""The dilated convolutional network of NextItNet (causal) and GRec's encoder (non-causal)."""

from collections.abc import Sequence

import tensorflow as tf

from tfcdr.layers.row_dropout import UnitDropout
from tfcdr.systems.peterrec.adapter import Adapter, InitializerFactory
from tfcdr.systems.peterrec.dilated_convolution import DilatedConvolution, prefers_time_major

INITIAL_STDDEV = 0.02
# A use of dropout within a step, the last one: many units take the numbers that follow, too.
_ITEMS = 1


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


class ResidualBlock(tf.keras.layers.Layer):
    """x + relu(LN2(conv_2d(relu(LN1(conv_d(x)))))), with adapters beside the convolutions.

    Insertion ("" for none): "serial" passes each convolution's output through an adapter,
    "parallel" adds an adapter of the convolution's input to its output, "serial_single" adapts
    the second convolution's output alone.

    Input and output: float [batch, time, channels], or [time, batch, channels] if time-major.
    """

    def __init__(
        self,
        channels: int,
        kernel_size: int,
        dilation: int,
        causal: bool,
        time_major: bool,
        initializer: InitializerFactory,
        insertion: str = "",
        cardinality: int = 1,
        adapter_up_initializer: InitializerFactory | None = None,
        **kwargs: object,
    ) -> None:
        super().__init__(**kwargs)
        self.insertion = insertion

        def convolution(dilation: int, name: str) -> DilatedConvolution:
            return DilatedConvolution(
                channels, kernel_size, dilation, causal, time_major, initializer(), name=name
            )

        self.convolution1 = convolution(dilation, "convolution1")
        self.convolution2 = convolution(2 * dilation, "convolution2")
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

    Input int [batch, time], ids below `rows`, and in training what drops units of the embedded
    items; output float [batch, time, channels]. On CPU the time must be known.
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
        time_major: bool | None = None,
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
          time_major: formulation of the convolutions; None for this machine's best. It shows in
            speed alone.
          **kwargs: Keras layer arguments.
        """
        super().__init__(**kwargs)
        self._time_major = prefers_time_major() if time_major is None else time_major
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
                self._time_major,
                initializer,
                insertion,
                cardinality,
                tf.keras.initializers.Zeros if adapter_zero_start else None,
                name=f"block_{index}",
            )
            for index, dilation in enumerate(dilations)
        ]

    def call(self, ids: tf.Tensor, dropout: UnitDropout | None = None) -> tf.Tensor:
        return self._batch_major(self._activations(ids, dropout)[-1])

    def activations(self, ids: tf.Tensor) -> list[tf.Tensor]:
        """Returns the embedding and every block's output, each [batch, time, channels]."""
        return [self._batch_major(activation) for activation in self._activations(ids)]

    def _activations(self, ids: tf.Tensor, dropout: UnitDropout | None = None) -> list[tf.Tensor]:
        hidden = self.item_embedding(tf.transpose(ids) if self._time_major else ids)
        if self.position_embedding is not None:
            # Counted from the newest item, so that left padding does not move an item.
            positions = self.position_embedding(tf.range(tf.shape(ids)[1] - 1, -1, -1))
            hidden += positions[:, tf.newaxis] if self._time_major else positions
        if dropout is not None:
            hidden = dropout(hidden, _ITEMS, row_axis=1 if self._time_major else 0)
        activations = [hidden]
        for block in self.blocks:
            activations.append(block(activations[-1]))
        return activations

    def _batch_major(self, activation: tf.Tensor) -> tf.Tensor:
        return tf.transpose(activation, (1, 0, 2)) if self._time_major else activation

    @property
    def pretrained_layers(self) -> list[tf.keras.layers.Layer]:
        """Every layer but the adapters, in an order that does not depend on the adapters."""
        layers = [self.item_embedding]
        if self.position_embedding is not None:
            layers.append(self.position_embedding)
        for block in self.blocks:
            layers += [block.convolution1, block.norm1, block.convolution2, block.norm2]
        return layers
