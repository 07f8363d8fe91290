"""Item ids drawn at random with some ids left out, exactly and without drawing twice.

The weights are integers. Leaving ids out of the draw closes the gaps that they leave on the line of
cumulated weights: a number drawn on the shortened line is shifted past every gap at or before it.
The cost of a draw is a binary search, whatever the weights and however many ids are left out.
"""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

# The largest weight of LambdaFM's distribution; the smallest, exp(-1/rho) of it, keeps 9 digits at
# the default rho of 0.3, and the sum over a billion items still fits int64.
_LAMBDAFM_SCALE = 2**31


def uniform_weights(counts: np.ndarray) -> np.ndarray:
    """Returns int64 [n] ones: every item is equally likely."""
    return np.ones(len(counts), dtype=np.int64)


def popularity_weights(counts: np.ndarray) -> np.ndarray:
    """Returns int64 [n]: training interactions plus one, so that no item is out of reach."""
    return counts.astype(np.int64) + 1


def lambdafm_weights(counts: np.ndarray, rho: float) -> np.ndarray:
    """Returns int64 [n], LambdaFM's rank-based weights: p(r) ~ exp(-(r + 1) / (rho * N)).

    r = 0, 1, ... is the rank by falling frequency, ties by id, and N = n + 1 counts the padding id
    too, as in PeterRec's release.

    Args:
      counts: int64 [n], training interactions.
      rho: the smaller, the more popular the negatives; above 0.
    """
    ranks = np.empty(len(counts), np.int64)
    ranks[np.argsort(-counts, kind="stable")] = np.arange(len(counts))
    weights = np.exp(-ranks / (rho * (len(counts) + 1)))
    return np.maximum(1, np.rint(weights * _LAMBDAFM_SCALE)).astype(np.int64)


def random_bits(rows: int, num: int, seed: tf.Tensor) -> tf.Tensor:
    """Draws int64 [rows, num], all values equally likely; `seed` is int [2], stateless."""
    return tf.random.stateless_uniform(
        [rows, num], seed, minval=None, maxval=None, dtype=tf.int64, alg="philox"
    )


def row_seeds(seed: int, user: tf.Tensor, item: tf.Tensor | None = None) -> tf.Tensor:
    """Returns int64 [B, 2], what each row draws from, whatever the batch that it is in.

    Args:
      seed: of all rows.
      user: int64 [B].
      item: int64 [B], where a user has several rows; below 2**32.
    """
    row = user if item is None else user * 2**32 + item
    return tf.stack([tf.fill(tf.shape(row), np.int64(seed)), row], axis=1)


def bits_of_rows(seeds: tf.Tensor) -> tf.Tensor:
    """Hashes int64 [B, 2] row seeds to int64 [B], all values equally likely."""
    return tf.bitcast(_spread(seeds)[:, :2], tf.int64)


def draw_excluding(
    weights_cumulative: tf.Tensor,
    excluded: tf.Tensor,
    bits: tf.Tensor,
    ranges: tuple[tf.Tensor, tf.Tensor] | None = None,
) -> tf.Tensor:
    """Draws ids with replacement, in proportion to their weights, never an excluded one.

    Args:
      weights_cumulative: int64 [n], cumulated positive weights of the ids 1..n.
      excluded: int64 [B, P], ids that a row must not draw; 0 stands for none; repeats are allowed.
        At least one id of each row must remain.
      bits: int64 [B, N], of `random_bits`: the randomness of each draw.
      ranges: the first and the last id that each draw may give, int64 [B, N] both; where all of
        them are excluded, any id is drawn. None for all ids.

    Returns:
      int64 [B, N], ids in 1..n.
    """
    starts, gaps = _gaps(weights_cumulative, excluded)
    low, remaining = tf.constant(0, tf.int64), weights_cumulative[-1] - gaps[:, -1:]
    if ranges is not None:
        low, high = (
            _shortened(ids, weights_cumulative, excluded, gaps)
            for ids in (ranges[0] - 1, ranges[1])
        )
        is_open = high > low
        low = tf.where(is_open, low, tf.zeros_like(low))
        remaining = tf.where(is_open, high - low, remaining)
    # The remainder of 64 random bits is uniform up to remaining / 2**64.
    drawn = low + tf.math.floormod(bits, tf.maximum(remaining, 1))
    return _ids_at(_shift_past(drawn, starts, gaps), weights_cumulative)


