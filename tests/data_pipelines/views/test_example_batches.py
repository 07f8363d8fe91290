"""Batches are the same whoever reads them, whenever; each example comes once an epoch."""

import numpy as np
import pytest
import tensorflow as tf

from data_pipelines.views import user_records
from tests.data_pipelines.small_logs import (
    assert_at_once_as_by_a_pipeline,
    built,
    demo_log,
    joined,
    read,
    read_by_pipeline,
    source_of,
)

SIZE = 24  # Of the batches whose shapes are looked at.
SHAPES = {
    "next_item": {"items": [SIZE, 6]},
    "joint_next_item": {"items": [SIZE, 6]},
    "masked_item": {
        "masked_items": [SIZE, 5],
        "positions": [SIZE, 2],
        "labels": [SIZE, 2],
        "label_weight": [SIZE, 2],
    },
    "transfer": {"context": [SIZE, 6], "target_item": [SIZE], "negative_items": [SIZE, 4]},
    "leave_one_out": {"history": [SIZE, 5], "target_item": [SIZE], "negative_items": [SIZE, 4]},
    "multi_domain_sequence": {
        **{key: [SIZE, 5] for key in ("items", "domains", "next_items", "next_domains")},
        "negative_items": [SIZE, 5, 4],
    },
}


@pytest.fixture(scope="module")
def source_for(tmp_path_factory):
    """Gives the source that reads for a view; users come in windows of 16."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(user_records, "USERS_AT_ONCE", 16)
        folder = tmp_path_factory.mktemp("prepared") / "data"
        of_toys = built(folder, demo_log(), ["toys"], max_length=5)
        of_all = source_of(folder, ["all"], joint=True, max_length=5)
        yield lambda view: of_all if view == "multi_domain_sequence" else of_toys


def options_of(view, split):
    if view in ("next_item", "joint_next_item", "masked_item"):
        return {}
    return {"negatives": 4} if split == "train" else {"candidates": 3}


def of_several_batches(source, view, split):
    """A batch size that gives some batches and a last one of few rows."""
    number = source.num_examples(view, split)
    return next(size for size in range(number // 2 - 1, 8, -1) if 0 < number % size <= size // 3)


def rows_of(batches):
    """What each example is, but for what is drawn with it, sorted."""
    rows = joined(batches)
    names = sorted(set(rows) - {"masked_items", "positions", "labels", "negative_items"})
    columns = [np.reshape(rows[name], [len(rows["user"]), -1]) for name in names]
    return sorted(map(tuple, np.concatenate(columns, axis=1).tolist()))


def same(first, second):
    return all(
        np.array_equal(one[name], other[name])
        for one, other in zip(first, second, strict=True)
        for name in one
    )


# The other views read ratings; their own tests say what is drawn anew.
@pytest.mark.parametrize("view", SHAPES)
def test_training(source_for, view):
    source = source_for(view)
    options = options_of(view, "train")
    size, number = of_several_batches(source, view, "train"), source.num_examples(view, "train")

    def epoch_of(epoch, rows=None, seed=3):
        # A process's share by a pipeline; the whole by none, which must be the same.
        reader = read_by_pipeline if rows else read
        return reader(
            source, view, "train", batch_size=size, seed=seed, epoch=epoch, rows=rows, **options
        )

    tf.random.set_seed(1)
    whole = epoch_of(2)
    spec = {name: (list(value.shape), value.dtype.name) for name, value in whole[0].items()}
    expected = {**SHAPES[view], "user": [SIZE], "example_weight": [SIZE]}
    assert spec == {
        name: ([size, *shape[1:]], "float32" if name.endswith("weight") else "int32")
        for name, shape in expected.items()
    }
    # Every example once; what is left of the last batch is zero.
    weight = np.concatenate([batch["example_weight"] for batch in whole])
    assert weight.tolist() == [1.0] * number + [0.0] * (len(weight) - number)
    assert len(whole) == -(-number // size) > 2
    for name, values in whole[-1].items():
        assert not values[number % size :].any(), name
    # Shared by two processes, of which the second has no row of the last batch.
    cut = size // 3
    shares = [epoch_of(2, rows) for rows in ((0, cut), (cut, size))]
    for batch, *parts in zip(whole, *shares, strict=True):
        for name, values in batch.items():
            together = np.concatenate([part[name] for part in parts])
            np.testing.assert_array_equal(together, values, err_msg=name)
    # Another epoch has the same examples in another order, and draws anew; none depends on what
    # was read before, nor on the global seed.
    tf.random.set_seed(99)
    other = epoch_of(5)
    assert not same(whole, other)
    assert rows_of(whole) == rows_of(other)
    assert joined(whole)["user"].tolist() != joined(other)["user"].tolist()
    assert same(whole, epoch_of(2))
    # Epochs that are read one behind the other are what each is alone; of some, the beginning.
    reading = {"batch_size": size, "seed": 3, **options}
    several = source.epochs(view, "train", epochs=[2, 5], **reading)
    assert same(several.as_numpy_iterator(), whole + other)
    begun = source.epochs(view, "train", epochs=[5, 2, 5], steps=[1, 0, 2], **reading)
    assert same(begun.as_numpy_iterator(), other[:1] + other[:2])


def test_draws_differ_between_epochs_batches_and_seeds(source_for):
    source = source_for("leave_one_out")
    options = {"batch_size": 40, "negatives": 30, "negatives_exclude": "positive"}
    first, second, *_ = batches = read(source, "leave_one_out", "train", **options)
    assert np.mean(first["negative_items"] == second["negative_items"]) < 0.15

    def by_example(batches):
        rows = joined(batches)
        order = np.lexsort((rows["target_item"], rows["user"]))
        return rows["negative_items"][order]

    for changed in ({"epoch": 1}, {"seed": 2}):
        again = by_example(read(source, "leave_one_out", "train", **options, **changed))
        assert np.mean(by_example(batches) == again) < 0.15


@pytest.mark.parametrize("view", ["masked_item", "leave_one_out", "multi_domain_sequence"])
def test_evaluation_is_fixed(source_for, view):
    """In every epoch, batch size and process; another seed draws other candidates."""
    source = source_for(view)
    options = options_of(view, "validation")
    size = 9 if view == "masked_item" else of_several_batches(source, view, "validation")
    whole = read(source, view, "validation", batch_size=size, **options)
    twice = source.epochs(view, "validation", epochs=[0, 3], batch_size=size, seed=1, **options)
    assert same(twice.as_numpy_iterator(), whole + whole)
    assert same(whole, read(source, view, "validation", batch_size=size, epoch=3, **options))
    shares = [
        read(source, view, "validation", batch_size=size, rows=rows, **options)
        for rows in ((0, 4), (4, size))
    ]
    for batch, *parts in zip(whole, *shares, strict=True):
        for name, values in batch.items():
            np.testing.assert_array_equal(np.concatenate([part[name] for part in parts]), values)
    assert_at_once_as_by_a_pipeline(source, view, batch_size=size, **options)
    if view == "masked_item":
        assert 0 < source.num_examples(view, "validation") % size <= size - 2
        # A process that has no row of the last batch.
        rows = (size - 2, size)
        assert_at_once_as_by_a_pipeline(source, view, batch_size=size, rows=rows, **options)
    other = joined(read(source, view, "validation", batch_size=16, seed=7, **options))
    for name, values in joined(whole).items():
        if name == "candidates":
            assert (values[:, 0] == other[name][:, 0]).all()
            assert np.mean(values[:, 1:] == other[name][:, 1:]) < 0.2
        else:
            np.testing.assert_array_equal(values, other[name])


def test_training_rows_in_the_order_of_the_records(source_for):
    first, again = (
        read(source_for("next_item"), "next_item", "train", shuffled=False, epoch=epoch)
        for epoch in (0, 4)
    )
    assert same(first, again)
    users = joined(first)["user"]
    # All examples of a user stand together.
    assert np.count_nonzero(np.diff(users)) + 1 == len(set(users.tolist()))
