"""Tables of the page hold texts as they are; samples of rows are fair."""

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from tests.tfcdr.runs.report.parsed_page import Page
from tfcdr.report_section import sample_rows, table_html


def test_rows_with_the_same_index_share_its_cells():
    index = pd.MultiIndex.from_tuples(
        [("ann", "a"), ("ann", "a"), ("bob", "a"), ("ann", "a")], names=("user", "item")
    )
    rows = Page(table_html(pd.DataFrame({"n": [1, 2, 3, 4]}, index))).rows
    assert rows == [
        [["user", 1], ["item", 1], ["n", 1]],
        [["ann", 2], ["a", 2], ["1", 1]],
        [["2", 1]],
        [["bob", 1], ["a", 1], ["3", 1]],
        [["ann", 1], ["a", 1], ["4", 1]],
    ]


def test_cells_are_text_whatever_they_hold_and_long_ones_stay_whole():
    hostile, long = "<script>alert('&amp;')</script>", "word " * 40 + "end"
    index = pd.Index([hostile, "two\nlines"], name="<b>")
    text = table_html(pd.DataFrame({"<i>": [long, hostile]}, index))
    assert "<script>" not in text
    assert [[cell for cell, _ in row] for row in Page(text).rows] == [
        ["<b>", "<i>"],
        [hostile, long],
        ["two\nlines", hostile],
    ]


def batches_of(weights, batch_size):
    rows = {"user": np.arange(len(weights)), "example_weight": np.array(weights, np.float32)}
    return tf.data.Dataset.from_tensor_slices(rows).batch(batch_size)


@pytest.mark.parametrize("batch_size", [3, 40])
def test_a_sample_has_no_row_twice_and_none_of_weight_0(batch_size):
    weights = [float(row % 4 > 0) for row in range(40)]
    users = sample_rows(batches_of(weights, batch_size), ["user"], 10, seed=1)["user"]
    assert len(set(users.tolist())) == 10
    assert (users % 4 > 0).all()
    assert (np.diff(users) > 0).all()


def test_a_sample_of_more_rows_than_there_are_is_all_of_them():
    assert sample_rows(batches_of([1, 0, 1, 1], 2), ["user"], 10, 0)["user"].tolist() == [0, 2, 3]


def test_a_sample_follows_from_its_seed_and_takes_every_row_as_often():
    samples = [
        tuple(sample_rows(batches_of([1] * 8, 3), ["user"], 2, seed)["user"])
        for seed in (*range(200), 0)
    ]
    assert samples[0] == samples[-1]
    counts = np.bincount(np.ravel(samples[:-1]))
    # 200 draws of 2 of 8: 50 each, standard deviation 6.
    assert counts.min() > 25 and counts.max() < 75
