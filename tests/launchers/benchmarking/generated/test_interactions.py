"""Generated histories have the sizes that were asked for, and every contender does that work."""

import numpy as np

from launchers.benchmarking.generated.generator import DataSizes
from launchers.benchmarking.generated.interactions import Interactions


def test_generated_data_have_the_sizes_that_were_asked_for(tmp_path):
    sizes = DataSizes(items=100, length=6, users=120)
    data = Interactions().prepare(tmp_path / "data", sizes)
    for space in ("source", "target"):
        assert data.vocabulary(space).size == 100
    (batch,) = data.batches("next_item", "train", batch_size=64, seed=0).take(1)
    # Every history is full: padding would make the work look cheaper than it is.
    assert batch["items"].shape == (64, 7)
    assert np.all(batch["items"] > 0)
    (batch,) = data.batches("transfer", "train", batch_size=64, seed=0, negatives=1).take(1)
    assert np.all(batch["context"] > 0)


def test_generated_histories_of_what_was_liked_are_full_in_the_source(tmp_path):
    sizes = DataSizes(items=100, length=6, users=120)
    data = Interactions().prepare(tmp_path / "data", sizes)
    assert data.num_users == 120
    for space in ("source", "target"):
        assert len(data.vocabulary(space).categories) == 20
    (batch,) = data.batches("paired_behaviour", "train", batch_size=64, seed=0).take(1)
    assert np.all(batch["source_length"] == 6)
    assert np.all(batch["source_history_categories"] > 0)
    assert np.all(batch["source_effect"] == 1)
    # Nobody could learn from labels of one kind.
    for label in ("liked", "source_liked"):
        assert 0 < np.mean(batch[label]) < 1
