"""Examples cut from users' records, as batches of static shape.

An example is a user's record and a place in it. The records of many users are parsed at once; the
places of all their examples are found, put into random order and taken batch by batch; only then
are histories gathered and negatives drawn, for the rows of this process alone.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from data_pipelines.views.record_order import (
    BATCH_PURPOSE,
    SHUFFLE_PURPOSE,
    fold,
    in_fixed_order,
    read_epochs,
    zero_unless,
)
from data_pipelines.views.split_read import SplitRead
from data_pipelines.views.user_records import WINDOW, Records, UserRecords

# Held-out batches that take no more than this are assembled at once: 16 MiB.
_AT_ONCE_BYTES = 2**24


class Cut(NamedTuple):
    """The examples of some users.

    Attributes:
      examples: [E] or [E, ...] by name, what is known of each; `user`, its user's id, among them.
      shared: tensors by name, into which examples point, such as items of all users' histories.
    """

    examples: Mapping[str, tf.Tensor]
    shared: Mapping[str, tf.Tensor]


@dataclasses.dataclass(frozen=True, eq=False)
class Draws:
    """Random numbers for the R rows of a batch that this process assembles.

    Attributes:
      seed: int64 [2], new in every batch and the same in every process.
      batch_size: B, rows of the batch in all processes.
      rows: int64 [R], which of them are this process'.
    """

    seed: tf.Tensor
    batch_size: int
    rows: tf.Tensor

    def own(self, drawn: tf.Tensor) -> tf.Tensor:
        """Keeps this process' rows of what was drawn for the whole batch, [B, ...].

        Draws are made for all rows, so that a row's do not depend on how processes share a batch.
        """
        return tf.gather(drawn, self.rows)


# Makes a batch's entries, [R, ...] each, from R rows of `Cut.examples`, `Cut.shared` and draws. If
# `example_weight` is not among them, it is 1.
Assemble = Callable[[Mapping[str, tf.Tensor], Mapping[str, tf.Tensor], Draws], dict[str, tf.Tensor]]
Cutter = Callable[[UserRecords], Cut]


def traced(cut: Cutter) -> Cutter:
    """Makes one graph of a cut, for all that read and count by it."""
    return tf.function(cut, autograph=False).get_concrete_function(WINDOW)


def count_examples(records: Records, cut: Cutter) -> int:
    """Returns the number of examples in all records."""
    return sum(int(number) for number in records.each(lambda window: _number(cut(window))))


def users_of_examples(records: Records, cut: Cutter) -> np.ndarray:
    """Returns int64 [n], the user of each example in all records."""
    users = records.each(lambda window: cut(window).examples["user"])
    return np.concatenate([np.zeros(0, np.int64), *(of_window.numpy() for of_window in users)])


class ExampleReader:
    """Reads the examples of a split, epoch by epoch.

    Every process of a run parses all records, in the same order, and assembles its own rows of each
    batch. Everything random is a function of (seed, epoch) alone: neither the global seed nor what
    was read before changes a batch, so that a run can resume at any epoch.
    """

    def __init__(self, records: Records, read: SplitRead, cut: Cutter, assemble: Assemble) -> None:
        """Remembers how to read.

        Args:
          records: all of the data set.
          read: what is known about the split.
          cut: finds the examples of users.
          assemble: makes the batches' entries.
        """
        self._records = records
        self._read = read
        self._cut = cut
        self._assemble = assemble
        # Traced once, which takes most of a second, rather than in every reading.
        self._window = tf.function(self._window_of, autograph=False)
        self._piece = tf.function(self._piece_of, autograph=False)
        self._epoch = tf.function(self._epoch_of, autograph=False)

    def __call__(self, epochs: Sequence[int], steps: Sequence[int] | None) -> tf.data.Dataset:
        """Reads epochs, one behind the other; few held-out rows at once, in this call.

        Args:
          epochs: their numbers, from 0; a shuffled read has another order in each, and training
            other draws.
          steps: how many batches of each are wanted; all by default.

        Returns:
          Batches as in the view's docstring, every dimension static. The last batch of an epoch is
          filled up with rows of zeros whose `example_weight` is 0.
        """
        held_out = not self._read.for_training and not self._read.shuffled
        if held_out and len(epochs) == 1 and steps is None:
            batches = self._at_once()
            if batches is not None:
                return batches
        return read_epochs(self._records.files, self._read, epochs, steps, self._epoch)

    def _at_once(self) -> tf.data.Dataset | None:
        """Assembles what is held out without a pipeline, which takes longer to start than few rows.

        Returns:
          The batches; None where they, or the records, are too large.
        """
        read, windows = self._read, self._records.kept
        if windows is None:
            return None
        # Traced for windows of any size, as a pipeline does.
        of_epoch, number = tf.TensorSpec([2], tf.int64), tf.TensorSpec([], tf.int64)
        window_of = self._window.get_concrete_function(of_epoch, number, WINDOW)
        piece_of = self._piece.get_concrete_function(
            of_epoch, number, number, number, window_of.structured_outputs
        )
        own_rows = read.steps * read.num_rows
        if own_rows * _row_bytes(piece_of.structured_outputs) > _AT_ONCE_BYTES:
            return None
        pieces = []
        with tf.device("CPU"):  # as in a pipeline
            seed, start = tf.constant([read.seed, 0], tf.int64), 0
            for index, records in enumerate(windows):
                found = window_of(seed, tf.constant(index, tf.int64), records)
                end = start + int(_number(found))
                for batch in range(start // read.batch_size, (end - 1) // read.batch_size + 1):
                    place = tf.unstack(tf.constant([index, start, batch], tf.int64))
                    pieces.append(piece_of(seed, *place, found))
                start = end
            rows = {name: tf.concat([piece[name] for piece in pieces], 0) for name in pieces[0]}
            shape = [read.steps, read.num_rows]
            batches = {
                name: tf.reshape(values, [*shape, *values.shape[1:]])
                for name, values in _filled_up(rows, own_rows).items()
            }
            return in_fixed_order(tf.data.Dataset.from_tensor_slices(batches))

    def _epoch_of(self, epoch: tf.Tensor, files: tf.Tensor, steps: tf.Tensor) -> tf.data.Dataset:
        read = self._read
        seed = tf.stack([tf.constant(read.seed, tf.int64), epoch])

        def window(index: tf.Tensor, records: UserRecords) -> tuple[tf.Tensor, Cut]:
            return index, self._window(seed, index, records)

        def pieces(index: tf.Tensor, start: tf.Tensor, found: Cut) -> tf.data.Dataset:
            """Cuts a window into pieces that end where a batch of the epoch ends."""
            last = (start + _number(found) - 1) // read.batch_size
            return tf.data.Dataset.range(start // read.batch_size, last + 1).map(
                lambda batch: self._piece(seed, index, start, batch, found),
                tf.data.AUTOTUNE,
                deterministic=True,
            )

        windows = self._records.windows(files).enumerate()
        windows = windows.map(window, tf.data.AUTOTUNE, deterministic=True)
        windows = windows.scan(np.int64(0), _with_start).prefetch(1)
        batches = windows.flat_map(pieces).rebatch(read.num_rows)
        # A process may have no row of the last batch.
        nothing = {
            name: tf.zeros([0, *spec.shape[1:]], spec.dtype)
            for name, spec in batches.element_spec.items()
        }
        batches = batches.concatenate(tf.data.Dataset.from_tensors(nothing)).take(steps)
        return batches.map(self._filled, tf.data.AUTOTUNE, deterministic=True)

    def _window_of(self, seed: tf.Tensor, index: tf.Tensor, records: UserRecords) -> Cut:
        """Finds the examples of a window and puts them into the order of the epoch."""
        found = self._cut(records)
        if not self._read.shuffled:
            return found
        key = fold(seed, SHUFFLE_PURPOSE, index)
        order = tf.argsort(tf.random.stateless_uniform([_number(found)], key, alg="philox"))
        examples = {name: tf.gather(values, order) for name, values in found.examples.items()}
        return Cut(examples, found.shared)

    def _piece_of(
        self, seed: tf.Tensor, index: tf.Tensor, start: tf.Tensor, batch: tf.Tensor, found: Cut
    ) -> dict[str, tf.Tensor]:
        """Assembles this process' rows of the part of a batch that lies in one window.

        Args:
          seed: int64 [2], the epoch's.
          index: the window's number.
          start: the number of examples before it.
          batch: the batch's number.
          found: the window's examples.
        """
        size = self._read.batch_size
        first, last = (batch * size + row for row in self._read.rows)
        first = tf.maximum(first, start)
        last = tf.maximum(tf.minimum(last, start + _number(found)), first)
        places = tf.range(first, last) - start
        rows = {name: tf.gather(values, places) for name, values in found.examples.items()}
        # Each of a batch's windows draws for all rows of it.
        draws = Draws(
            fold(fold(seed, BATCH_PURPOSE, batch), BATCH_PURPOSE, index),
            size,
            places + start - batch * size,
        )
        entries = self._assemble(rows, found.shared, draws)
        weight = tf.ones_like(places, tf.float32)
        return {"user": rows["user"], "example_weight": weight, **entries}

    @tf.autograph.experimental.do_not_convert
    def _filled(self, batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return _filled_up(batch, self._read.num_rows)


def _filled_up(rows: Mapping[str, tf.Tensor], number: int) -> dict[str, tf.Tensor]:
    """Returns so many rows, those behind the given ones of zeros; integers become int32."""
    given = tf.shape(rows["user"])[0]
    present = tf.range(number) < given
    full = {}
    for name, values in rows.items():
        padding = [[0, number - given]] + [[0, 0]] * (values.shape.rank - 1)
        padded = tf.ensure_shape(tf.pad(values, padding), [number, *values.shape[1:]])
        full[name] = zero_unless(present, padded)
    return full


@tf.autograph.experimental.do_not_convert
def _with_start(
    start: tf.Tensor, element: tuple[tf.Tensor, Cut]
) -> tuple[tf.Tensor, tuple[tf.Tensor, tf.Tensor, Cut]]:
    """Adds the number of the examples before a window."""
    index, found = element
    return start + _number(found), (index, start, found)


def _row_bytes(rows: Mapping[str, tf.TensorSpec]) -> int:
    """Returns the size of one row of a batch, all entries together: 4 bytes a number."""
    return sum(4 * math.prod(values.shape[1:]) for values in rows.values())


def _number(found: Cut) -> tf.Tensor:
    return tf.size(found.examples["user"], tf.int64)