def draw_distinct(
    items: int | tf.Tensor, excluded: tf.Tensor, num: int, seeds: tf.Tensor
) -> tf.Tensor:
    """Draws ids without replacement, all equally likely, never an excluded one.

    Args:
      items: n, one for all or int64 [B] for each row; the ids are 1..n.
      excluded: int64 [B, P], ids that a row must not draw; 0 stands for none; repeats are allowed.
        At least `num` ids of each row must remain.
      num: draws per row, N.
      seeds: int64 [B, 2], the stateless randomness of each row.

    Returns:
      int64 [B, N], in each row distinct ids in 1..n, in random order.
    """
    most = items if isinstance(items, int) else tf.reduce_max(tf.concat([items, [1]], 0))
    cumulative = tf.range(1, most + 1, dtype=tf.int64)
    starts, gaps = _gaps(cumulative, excluded)
    remaining = items - gaps[:, -1]
    # Row by row, the first `num` places of a pseudo-random permutation of the remaining items.
    batch = tf.shape(excluded)[0]
    places = tf.tile(tf.cast(tf.range(num), tf.uint64), [batch])
    keys = tf.repeat(_spread(seeds), num, axis=0)
    last = tf.repeat(tf.cast(tf.maximum(remaining, num) - 1, tf.uint64), num)
    # The public `index_shuffle` of TensorFlow 2.20 does not take one key per place, and its 4
    # rounds leave neighbouring places visibly dependent (chi-square of their difference), 8 do not.
    drawn = tf.raw_ops.RandomIndexShuffle(index=places, seed=keys, max_index=last, rounds=8)
    drawn = tf.reshape(tf.cast(drawn, tf.int64), [batch, num])
    return _ids_at(_shift_past(drawn, starts, gaps), cumulative)


def _gaps(weights_cumulative: tf.Tensor, excluded: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Lays the excluded ids' weights out as gaps on the line of cumulated weights.

    Returns:
      starts: int64 [B, P], ascending, where each gap begins on the *shortened* line.
      gaps: int64 [B, P + 1], total length of the first 0, 1, ..., P gaps.
    """
    items = tf.shape(weights_cumulative, out_type=tf.int64)[0]
    padded = tf.concat([[0], weights_cumulative], axis=0)
    ids = tf.sort(tf.where(excluded > 0, excluded, items + 1), axis=1)
    none = ids > items
    ids = tf.minimum(ids, items)
    begin = tf.gather(padded, ids - 1)
    weights = tf.gather(padded, ids) - begin
    repeat = tf.concat([tf.zeros_like(none[:, :1]), ids[:, 1:] == ids[:, :-1]], axis=1)
    lengths = tf.where(none | repeat, tf.zeros_like(weights), weights)
    before = tf.cumsum(lengths, axis=1, exclusive=True)
    # A repeated id has length 0 and begins where its first copy does, which keeps the order.
    starts = begin + tf.where(repeat, weights, tf.zeros_like(weights)) - before
    starts = tf.where(none, tf.fill(tf.shape(starts), tf.int64.max), starts)
    totals = tf.concat([tf.zeros_like(lengths[:, :1]), tf.cumsum(lengths, axis=1)], axis=1)
    return starts, totals


def _shortened(
    ids: tf.Tensor, weights_cumulative: tf.Tensor, excluded: tf.Tensor, gaps: tf.Tensor
) -> tf.Tensor:
    """Returns where ids, int64 [B, N] from 0, end on the shortened lines."""
    padded = tf.concat([[0], weights_cumulative], axis=0)
    # In the order of `_gaps`: ids that are none come last.
    none = tf.size(weights_cumulative, tf.int64) + 1
    ordered = tf.sort(tf.where(excluded > 0, excluded, none), axis=1)
    passed = tf.searchsorted(ordered, ids, side="right")
    return tf.gather(padded, ids) - tf.gather(gaps, passed, batch_dims=1)


def _shift_past(drawn: tf.Tensor, starts: tf.Tensor, gaps: tf.Tensor) -> tf.Tensor:
    """Maps places on the shortened lines ([B, N]) to places on the full line."""
    passed = tf.searchsorted(starts, drawn, side="right")
    return drawn + tf.gather(gaps, passed, batch_dims=1)


def _ids_at(places: tf.Tensor, weights_cumulative: tf.Tensor) -> tf.Tensor:
    """Returns the id whose stretch of the full line holds each place."""
    flat = tf.searchsorted(
        weights_cumulative, tf.reshape(places, [-1]), side="right", out_type=tf.int64
    )
    return tf.reshape(flat, tf.shape(places)) + 1


def _spread(seeds: tf.Tensor) -> tf.Tensor:
    """Hashes int64 [B, 2] row seeds to int32 [B, 3] keys, so that close seeds give far keys."""

    def mixed(bits: tf.Tensor) -> tf.Tensor:  # The finaliser of splitmix64.
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            bits = tf.bitwise.bitwise_xor(bits, tf.bitwise.right_shift(bits, _u64(shift)))
            bits *= _u64(factor)
        return tf.bitwise.bitwise_xor(bits, tf.bitwise.right_shift(bits, _u64(31)))

    first, second = tf.unstack(tf.bitcast(seeds, tf.uint64), axis=1)
    step = _u64(0x9E3779B97F4A7C15)
    key = mixed(mixed(first + step) + second)
    words = tf.bitcast(tf.stack([key, mixed(key + step)], axis=1), tf.int32)
    return tf.reshape(words, [-1, 4])[:, :3]


def _u64(value: int) -> tf.Tensor:
    return tf.constant(value, tf.uint64)


SAMPLERS: dict[str, Callable[..., np.ndarray]] = {
    "uniform": uniform_weights,
    "popularity": popularity_weights,
    "lambdafm": lambdafm_weights,
}
