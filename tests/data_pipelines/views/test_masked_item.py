import types

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipelines.views import VIEWS
from data_pipelines.views.example_batches import Draws
from data_pipelines.views.example_options import ExampleOptions
from data_pipelines.views.masked_item import Batching

VIEW = VIEWS["masked_item"]
SIZE = 50
MASK = SIZE + 2


def assemble(rows, *, split="train", max_length=20, seed=(1, 2), **options):
    """Batches windows that were cut before."""
    read = types.SimpleNamespace(
        for_training=split == "train",
        options=ExampleOptions(max_length=max_length),
        spaces={"source": types.SimpleNamespace(size=SIZE, mask_id=MASK)},
    )
    ends = np.cumsum([len(row) for row in rows])
    examples = {
        "start": tf.constant(ends - [len(row) for row in rows]),
        "end": tf.constant(ends),
    }
    shared = {"sequence": tf.constant([item for row in rows for item in row], tf.int64)}
    draws = Draws(tf.constant(seed, tf.int64), len(rows), tf.range(len(rows), dtype=tf.int64))
    made = VIEW.assembler(read, Batching(**options))(examples, shared, draws)
    return {name: value.numpy() for name, value in made.items()}


@settings(max_examples=30)
@given(
    st.lists(st.lists(st.integers(1, SIZE), min_size=2, max_size=20), min_size=1, max_size=5),
    st.integers(0, 5),
    st.sampled_from([0.1, 0.3, 0.5, 1.0]),
    st.sampled_from([2, 30]),
)
def test_hides_the_stated_number_of_items_and_never_padding(rows, seed, share, most):
    batch = assemble(rows, seed=(seed, 0), mask_share=share, max_masked=most)
    slots = min(most, max(1, int(share * 20 + 0.5)))
    assert batch["positions"].shape == batch["labels"].shape == (len(rows), slots)
    for row, masked, positions, labels, weight in zip(
        rows, *(batch[k] for k in ("masked_items", "positions", "labels", "label_weight")),
        strict=True,
    ):  # fmt: skip
        used = weight == 1
        wanted = min(slots, max(1, int(np.float32(share) * np.float32(len(row)) + 0.5)))
        assert used.sum() == wanted
        assert np.all(positions[~used] == 0) and np.all(labels[~used] == 0)
        assert np.all(np.diff(positions[used]) > 0)
        assert np.all(positions[used] >= 20 - len(row))
        restored = masked.copy()
        restored[positions[used]] = labels[used]
        assert restored.tolist() == [0] * (20 - len(row)) + row


def test_eight_in_ten_become_mask_one_stays_one_is_random():
    rows = [[SIZE] * 20] * 3000
    batch = assemble(rows)
    seen = np.take_along_axis(batch["masked_items"], batch["positions"], axis=1).ravel()
    assert np.mean(seen == MASK) == pytest.approx(0.8, abs=0.01)
    assert np.mean(seen == SIZE) == pytest.approx(0.1 + 0.1 / SIZE, abs=0.01)
    other = seen[(seen != MASK) & (seen != SIZE)]
    assert set(other.tolist()) == set(range(1, SIZE))
    counts = np.bincount(batch["positions"].ravel(), minlength=20)
    assert counts.min() > 0.9 * counts.mean()


def test_evaluation_hides_the_last_item_alone():
    batch = assemble([[4, 5, 6], [7, 8]], split="validation", max_length=5)
    assert batch["masked_items"].tolist() == [[0, 0, 4, 5, MASK], [0, 0, 0, 7, MASK]]
    assert batch["positions"].tolist() == [[4, 0], [4, 0]]
    assert batch["labels"].tolist() == [[6, 0], [8, 0]]
    assert batch["label_weight"].tolist() == [[1, 0], [1, 0]]


def test_halves_round_up_as_in_the_release():
    # Python 3 rounds 4.5 to 4; the release's Python 2 to 5.
    assert assemble([[1] * 15], max_length=15)["positions"].shape == (1, 5)


@pytest.mark.parametrize("options", [{"mask_share": 0.0}, {"mask_share": 1.1}, {"max_masked": 0}])
def test_bad_options_are_refused(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        Batching(**options)
