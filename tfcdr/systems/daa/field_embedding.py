"""An impression's columns as vectors of one width."""

import tensorflow as tf

from tfcdr.layers.mlp_bank import LinearBank


class FieldEmbedding(tf.keras.layers.Layer):
    """One table for the values of all categorical columns, one affine map for the numerical ones.

    The row of a value of column f is the value plus the sizes of the columns before f (SPEC
    section 1). A value out of its column's range, which would read another column's rows, has the
    vector 0.
    """

    def __init__(self, field_sizes: tuple[int, ...], width: int, **kwargs: object) -> None:
        """Creates the layer.

        Args:
          field_sizes: number of values of each categorical column.
          width: of a vector.
          **kwargs: of the Keras layer.
        """
        super().__init__(**kwargs)
        self.field_sizes = tuple(field_sizes)
        self.width = width
        # Half precision ends at 65504, and numerical columns come as they are.
        self.numerical_layer = LinearBank(1, width, name="numerical", dtype=tf.float32)

    def build(self, input_shape: tf.TensorShape) -> None:
        self.table = self.add_weight(
            "table",
            (sum(self.field_sizes), self.width),
            initializer=tf.keras.initializers.GlorotUniform(),
        )

    def call(self, categorical: tf.Tensor, numerical: tf.Tensor) -> tf.Tensor:
        """Embeds impressions.

        Args:
          categorical: int32 [batch, F].
          numerical: float32 [batch, M].

        Returns:
          Float [batch, F + 1, width], the numerical columns' vector last; [batch, F, width] if
          there are none.
        """
        sizes = tf.constant(self.field_sizes, categorical.dtype)
        known = (categorical >= 0) & (categorical < sizes)
        rows = tf.where(known, categorical + tf.cumsum(sizes, exclusive=True), 0)
        of_values = tf.gather(self.table, rows)
        of_values *= tf.cast(known, of_values.dtype)[:, :, tf.newaxis]
        if not numerical.shape[-1]:
            return of_values
        of_numbers = tf.cast(self.numerical_layer(numerical), of_values.dtype)
        return tf.concat([of_values, of_numbers], 1)
