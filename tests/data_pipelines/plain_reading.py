"""Reads examples as `ExampleReader` does, by its own parts but operation by operation.

To trace and start a pipeline takes seconds, to read a few users without one takes tenths.
`views/test_example_batches.py` shows that both read the same bits. (`ExampleReader` assembles few
held-out rows alike; the loop over windows and batches here is another one, to check it.)
"""

import contextlib
from unittest import mock

import numpy as np
import tensorflow as tf

from data_pipelines.prepared import interaction_source
from data_pipelines.views import record_order
from data_pipelines.views.example_batches import ExampleReader


@contextlib.contextmanager
def without_pipelines():
    """A body in which a source's `batches` and `epochs` give lists of dicts of arrays."""
    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    replaced = {"count_examples": _count, "users_of_examples": _users, "traced": lambda cut: cut}
    try:
        with (
            mock.patch.multiple(interaction_source, **replaced),
            mock.patch.object(ExampleReader, "__call__", _read),
        ):
            yield
    finally:
        tf.config.run_functions_eagerly(before)


def _windows(records, files):
    # Once for all that a source is read for.
    kept = vars(records).setdefault("windows_in_memory", {})
    key = tuple(files)
    if key not in kept:
        tf.config.run_functions_eagerly(False)  # which a data set of TensorFlow's would warn of
        kept[key] = list(records.windows(tf.constant(files)))
        tf.config.run_functions_eagerly(True)
    return kept[key]


def _found(records, cut):
    """What a cut finds in windows; once, for its counting, naming and reading."""
    kept = vars(records).setdefault("found_in_memory", {})
    _, of_cut = kept.setdefault(id(cut), (cut, {}))

    def remembered(window):
        if id(window) not in of_cut:
            of_cut[id(window)] = cut(window)
        return of_cut[id(window)]

    return remembered


def _number(found):
    return int(tf.size(found.examples["user"]))


def _count(records, cut):
    found = _found(records, cut)
    return sum(_number(found(window)) for window in _windows(records, records.files))


def _users(records, cut):
    found = _found(records, cut)
    users = [found(each).examples["user"].numpy() for each in _windows(records, records.files)]
    return np.concatenate([np.zeros(0, np.int64), *users])


def _read(reader, epochs, steps):
    """`ExampleReader.__call__`, as a list."""
    read, batches = reader._read, []
    for place, number in enumerate(epochs):
        epoch = number if read.for_training else 0
        order = record_order._order(len(reader._records.files), read, epoch)
        files = [reader._records.files[file] for file in order]
        rows = _rows(reader, tf.constant([read.seed, epoch], tf.int64), files)
        size = read.num_rows
        places = [slice(start, start + size) for start in range(0, len(rows["user"]), size)]
        # A process may have no row of the last batch.
        places.append(slice(0))
        wanted = read.steps if steps is None else steps[place]
        for rows_of_batch in places[:wanted]:
            batch = reader._filled({name: of[rows_of_batch] for name, of in rows.items()})
            batches.append({name: of.numpy() for name, of in batch.items()})
    return batches


def _rows(reader, seed, files):
    """All rows of this process in an epoch."""
    size, start, pieces = reader._read.batch_size, 0, []
    cut = _found(reader._records, reader._cut)
    with mock.patch.object(reader, "_cut", cut):
        for index, records in enumerate(_windows(reader._records, files)):
            found = reader._window_of(seed, tf.constant(index, tf.int64), records)
            last = (start + _number(found) - 1) // size
            for batch in range(start // size, last + 1):
                place = [tf.constant(value, tf.int64) for value in (index, start, batch)]
                pieces.append(reader._piece_of(seed, *place, found))
            start += _number(found)
    return {name: tf.concat([piece[name] for piece in pieces], 0) for name in pieces[0]}
