import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipelines.impressions.joining import Pieces, TooManyMatchesError, match

KEYS = st.lists(st.integers(-3, 6), max_size=12)


@given(KEYS, KEYS)
def test_matches_are_those_of_an_inner_join(left, right):
    matches = match(np.array(left, np.int64), np.array(right, np.int64))
    frames = [pd.DataFrame({"key": k, n: range(len(k))}) for n, k in (("a", left), ("b", right))]
    joined = frames[0].merge(frames[1], on="key").sort_values(["a", "b"])
    assert matches.left.tolist() == joined["a"].tolist()
    assert matches.right.tolist() == joined["b"].tolist()
    assert matches.left_only == len(set(left) - set(right))
    assert matches.right_only == len(set(right) - set(left))


@pytest.mark.parametrize("number", [1, 3])
def test_pieces_hold_each_row_once_and_a_key_in_one_piece(tmp_path, number):
    row_type = np.dtype([("key", np.int64), ("value", np.float32, (2,))])
    rng = np.random.default_rng(0)
    blocks = []
    for size in (0, 700, 1, 300):
        block = np.zeros(size, row_type)
        block["key"], block["value"] = rng.integers(-40, 40, size), rng.random((size, 2))
        blocks.append(block)
    pieces = Pieces(blocks, row_type, tmp_path / "side", number)
    taken = [pieces.take(piece) for piece in range(number)]
    assert not list((tmp_path / "side").iterdir())
    assert min(len(rows) for rows in taken) > 1000 / number / 3
    keys = [set(rows["key"].tolist()) for rows in taken]
    assert sum(map(len, keys)) == len(set.union(*keys))
    everything = np.concatenate(blocks)
    for key in set.union(*keys):
        expected = everything[everything["key"] == key]
        found = next(rows[rows["key"] == key] for rows in taken if key in rows["key"])
        np.testing.assert_array_equal(found, expected)  # In the table's order, too.


def test_more_pairs_than_allowed_are_counted_and_not_made():
    keys = np.array([7] * 3000 + [5], np.int64)
    with pytest.raises(TooManyMatchesError) as caught:
        match(keys, keys, most=10_000)
    found = caught.value
    assert (found.key, found.left, found.right, found.pairs) == (7, 3000, 3000, 9_000_001)
    assert len(match(keys[:2], keys[:2], most=4).left) == 4
