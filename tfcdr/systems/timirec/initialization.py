"""How TiMiRec's weights start: SPEC section 5."""

import tensorflow as tf


def normal() -> tf.keras.initializers.Initializer:
    """Returns a fresh N(0, 0.01^2), which embeddings, kernels and biases start from alike."""
    return tf.keras.initializers.RandomNormal(stddev=0.01)


def dense(units: int, name: str) -> tf.keras.layers.Dense:
    """Returns a linear layer whose kernel and bias start from `normal`."""
    return tf.keras.layers.Dense(
        units, kernel_initializer=normal(), bias_initializer=normal(), name=name
    )


def item_table(rows: int, size: int, name: str) -> tf.keras.layers.Embedding:
    """Returns an embedding table; its row 0 is padding and starts like any other."""
    return tf.keras.layers.Embedding(rows, size, embeddings_initializer=normal(), name=name)
