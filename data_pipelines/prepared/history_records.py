"""Records of users' histories, one a user.

| feature | shape | dtype | |
| --- | --- | --- | --- |
| `user` | [] | int64 | id from 1 |
| `items` | [n] | int64 | ids of the data set from 1, oldest first |
| `gaps` | [n] | int64 | the first time, then what each is later than the one before it |
| `parts` | [n] | int64 | what each is where its domain is the target; see `data_pipelines.parts` |
| `ratings` | [n] | float32 | if the log has ratings |
| `negatives` | [m] | int64 | if the log brings negatives: ids to rank interactions among |
| `negative_counts` | [n] | int64 | how many of these each interaction has |

Small integers take few bytes in a record, times would take five each: hence the gaps.
"""

import tensorflow as tf

from data_pipelines.prepared.records import RecordKind


def history_records(ratings: bool, negatives: bool) -> RecordKind:
    """Describes the records of a log that has ratings, or given negatives, or neither."""
    names = ["items", "gaps", "parts", *(["negatives", "negative_counts"] if negatives else [])]
    features = {
        "user": tf.TensorSpec([], tf.int64),
        **dict.fromkeys(names, tf.TensorSpec([None], tf.int64)),
    }
    if ratings:
        features["ratings"] = tf.TensorSpec([None], tf.float32)
    return RecordKind("histories", "1.0.0", features)
