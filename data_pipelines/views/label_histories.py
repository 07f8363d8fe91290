"""What lies before a label in its user's history, as the views of target items read it."""

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from data_pipelines.views.padding import gather_or_zero, latest
from data_pipelines.views.roles import RoleRecords, first_of_ties, places_of
from data_pipelines.views.target_items import Labels
from data_pipelines.views.view import HistoryRead

_Features = dict[str, tf.Tensor]


def history_features(
    records: RoleRecords, read: HistoryRead, labels: Labels
) -> tuple[_Features, _Features]:
    """Finds the history of every label, in ids of space `joint`.

    It is `older`[older_start:older_end], then `own`[own_recent:own_end]: what may be read before
    the label's time, and the target's items of that very time that come before it. With
    `source_history=all`, it is all the sources' and then all the target's. `own_start` is where
    the target's own items begin; `own_order` and `source_order` tell which of two items comes
    first, one of `own` and one of the sources of `source_features`.

    Returns:
      What examples say of their histories, and what they share: see `Cut`.
    """
    readable = tf.logical_or(records.is_source, records.parts <= read.part)
    read_places = places_of(readable)
    ids, row, is_target = (
        tf.gather(column, read_places)
        for column in (read.ids("joint", records), records.row, records.is_target)
    )
    rows = tf.size(records.user, tf.int64)
    lengths = tf.math.unsorted_segment_sum(tf.ones_like(row), row, rows)
    user_start = tf.gather(tf.cumsum(lengths, exclusive=True), labels.row)
    # The number of readable interactions before each place.
    before = tf.cumsum(tf.cast(readable, tf.int64), exclusive=True)
    # The number of the target's items before each place.
    own_before = tf.concat([[0], tf.cumsum(tf.cast(is_target, tf.int64))], 0)
    own_places, source_places = places_of(is_target), places_of(tf.logical_not(is_target))
    own = tf.gather(ids, own_places)
    own_start = tf.gather(own_before, user_start)
    if read.options.source_history == "all":
        older = tf.gather(ids, source_places)
        user_end = user_start + tf.gather(lengths, labels.row)
        older_start = user_start - own_start
        older_end = user_end - tf.gather(own_before, user_end)
        own_recent = own_start
        # All sources come before all the target's.
        source_places -= tf.size(ids, tf.int64)
    else:
        older = ids
        older_start = user_start
        older_end = tf.gather(before, tf.gather(first_of_ties(records), labels.places))
        own_recent = tf.gather(own_before, older_end)
    examples = {
        "older_start": older_start,
        "older_end": older_end,
        "own_start": own_start,
        "own_recent": own_recent,
        "own_end": tf.gather(own_before, tf.gather(before, labels.places)),
    }
    orders = {"own_order": own_places, "source_order": source_places}
    return examples, {"older": older, "own": own, **orders}


def source_features(
    records: RoleRecords, read: HistoryRead, labels: Labels
) -> tuple[_Features, _Features]:
    """Finds the source items before every label: `joint_sources`[source_start:source_end].

    Returns:
      What examples say of them, and what they share, in ids of space `joint`.
    """
    is_source = records.is_source
    sources = tf.gather(read.ids("joint", records), places_of(is_source))
    before = tf.cumsum(tf.cast(is_source, tf.int64), exclusive=True)
    # Where the sources of each user begin among all sources.
    starts = tf.gather(tf.concat([before, [tf.size(sources, tf.int64)]], 0), records.splits[:-1])
    examples = {
        "source_start": tf.gather(starts, labels.row),
        "source_end": labels.source_ends(),
    }
    return examples, {"joint_sources": sources}


def latest_of_all(
    rows: Mapping[str, tf.Tensor], shared: Mapping[str, Any], length: int
) -> tf.Tensor:
    """Keeps the last items of older and own ones, right-aligned behind zeros: int64 [R, T]."""
    from_end = tf.range(length, 0, -1, dtype=tf.int64)
    recent = (rows["own_end"] - rows["own_recent"])[:, tf.newaxis]
    own_places = rows["own_end"][:, tf.newaxis] - from_end
    own = gather_or_zero(shared["own"], own_places, from_end <= recent)
    older_places = rows["older_end"][:, tf.newaxis] - (from_end - recent)
    is_older = tf.logical_and(from_end > recent, older_places >= rows["older_start"][:, tf.newaxis])
    return own + gather_or_zero(shared["older"], older_places, is_older)


def latest_with_own(
    rows: Mapping[str, tf.Tensor], shared: Mapping[str, Any], length: int, kept_own: int
) -> tf.Tensor:
    """Keeps the latest items, `kept_own` of the target's own at least: int64 [R, T], in order.

    Whatever places own items do not need, sources' have, and the other way round.
    """
    items, order, is_own = [], [], []
    for name, values in (("own", "own"), ("source", "joint_sources")):
        starts, ends = rows[f"{name}_start"], rows[f"{name}_end"]
        found = latest(shared[values], starts, ends, length)
        places = latest(shared[f"{name}_order"], starts, ends, length)
        items.append(found)
        order.append(tf.where(found > 0, places, tf.int64.min))
        is_own.append(tf.fill(tf.shape(found), name == "own"))
    # The latest last; of each kind, the latest `length`.
    items, order, is_own = (tf.concat(parts, 1) for parts in (items, order, is_own))
    by_time = tf.argsort(order, axis=1, stable=True)
    items, is_own = (tf.gather(part, by_time, batch_dims=1) for part in (items, is_own))
    is_own = tf.logical_and(is_own, items > 0)
    own_rank = tf.cumsum(tf.cast(is_own, tf.int64), axis=1, reverse=True)
    is_kept = tf.logical_and(is_own, own_rank <= kept_own)
    # What is kept comes behind all else, and then the latest: these are the T to read.
    width = 2 * length
    rank = tf.range(width) + tf.where(is_kept, width, 0)
    chosen = tf.sort(tf.math.top_k(rank, length).indices, axis=1)
    return tf.gather(items, chosen, batch_dims=1)


def recent_items(
    rows: Mapping[str, tf.Tensor], shared: Mapping[str, Any], length: int
) -> _Features:
    """Returns the entry `recent_items`, int64 [R, length], if a reading asks for it.

    Args:
      rows: with `cold` and what both functions above say of examples.
      shared: what examples share, in ids of space `joint`.
      length: of the rows; 0 for no entry.
    """
    if not length:
        return {}
    return {"recent_items": of_cold_by_sources(rows, shared, latest_of_all(rows, shared, length))}


def of_cold_by_sources(
    rows: Mapping[str, tf.Tensor], shared: Mapping[str, Any], history: tf.Tensor
) -> tf.Tensor:
    """Replaces the histories of cold users, int64 [R, T], by their latest source items.

    What they did in the target is all held out: who is new there has no such history.
    """
    length = history.shape[1]
    of_sources = latest(shared["joint_sources"], rows["source_start"], rows["source_end"], length)
    return tf.where(rows["cold"][:, tf.newaxis] == 1, of_sources, history)
