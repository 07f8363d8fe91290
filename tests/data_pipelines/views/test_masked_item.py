import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipelines.coding.vocabulary import Vocabulary
from data_pipelines.splitting.split_log import TRAIN
from data_pipelines.views import VIEWS
from data_pipelines.views.masked_item import Batching
from data_pipelines.views.split_read import SplitRead
from data_pipelines.views.view import ExampleOptions
from tests.data_pipelines.views.test_next_item import source_history

VIEW = VIEWS["masked_item"]
SIZE = 50
MASK = SIZE + 2


def assemble(rows, *, split="train", max_length=20, seed=(1, 2), **options):
    vocabulary = Vocabulary(tuple(map(str, range(SIZE))), np.zeros(SIZE, np.int64))
    size = len(rows)
    vocabularies = {"source": vocabulary}
    read = SplitRead(
        "masked_item",
        split,
        split == "train",
        split == "train",
        size,
        (0, size),
        max_length,
        vocabularies,
        {},
        {},
        0,
    )
    ragged = tf.RaggedTensor.from_row_lengths(
        tf.constant([item for row in rows for item in row], tf.int64),
        tf.constant([len(row) for row in rows], tf.int64),
    )
    made = VIEW.assembler(read, Batching(**options))({"items": ragged}, tf.constant(seed, tf.int64))
    return {name: value.numpy() for name, value in made.items()}


@settings(max_examples=40)
@given(st.integers(0, 40), st.integers(2, 9))
def test_windows_part_the_sequence(n, max_length):
    items = list(range(1, n + 1))
    options = ExampleOptions(max_length=max_length)
    examples = VIEW.examples(source_history(items), TRAIN, options)
    pieces = [example["items"].tolist() for example in examples]
    # A first item that is left alone in its window is left out.
    expected = items[1:] if n % max_length == 1 else items
    assert [item for piece in pieces[::-1] for item in piece] == expected
    assert all(2 <= len(piece) <= max_length for piece in pieces)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.lists(st.integers(1, SIZE), max_size=20), min_size=1, max_size=5),
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
        assert used.sum() == (wanted if row else 0)
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
    batch = assemble([[4, 5, 6], []], split="validation", max_length=5)
    assert batch["masked_items"].tolist() == [[0, 0, 4, 5, MASK], [0, 0, 0, 0, 0]]
    assert batch["positions"].tolist() == [[4, 0], [0, 0]]
    assert batch["labels"].tolist() == [[6, 0], [0, 0]]
    assert batch["label_weight"].tolist() == [[1, 0], [0, 0]]


def test_halves_round_up_as_in_the_release():
    # Python 3 rounds 4.5 to 4; the release's Python 2 to 5.
    assert assemble([[1] * 15], max_length=15)["positions"].shape == (1, 5)


@pytest.mark.parametrize("options", [{"mask_share": 0.0}, {"mask_share": 1.1}, {"max_masked": 0}])
def test_bad_options_are_refused(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        Batching(**options)
