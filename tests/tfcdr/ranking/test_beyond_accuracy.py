"""Coverage and popularity of what is recommended, against lists sorted one by one."""

import numpy as np
import pytest
import tensorflow as tf

from tests.tfcdr.ranking.test_retrieval import Factors
from tfcdr.ranking import beyond_accuracy
from tfcdr.ranking.model import RankingQuery
from tfcdr.row_groups import COLD_AND_WARM

ITEMS, USERS = 12, 8


class Fixed(Factors):
    """Users are rows of a table; the batch says which, and what they have taken."""

    def __init__(self, vectors, users, is_split):
        super().__init__(vectors)
        self.users, self.is_split = tf.constant(users), is_split

    def query(self, batch):
        ranked = batch["ranked"] if self.is_split else None
        user = tf.gather(self.users, batch["row"])
        return RankingQuery(user, batch["item"], batch["seen"], None, ranked)


@pytest.mark.parametrize("is_split", [False, True])
def test_figures_are_of_the_best_that_are_not_taken(is_split):
    random = np.random.default_rng(0)
    vectors = random.normal(size=(ITEMS + 1, 3)).astype(np.float32)
    users = random.normal(size=(USERS, 3)).astype(np.float32)
    counts = random.permutation(ITEMS) + 1
    items = random.integers(1, ITEMS + 1, USERS).astype(np.int32)
    seen = random.integers(0, ITEMS + 1, (USERS, 3)).astype(np.int32)
    seen[:, 0] = items  # a view may count the held-out item itself among those taken
    first = np.where(np.arange(USERS) % 2, 1, 7)
    weight = np.ones(USERS, np.float32)
    weight[-1] = 0
    batches = tf.data.Dataset.from_tensor_slices(
        {
            "row": np.arange(USERS),
            "item": items,
            "seen": seen,
            "cold": np.arange(USERS, dtype=np.int32) // 4,
            "ranked": np.stack([first, first + 5], 1).astype(np.int32),
            "example_weight": weight,
        }
    ).batch(3)
    found = beyond_accuracy.measure(
        Fixed(vectors, users, is_split), None, counts, batches, (COLD_AND_WARM,), (1, 4)
    )
    assert {scorer for _, scorer in found} == {"model", "most popular"}
    scores = {"model": users @ vectors.T, "most popular": np.tile(np.append(0, counts), (USERS, 1))}
    groups = {"all": range(USERS - 1), "warm": range(4), "cold": range(4, USERS - 1)}
    for (group, scorer), figures in found.items():
        for k in (1, 4):
            best = []
            for row in groups[group]:
                last = first[row] + 5
                ranked = range(first[row], last + 1) if is_split else range(1, ITEMS + 1)
                left = [i for i in ranked if i == items[row] or i not in seen[row]]
                best += sorted(left, key=lambda item: -scores[scorer][row, item])[:k]
            assert figures[f"coverage@{k}"] == pytest.approx(len(set(best)) / ITEMS)
            assert figures[f"popularity@{k}"] == pytest.approx(np.mean(counts[np.array(best) - 1]))
