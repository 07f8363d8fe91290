"""Records of users' histories, parsed many at once."""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

# What TFDS calls all records of users together.
SPLIT = "users"
# Users that are parsed at once. Records lie in random order on disk, and the examples of so many
# users come in random order, so that a data set that does not fit into memory is still well mixed.
USERS_AT_ONCE = 4096
# Records that take no more than this stay in memory: 64 MiB.
_KEPT_BYTES = 2**26


class UserRecords(NamedTuple):
    """The histories of U users with n interactions in all.

    Attributes:
      user: int64 [U], ids.
      splits: int64 [U + 1]; the user in row r has the interactions splits[r]:splits[r + 1], oldest
        first.
      items: int64 [n], ids of the data set.
      domains: int64 [n].
      times: int64 [n].
      parts: int64 [n]; see `data_pipelines.parts`.
      ratings: float32 [n]; 0 where the log has none.
      negatives: int64 [m].
      negative_splits: int64 [n + 1]; interaction i has the given negatives
        negatives[negative_splits[i]:negative_splits[i + 1]].
    """

    user: tf.Tensor
    splits: tf.Tensor
    items: tf.Tensor
    domains: tf.Tensor
    times: tf.Tensor
    parts: tf.Tensor
    ratings: tf.Tensor
    negatives: tf.Tensor
    negative_splits: tf.Tensor


# What functions that are traced once take.
WINDOW = UserRecords(
    *(
        tf.TensorSpec([None], tf.float32 if name == "ratings" else tf.int64)
        for name in UserRecords._fields
    )
)


@dataclasses.dataclass(frozen=True, eq=False)
class Records:
    """All records of a data set.

    Attributes:
      files: TFRecord files; `prepared.history_records` says what they hold.
      domain_starts: int64 [domains + 1], the index of each domain's first item in the data set.
      ratings: whether the records hold ratings.
      negatives: whether the records hold given negatives.
    """

    files: Sequence[str]
    domain_starts: np.ndarray
    ratings: bool
    negatives: bool

    def windows(self, files: Sequence[str] | tf.Tensor) -> tf.data.Dataset:
        """Reads records, `USERS_AT_ONCE` at a time, in the order of the files.

        Args:
          files: `self.files` in some order.

        Returns:
          A data set of `UserRecords`.
        """
        serialized = tf.data.TFRecordDataset(files).batch(USERS_AT_ONCE)
        return serialized.map(self._parse, tf.data.AUTOTUNE, deterministic=True)

    def each(self, function: Callable[[UserRecords], Any]) -> Iterable[Any]:
        """Gives what a function of tensors makes of every window, in the order of the files.

        Records of at most 64 MiB stay in memory, and are read once however often this is called:
        to set up what reads takes longer than to read them. More are worked on side by side.

        Args:
          function: returns tensors, of a window whose sizes may be unknown.

        Returns:
          The results, to be iterated over once.
        """
        if self.kept is None:
            windows = self.windows(self.files)
            return windows.map(function, tf.data.AUTOTUNE, deterministic=True)
        return map(_on_cpu(function), self.kept)

    @functools.cached_property
    def kept(self) -> list[UserRecords] | None:
        """All windows, in the order of the files; None if they are too large to stay in memory."""
        kept, size = [], 0
        for window in self.windows(self.files):
            size += sum(values.shape.num_elements() * values.dtype.size for values in window)
            if size > _KEPT_BYTES:
                return None
            kept.append(window)
        return kept

    @functools.cached_property
    def _parse(self) -> Callable[[tf.Tensor], UserRecords]:
        def parsed(serialized: tf.Tensor) -> UserRecords:
            return parse(serialized, self)

        return tf.function(parsed, autograph=False)


def _on_cpu(function: Callable[[UserRecords], Any]) -> Callable[[UserRecords], Any]:
    """Returns a function whose operations, small as they are, do not go to a GPU."""

    def placed(window: UserRecords) -> Any:
        with tf.device("CPU"):
            return function(window)

    return placed


def parse(serialized: tf.Tensor, records: Records) -> UserRecords:
    """Parses records.

    Args:
      serialized: string [U].
      records: says what they hold.
    """
    dtypes = dict.fromkeys(("items", "gaps", "parts"), tf.int64)
    if records.ratings:
        dtypes["ratings"] = tf.float32
    if records.negatives:
        dtypes |= dict.fromkeys(("negatives", "negative_counts"), tf.int64)
    features = {"user": tf.io.FixedLenFeature([], tf.int64)}
    for name, dtype in dtypes.items():
        features[name] = tf.io.RaggedFeature(dtype, row_splits_dtype=tf.int64)
    values = tf.io.parse_example(serialized, features)
    items, splits = values["items"].values, values["items"].row_splits
    # Every row's sum starts anew: what was added up before it is taken away.
    sums = tf.concat([[0], tf.cumsum(values["gaps"].values)], axis=0)
    times = sums[1:] - tf.repeat(tf.gather(sums, splits[:-1]), splits[1:] - splits[:-1])
    domains = tf.searchsorted(
        tf.constant(records.domain_starts[1:], tf.int64), items - 1, side="right", out_type=tf.int64
    )
    if records.negatives:
        counts = tf.concat([[0], tf.cumsum(values["negative_counts"].values)], axis=0)
        given = values["negatives"].values
    else:
        counts, given = tf.zeros_like(sums), tf.zeros([0], tf.int64)
    ratings = values["ratings"].values if records.ratings else tf.zeros_like(items, tf.float32)
    return UserRecords(
        user=values["user"],
        splits=splits,
        items=items,
        domains=domains,
        times=times,
        parts=values["parts"].values,
        ratings=ratings,
        negatives=given,
        negative_splits=counts,
    )
