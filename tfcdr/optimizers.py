"""Adam as the papers' frameworks compute it, for tables of thousands or of millions of rows."""

from collections.abc import Callable

import tensorflow as tf

TABLE_UPDATES = ("all_rows", "touched_rows")


def adam(learning_rate: float, table_update: str = "all_rows") -> tf.keras.optimizers.Optimizer:
    """Returns Adam with TensorFlow 1's epsilon of 1e-8, outside the bias correction.

    w -= lr sqrt(1 - b2^t) / (1 - b1^t) * m / (sqrt(v) + epsilon).

    Args:
      learning_rate: step size.
      table_update: what becomes of the rows of an embedding that a batch does not touch. With
        "all_rows" their moments decay and they still move, as in the papers' code: a step reads
        and writes the whole table. With "touched_rows" they rest, and a step costs what the batch
        touches, whatever the size of the table.
    """
    return _Adam(learning_rate, touched_rows_only=table_update == "touched_rows")


def pytorch_adam(
    learning_rate: float,
    l2: float = 0.0,
    decays: Callable[[tf.Variable], bool] = lambda variable: True,
    table_update: str = "all_rows",
) -> tf.keras.optimizers.Optimizer:
    """Returns Adam as PyTorch computes it, epsilon 1e-8 and the penalty inside the moments.

    g += l2 * w before the moments, and w -= lr / (1 - b1^t) * m / (sqrt(v / (1 - b2^t)) + epsilon).
    Since Adam divides by the gradient's size, a weight whose only gradient is l2 * w moves by
    almost lr in each step, however small l2 is: items that no batch reads shrink to zero. Weight
    decay beside the moments (AdamW) does nothing of the kind.

    Args:
      learning_rate: step size.
      l2: factor of the penalty l2 * sum(w^2) / 2.
      decays: whether a variable is penalised.
      table_update: see `adam`. With "touched_rows" only rows that a batch reads are penalised.
    """
    return _Adam(
        learning_rate,
        touched_rows_only=table_update == "touched_rows",
        l2=l2,
        decays=decays,
        adaptive_epsilon=True,
    )


class _Adam(tf.keras.optimizers.Adam):
    """Keras' Adam with a fused kernel for whole variables and an update of single rows.

    TensorFlow's kernel makes one pass over a variable and its moments; what Keras composes makes
    several, and XLA on CPU compiles it to slow loops over the rows of a sparse gradient.
    """

    def __init__(
        self,
        learning_rate: float,
        touched_rows_only: bool,
        l2: float = 0.0,
        decays: Callable[[tf.Variable], bool] = lambda variable: True,
        **kwargs: object,
    ) -> None:
        # The step is compiled, or not, as a whole; the optimizer's own compilation would only add
        # a second trace.
        super().__init__(
            learning_rate, **{"epsilon": 1e-8, "jit_compile": False, "name": "Adam", **kwargs}
        )
        self._touched_rows_only = touched_rows_only
        self._l2 = l2
        self._decays = decays

    def get_config(self) -> dict[str, object]:
        return {
            **super().get_config(),
            "adaptive_epsilon": self.adaptive_epsilon,
            "touched_rows_only": self._touched_rows_only,
            "l2": self._l2,
            "decays": self._decays,
        }

    def build(self, var_list: list[tf.Variable]) -> None:
        super().build(var_list)
        # Asked here, since an update may see a replica's copy, which has another name.
        self._penalised = frozenset(
            slot for slot, variable in enumerate(var_list) if self._l2 and self._decays(variable)
        )

    def _deduplicate_sparse_grad(
        self, grads: list[tf.Tensor | tf.IndexedSlices]
    ) -> list[tf.Tensor | tf.IndexedSlices]:
        # The sum into a whole gradient adds repeated rows up by itself.
        return super()._deduplicate_sparse_grad(grads) if self._touched_rows_only else grads

    def update_step(self, gradient: tf.Tensor | tf.IndexedSlices, variable: tf.Variable) -> None:
        """Updates one variable.

        Args:
          gradient: of the variable's shape, or of some rows, each once if only these move.
          variable: trainable.
        """
        slot = self._index_dict[self._var_key(variable)]
        first, second = self._momentums[slot], self._velocities[slot]
        step = tf.cast(self.iterations + 1, variable.dtype)
        rate = tf.cast(self.learning_rate, variable.dtype)
        beta1_power, beta2_power = tf.pow(self.beta_1, step), tf.pow(self.beta_2, step)
        epsilon = self.epsilon * (tf.sqrt(1 - beta2_power) if self.adaptive_epsilon else 1.0)
        l2 = self._l2 if slot in self._penalised else 0.0
        if isinstance(gradient, tf.IndexedSlices) and self._touched_rows_only:
            if l2:
                values = gradient.values + l2 * variable.sparse_read(gradient.indices)
                gradient = tf.IndexedSlices(values, gradient.indices)
            corrected = rate * tf.sqrt(1 - beta2_power) / (1 - beta1_power)
            self._update_rows(gradient, variable, first, second, corrected, epsilon)
            return
        if isinstance(gradient, tf.IndexedSlices):
            gradient = tf.math.unsorted_segment_sum(
                gradient.values, gradient.indices, variable.shape[0]
            )
        if l2:
            gradient += l2 * variable
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=first.handle,
            v=second.handle,
            beta1_power=beta1_power,
            beta2_power=beta2_power,
            lr=rate,
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=epsilon,
            grad=gradient,
        )

    def _update_rows(
        self,
        gradient: tf.IndexedSlices,
        variable: tf.Variable,
        first: tf.Variable,
        second: tf.Variable,
        rate: tf.Tensor,
        epsilon: tf.Tensor | float,
    ) -> None:
        rows, values = gradient.indices, gradient.values
        # `sparse_read` and the scatters touch these rows alone, in place.
        new_first = self.beta_1 * first.sparse_read(rows) + (1 - self.beta_1) * values
        new_second = self.beta_2 * second.sparse_read(rows) + (1 - self.beta_2) * values**2
        first.scatter_update(tf.IndexedSlices(new_first, rows))
        second.scatter_update(tf.IndexedSlices(new_second, rows))
        change = rate * new_first / (tf.sqrt(new_second) + epsilon)
        variable.scatter_sub(tf.IndexedSlices(change, rows))
