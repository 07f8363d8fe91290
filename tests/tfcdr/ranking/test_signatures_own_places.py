"""What an exported model reads of a history in which places are kept for the target's own items."""

import pytest
import tensorflow as tf

from tfcdr.ranking.recommender import latest_known


@pytest.mark.parametrize(
    ("own_places", "expected"),
    [
        # Ids up to 3 are own. The latest four of 1 2 3 7 8 9 7, then with one own, two, all.
        (0, [7, 8, 9, 7]),
        (1, [3, 8, 9, 7]),
        (2, [2, 3, 9, 7]),
        (4, [1, 2, 3, 7]),
    ],
)
def test_own_items_keep_their_places(own_places, expected):
    ids = tf.constant([[1, 0, 2, 3, 7, 8, 0, 9, 7], [0, 0, 0, 0, 0, 5, 0, 2, 0]])
    rows = latest_known(ids, 4, own_places, last_own=3).numpy().tolist()
    assert rows == [expected, [0, 0, 5, 2]]
