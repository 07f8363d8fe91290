"""Users on the page: what they did, what is recommended, and whether that held what came next."""

import numpy as np
import tensorflow as tf

from tests.tfcdr.ranking.test_beyond_accuracy import Fixed
from tfcdr.ranking import shown_users

ITEMS = 12
# One channel: the greater the id, the better for the first user, the smaller for the second.
VECTORS = np.arange(ITEMS + 1, dtype=np.float32)[:, np.newaxis]
USERS = np.array([[1.0], [-1.0], [1.0]], np.float32)


class Names:
    def item(self, space, item):
        return f"{space} {item}"

    def user(self, user):
        return f"user {user}"


def batches(**entries):
    rows = {
        "row": np.arange(3),
        "user": np.array([7, 8, 9]),
        "item": np.array([3, 12, 5], np.int32),
        "seen": np.array([[12, 11], [1, 0], [0, 0]], np.int32),
        "example_weight": np.array([1, 1, 0], np.float32),
        **entries,
    }
    return tf.data.Dataset.from_tensor_slices(rows).batch(2)


def draw(of):
    return shown_users.draw(Fixed(VECTORS, USERS, False), of, "joint", "target", Names(), 5)


def test_users_have_their_history_and_ten_items_that_they_had_not_taken():
    recent = np.array([[0, 0, 4, 12, 11], [0, 0, 0, 0, 1], [0, 0, 0, 0, 0]])
    first, second = draw(batches(recent_items=recent))  # the third weighs nothing
    assert (first.name, second.name) == ("user 7", "user 8")
    assert first.history == ["joint 11", "joint 12", "joint 4"]
    assert first.recommended == [f"target {item}" for item in range(10, 0, -1)]
    assert (first.held_out, first.hit) == ("target 3", 7)
    assert second.recommended == [f"target {item}" for item in range(2, 12)]
    assert (second.held_out, second.hit) == ("target 12", None)


def test_nobody_is_shown_whose_history_is_not_read_or_where_no_row_counts():
    assert draw(batches()) == ()
    nobody = np.zeros(3, np.float32)
    assert draw(batches(recent_items=np.zeros((3, 2), int), example_weight=nobody)) == ()
