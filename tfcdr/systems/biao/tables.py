"""The embedding tables, and small tables of the rows that some batches read."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import tensorflow as tf

from tfcdr.stage_model import Batch

USER = "user"
TARGET_ITEM, TARGET_CATEGORY = "target_item", "target_category"
SOURCE_ITEM, SOURCE_CATEGORY = "source_item", "source_category"

# Entries of a batch with histories: the items, and their categories.
TARGET_HISTORY = ("target_history", "target_history_categories")
SOURCE_HISTORY = ("source_history", "source_history_categories")
_LENGTHS = {
    **dict.fromkeys(TARGET_HISTORY, "target_length"),
    **dict.fromkeys(SOURCE_HISTORY, "source_length"),
}

# A table's rows by its name: a variable, or some rows of it.
Tables = Mapping[str, tf.Variable | tf.Tensor]
# By a table's name, the entries of a batch that hold ids of its rows.
Reads = Mapping[str, Sequence[str]]


class TableSizes(NamedTuple):
    """How many users, items and categories there are; ids begin at 1, row 0 stands for none."""

    user: int
    target_item: int
    target_category: int
    source_item: int
    source_category: int


def reads_of_pairs(sources: bool, histories: bool) -> Reads:
    """Returns what is read of a row.

    Args:
      sources: whether its source behaviour is read beside its user and target item.
      histories: whether what the user liked is read, in the domains that are.
    """
    pairs = {TARGET_ITEM: TARGET_HISTORY[0], TARGET_CATEGORY: TARGET_HISTORY[1]}
    if sources:
        pairs |= {SOURCE_ITEM: SOURCE_HISTORY[0], SOURCE_CATEGORY: SOURCE_HISTORY[1]}
    of_items = {
        table: (table, history) if histories else (table,) for table, history in pairs.items()
    }
    return {USER: (USER,), **of_items}


def shapes_of(reads: Reads, max_length: int) -> dict[str, list[int | None]]:
    """Returns the shapes of all entries that are read, and of the lengths of histories.

    Args:
      reads: by table.
      max_length: items T of a history.
    """
    shapes: dict[str, list[int | None]] = {}
    for entry in (entry for entries in reads.values() for entry in entries):
        if entry in _LENGTHS:
            shapes |= {entry: [None, max_length], _LENGTHS[entry]: [None]}
        else:
            shapes[entry] = [None]
    return shapes


def of_target(tables: Tables, items: tf.Tensor, categories: tf.Tensor) -> tf.Tensor:
    """Embeds items of the target: int [...] each to float [..., 2e]."""
    return _pair(tables[TARGET_ITEM], items, tables[TARGET_CATEGORY], categories)


def of_source(tables: Tables, items: tf.Tensor, categories: tf.Tensor) -> tf.Tensor:
    """Embeds items of the source: int [...] each to float [..., 2e]."""
    return _pair(tables[SOURCE_ITEM], items, tables[SOURCE_CATEGORY], categories)


def _pair(
    items: tf.Variable | tf.Tensor,
    item_ids: tf.Tensor,
    categories: tf.Variable | tf.Tensor,
    category_ids: tf.Tensor,
) -> tf.Tensor:
    return tf.concat([tf.gather(items, item_ids), tf.gather(categories, category_ids)], -1)


class TouchedRows(NamedTuple):
    """The rows of tables that some batches read, each once.

    Attributes:
      tables: float [n, e] by table, n the number of ids that the batches hold of it; rows beyond
        the distinct ones repeat row 0 and are read by nobody.
      rows: int32 [n] by table, which rows these are.
      batches: the batches with the places in `tables` for ids.
    """

    tables: dict[str, tf.Tensor]
    rows: dict[str, tf.Tensor]
    batches: list[dict[str, tf.Tensor]]


def touched_rows(tables: Tables, reads: Reads, batches: Sequence[Batch]) -> TouchedRows:
    """Cuts out of tables what batches read, so that a step costs that much and not the tables.

    Every shape follows from the batches' shapes alone, as XLA needs it.

    Args:
      tables: whole ones.
      reads: the entries with ids; others stay as they are.
      batches: int entries of any shape.
    """
    small, rows_by_table = {}, {}
    with_places = [dict(batch) for batch in batches]
    for table, entries in reads.items():
        read = [(batch, entry) for batch in with_places for entry in entries]
        ids = tf.concat([tf.reshape(batch[entry], [-1]) for batch, entry in read], 0)
        rows, places = _distinct(ids)
        small[table] = tf.gather(tables[table], rows)
        rows_by_table[table] = rows
        sizes = [tf.size(batch[entry]) for batch, entry in read]
        for (batch, entry), part in zip(read, tf.split(places, sizes), strict=True):
            batch[entry] = tf.reshape(part, tf.shape(batch[entry]))
    return TouchedRows(small, rows_by_table, with_places)


def _distinct(ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns distinct ids, int32 [n] with zeros behind them, and each id's place there, [n]."""
    number = tf.size(ids)
    order = tf.argsort(ids, stable=True)
    ordered = tf.gather(ids, order)
    is_new = tf.concat([[0], tf.cast(ordered[1:] != ordered[:-1], tf.int32)], 0)
    place = tf.cumsum(is_new)
    rows = tf.maximum(tf.math.unsorted_segment_max(ordered, place, number), 0)
    return rows, tf.scatter_nd(order[:, tf.newaxis], place, [number])
