"""What a user did and liked up to some moment, which goes with an example of rated behaviours.

| key | shape | dtype | |
| --- | --- | --- | --- |
| `source_item`, `source_category` | [B] | int32 | source id of one of the user's behaviours, id \
of its category or 0; 0 for none |
| `source_rating`, `source_liked` | [B] | float32 | its rating, and whether the user liked it; 0 \
for none |
| `source_effect` | [B] | int32 | 1 if there is a source behaviour, else 0 |
| `target_history`, `target_history_categories` | [B, T] | int32 | target items that the user \
liked, oldest first, and their categories; 0 behind them |
| `target_length` | [B] | int32 | how many they are |
| `source_history`, `source_history_categories`, `source_length` | | | likewise of the sources |
"""

from collections.abc import Callable, Mapping

import tensorflow as tf

from data_pipelines.errors import DataError
from data_pipelines.views.padding import first, gather_or_zero
from data_pipelines.views.roles import RoleRecords, places_of
from data_pipelines.views.view import HistoryRead

Columns = Mapping[str, tf.Tensor]
# Makes the entries of R rows from `stretches`, and from which behaviour of its pool each row takes.
Entries = Callable[[Columns, Columns, tf.Tensor], dict[str, tf.Tensor]]


def stretches(
    records: RoleRecords,
    read: HistoryRead,
    row: tf.Tensor,
    source_end: tf.Tensor,
    target_end: tf.Tensor,
    last_part: int,
) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
    """Finds what each example may read of its user's behaviours.

    Of three kinds of interaction, all users' one behind the other, an example reads a stretch,
    `KIND_start` to `KIND_end`: source behaviours to take one of (`pool`), and what the user liked
    in the sources (`source`) and in the target (`target`).

    Args:
      records: of some users.
      read: the split.
      row: int64 [E], the examples' users.
      source_end: int64 [E], before which of all users' interactions each one's sources end.
      target_end: int64 [E], likewise of the target's.
      last_part: target interactions of later parts are left out.

    Returns:
      What is known of each example, and what they share; see `example_batches.Cut`.
    """
    liked = records.ratings > read.options.positive_above
    readable = records.is_target & (records.parts <= last_part)
    start = tf.gather(records.splits, row)
    examples, shared = {}, {}
    for kind, space, chosen, end in (
        ("pool", "source", records.is_source, source_end),
        ("source", "source", records.is_source & liked, source_end),
        ("target", "target", readable & liked, target_end),
    ):
        before = tf.concat([[0], tf.cumsum(tf.cast(chosen, tf.int64))], 0)
        examples[f"{kind}_start"] = tf.gather(before, start)
        examples[f"{kind}_end"] = tf.gather(before, end)
        shared[kind] = tf.gather(read.ids(space, records), places_of(chosen))
    shared["pool_ratings"] = tf.gather(records.ratings, places_of(records.is_source))
    return examples, shared


def behaviour_entries(view: str, read: HistoryRead) -> Entries:
    """Returns the function that makes the entries of the module's docstring.

    Args:
      view: its name, for the message.
      read: the split.

    Raises:
      DataError: the data set has no ratings.
    """
    if not read.has_ratings:
        raise DataError(
            f"view {view} needs ratings, and the data set has none: convert a log that has them, "
            "such as --reader=movielens, amazon, or csv with --read.rating_column."
        )
    length, threshold = read.options.max_length, read.options.positive_above
    category_of = {
        role: tf.constant(read.spaces[role].category_of) for role in ("source", "target")
    }

    def entries(rows: Columns, shared: Columns, number: tf.Tensor) -> dict[str, tf.Tensor]:
        place = rows["pool_start"] + number
        effect = place < rows["pool_end"]
        item = gather_or_zero(shared["pool"], place, effect)
        rating = gather_or_zero(shared["pool_ratings"], place, effect)
        found = {
            "source_item": item,
            "source_category": tf.gather(category_of["source"], item),
            "source_rating": rating,
            "source_liked": tf.cast(effect & (rating > threshold), tf.float32),
            "source_effect": tf.cast(effect, tf.int64),
        }
        for role, categories in category_of.items():
            end = rows[f"{role}_end"]
            start = tf.maximum(rows[f"{role}_start"], end - length)
            items = first(shared[role], start, end, length)
            found |= {
                f"{role}_history": items,
                f"{role}_history_categories": tf.gather(categories, items),
                f"{role}_length": end - start,
            }
        return found

    return entries
