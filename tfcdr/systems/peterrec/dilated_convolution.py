"""Dilated convolution over time, in the formulation that suits the device."""

import tensorflow as tf


def prefers_time_major() -> bool:
    """Whether this machine convolves faster over [time, batch, channels]: if it has no GPU."""
    return not tf.config.list_logical_devices("GPU")


class DilatedConvolution(tf.keras.layers.Layer):
    """Dilated 1-D convolution: y[t] = b + sum_j x[t + j d - left] W[j].

    Zero padding of (k-1)d in all: on the left if causal; else half on each side, an odd one on
    the right.

    Two formulations give the same numbers:
    * batch-major, input float [batch, time, C_in]: `tf.nn.conv1d`, for GPUs;
    * time-major, input float [time, batch, C_in]: one matrix product for each tap, for CPUs. A
      shift in time is then a shift of whole rows, so that products read the input where it lies,
      without the copy that lays k shifted inputs side by side, and leave out the rows that would
      meet padding (a fifth of the arithmetic at 20 items and dilations up to 8).

    Output: as the input, with `filters` channels. The time-major form needs a known time.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int,
        dilation: int,
        causal: bool,
        time_major: bool,
        initializer: tf.keras.initializers.Initializer,
        **kwargs: object,
    ) -> None:
        super().__init__(**kwargs)
        self.filters = filters
        self.kernel_size = kernel_size
        self.dilation = dilation
        self.time_major = time_major
        padding = (kernel_size - 1) * dilation
        self._left = padding if causal else padding // 2
        self._right = padding - self._left
        self._initializer = initializer

    def build(self, input_shape: tf.TensorShape) -> None:
        shape = (self.kernel_size, input_shape[-1], self.filters)
        self.kernel = self.add_weight("kernel", shape, initializer=self._initializer)
        self.bias = self.add_weight("bias", (self.filters,), initializer="zeros")
        super().build(input_shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        if not self.time_major:
            padded = tf.pad(inputs, [[0, 0], [self._left, self._right], [0, 0]])
            outputs = tf.nn.conv1d(padded, self.kernel, 1, "VALID", dilations=self.dilation)
            return outputs + self.bias
        shifts = [self._left - tap * self.dilation for tap in range(self.kernel_size)]
        time, batch = inputs.shape[0], inputs.shape[1] or tf.shape(inputs)[1]
        rows = tf.reshape(inputs, (-1, inputs.shape[-1]))
        outputs = _sum_of_shifted_products(rows, self.kernel, shifts, time, batch) + self.bias
        return tf.reshape(outputs, (time, batch, self.filters))


def _sum_of_shifted_products(
    rows: tf.Tensor, kernel: tf.Tensor, shifts: list[int], time: int, batch: int | tf.Tensor
) -> tf.Tensor:
    """Sums rows W[j], each product moved down by shifts[j] times; what leaves the frame is lost.

    The gradient is spelled out: derived, it would add up k padded copies instead of slices.

    Args:
      rows: float [time * batch, C_in], time-major.
      kernel: float [k, C_in, C_out].
      shifts: of each tap, in time steps; negative ones move up.
      time: steps.
      batch: int, rows of one step.

    Returns:
      Float [time * batch, C_out].
    """
    # Nearest first: the tap that is not shifted fills every row, and the others add to it.
    nearest = sorted(range(len(shifts)), key=lambda tap: abs(shifts[tap]))
    taps = [(tap, shifts[tap]) for tap in nearest if abs(shifts[tap]) < time]

    def overlap(values: tf.Tensor, shift: int) -> tf.Tensor:
        """The rows that are still in the frame after a move by `shift`."""
        return values[: (time - shift) * batch] if shift > 0 else values[-shift * batch :]

    def add_moved(total: tf.Tensor | None, overlapping: tf.Tensor, shift: int) -> tf.Tensor:
        """Adds such rows at the place that they moved to."""
        if total is None:
            above, below = max(shift, 0) * batch, max(-shift, 0) * batch
            return overlapping if shift == 0 else tf.pad(overlapping, [[above, below], [0, 0]])
        if shift > 0:
            untouched = total[: shift * batch]
            return tf.concat([untouched, total[shift * batch :] + overlapping], 0)
        if shift < 0:
            end = (time + shift) * batch
            return tf.concat([total[:end] + overlapping, total[end:]], 0)
        return total + overlapping

    @tf.custom_gradient
    def product(rows: tf.Tensor, kernel: tf.Tensor) -> tuple[tf.Tensor, object]:
        total = None if taps else tf.zeros((time * batch, kernel.shape[2]), rows.dtype)
        for tap, shift in taps:
            total = add_moved(total, tf.matmul(overlap(rows, shift), kernel[tap]), shift)

        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            of_rows = None if taps else tf.zeros_like(rows)
            of_taps = [tf.zeros_like(kernel[0])] * len(shifts)
            for tap, shift in taps:
                moved = overlap(upstream, -shift)
                back = tf.matmul(moved, kernel[tap], transpose_b=True)
                of_rows = add_moved(of_rows, back, -shift)
                of_taps[tap] = tf.matmul(overlap(rows, shift), moved, transpose_a=True)
            return of_rows, tf.stack(of_taps)

        return total, gradient

    return product(rows, tf.convert_to_tensor(kernel))
