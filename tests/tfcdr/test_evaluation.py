"""Ranking held-out interactions: what competes, who counts, which tables come out."""

import numpy as np
import pytest
import tensorflow as tf

from tfcdr.evaluation import (
    EvaluationOptions,
    HeldOutRanker,
    Ranks,
    format_table,
    tabulate,
)
from tfcdr.ranking import RankingModel, RankingQuery

FULL, SAMPLED = ("full", "model"), ("sampled", "model")
FULL_POPULAR, SAMPLED_POPULAR = ("full", "most popular"), ("sampled", "most popular")

# Scores by three kinds of users of padding, items 1..5 and two tokens behind them. Padding and
# tokens score highest and must never compete.
SCORES = np.array(
    [
        [100.0, 5.0, 4.0, 3.0, 2.0, 1.0, 100.0, 100.0],
        [100.0, 1.0, 1.0, 1.0, 2.0, 0.0, 100.0, 100.0],
        [100.0, np.nan, 4.0, 3.0, 2.0, 1.0, 100.0, 100.0],
    ],
    np.float32,
)
COUNTS = np.array([10, 20, 20, 0, 5])


class TableModel(RankingModel):
    """Scores by a table of kinds of users; the batch names each row's kind."""

    def __init__(self):
        super().__init__()
        self.num_items = len(COUNTS)
        self.traces = 0

    def query(self, batch):
        self.traces += 1
        return RankingQuery(
            user=tf.gather(tf.constant(SCORES), batch["kind"]),
            positive=batch["positive"],
            excluded=batch["excluded"],
            cold=batch["cold"],
            candidates=batch.get("candidates"),
        )

    def encode_history(self, history):
        raise NotImplementedError

    def item_factors(self):
        return tf.eye(SCORES.shape[1]), None

    def score_catalogue(self, user):
        return user  # 0 times not-a-number would spoil every other score

    def score_candidates(self, user, ids):
        return tf.gather(user, ids, batch_dims=1)


def rank(rows, candidates=True, batch_size=2, model=None):
    """Ranks rows of (user, kind, positive, excluded, cold, candidates), filled up with zeros."""
    keys = ("user", "kind", "positive", "excluded", "cold", "candidates")
    columns = dict(zip(keys, zip(*rows, strict=True), strict=True))
    columns["example_weight"] = [1.0] * len(rows)
    if not candidates:
        del columns["candidates"]
    missing = -len(rows) % batch_size
    arrays = {}
    for key, values in columns.items():
        array = np.array(values, np.float32 if key == "example_weight" else np.int32)
        arrays[key] = np.concatenate([array, np.zeros((missing, *array.shape[1:]), array.dtype)])
    batches = tf.data.Dataset.from_tensor_slices(arrays).batch(batch_size)
    return HeldOutRanker(model or TableModel(), COUNTS)(batches)


ROWS = [
    # Item 3 among 2, 4, 5 (1 is the user's own): only 2 is above. By counts 20 against 20, 0, 5.
    (7, 0, 3, [1, 0], 1, [3, 5, 4]),
    # Item 1 among 2, 3, 4, 5: ties with 2 and 3, below 4. By counts 10 against 20, 20, 0, 5.
    (8, 1, 1, [0, 0], 0, [1, 5, 4]),
    # A score that is no number ranks behind all four.
    (8, 2, 1, [0, 0], 0, [1, 2, 3]),
]


def test_full_ranks_by_hand():
    ranks = rank(ROWS)
    assert ranks[FULL].rank.tolist() == [2, 4, 5]
    assert ranks[FULL].competitors.tolist() == [3, 4, 4]
    assert ranks[FULL_POPULAR].rank.tolist() == [2, 3, 3]


def test_sampled_ranks_by_hand():
    ranks = rank(ROWS)
    # Candidates 5 and 4: both below 3; of 1 (score 1) below 4 (score 2); not a number: last.
    assert ranks[SAMPLED].rank.tolist() == [1, 2, 3]
    assert ranks[SAMPLED].competitors.tolist() == [2, 2, 2]
    # Counts 20 against 5, 0; 10 against 5, 0; 10 against 20, 20.
    assert ranks[SAMPLED_POPULAR].rank.tolist() == [1, 1, 3]


def test_sampled_protocol_needs_candidates():
    assert set(rank(ROWS, candidates=False)) == {FULL, FULL_POPULAR}


@pytest.mark.parametrize("excluded", [[4, 4], [4, 0], [0, 4]])
def test_own_items_do_not_compete_wherever_they_are_listed(excluded):
    # Item 1 of the second kind without item 4: 2 and 3 tie, 5 is below.
    ranks = rank([(8, 1, 1, excluded, 0, [1, 5, 4])])
    assert ranks[FULL].rank.tolist() == [3]
    assert ranks[FULL].competitors.tolist() == [3]


@pytest.mark.parametrize("batch_size", [1, 2, 4])
def test_rows_that_fill_a_batch_up_are_left_out(batch_size):
    ranks = rank(ROWS, batch_size=batch_size)
    assert ranks[FULL].user.tolist() == [7, 8, 8]
    assert ranks[FULL].cold.tolist() == [True, False, False]
    assert ranks[FULL].rank.tolist() == [2, 4, 5]


def test_ranking_is_traced_once():
    model = TableModel()
    rank(ROWS * 3, batch_size=2, model=model)
    assert model.traces == 1


# User 1 has three held-out items with ranks 1, 30 and 2, user 2 has one with rank 5.
SEVERAL = Ranks(
    user=np.array([1, 1, 2, 1]),
    cold=np.array([False, False, True, False]),
    rank=np.array([1, 30, 5, 2]),
    competitors=np.array([29, 29, 40, 29]),
)


def test_summary_by_hand():
    summary = SEVERAL.summary([10, 1])
    assert summary["HR@10"] == pytest.approx(3 / 4)
    assert summary["Recall@10"] == pytest.approx((2 / 3 + 1) / 2)  # the mean over users
    assert summary["MRR@10"] == pytest.approx((1 + 1 / 5 + 1 / 2) / 4)
    assert summary["NDCG@10"] == pytest.approx((1 + 1 / np.log2(6) + 1 / np.log2(3)) / 4)
    assert summary["HR@1"] == summary["NDCG@1"] == summary["MRR@1"] == 1 / 4
    assert summary["Recall@1"] == pytest.approx((1 / 3 + 0) / 2)
    # Of 29 competitors 29, 0 and 28 are below; of 40 there are 36.
    assert summary["AUC"] == pytest.approx((29 / 29 + 0 + 36 / 40 + 28 / 29) / 4)


def test_auc_without_a_competitor_is_one():
    alone = Ranks(np.array([1]), np.array([False]), np.array([1]), np.array([0]))
    assert alone.summary([1])["AUC"] == 1.0


def test_tables_split_cold_and_warm_users():
    rows = {
        (row["protocol"], row["users"], row["scorer"]): row for row in tabulate(rank(ROWS), [1, 4])
    }
    assert len(rows) == 2 * 3 * 2  # protocols, groups, scorers
    assert rows["full", "all", "model"]["interactions"] == 3
    assert rows["full", "cold", "model"]["interactions"] == 1
    assert rows["full", "cold", "model"]["MRR@4"] == pytest.approx(1 / 2)
    assert rows["full", "warm", "model"]["MRR@4"] == pytest.approx((1 / 4 + 0) / 2)
    assert rows["full", "warm", "most popular"]["MRR@4"] == pytest.approx((1 / 3 + 1 / 3) / 2)
    assert rows["sampled", "all", "model"]["HR@1"] == pytest.approx(1 / 3)


def test_groups_without_an_interaction_are_left_out():
    groups = {row["users"] for row in tabulate(rank(ROWS[:1]), [1])}
    assert groups == {"all", "cold"}


def test_table_shows_the_metrics_at_the_monitors_cutoff():
    rows = tabulate(rank(ROWS), [1, 10])
    header = format_table(rows, "NDCG@1").splitlines()[0].split()
    assert {"NDCG@1", "HR@1", "MRR@1", "Recall@1", "AUC"} < set(header)
    assert not any(name.endswith("@10") for name in header)
    header = format_table(rows, "AUC").splitlines()[0].split()
    assert {"NDCG@1", "NDCG@10", "AUC"} < set(header)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"ks": ()}, r"ks .*\(\)"),
        ({"ks": (0, 10)}, r"ks .*\(0, 10\)"),
        ({"monitor": "NDCG@7"}, "monitor .*'NDCG@7'"),
        ({"monitor": "ndcg@10"}, "monitor .*'ndcg@10'"),
        ({"protocol": "half"}, "protocol .*'half'"),
        ({"negatives": -1}, "negatives .*-1"),
        ({"negatives": 0, "protocol": "sampled"}, "negatives .*sampled.*0"),
        ({"batch_size": 0}, "batch_size .*0"),
    ],
)
def test_options_name_field_and_value(fields, message):
    with pytest.raises(ValueError, match=message):
        EvaluationOptions(**fields)


@pytest.mark.parametrize("monitor", ["HR@5", "Recall@20", "MRR@1", "AUC"])
def test_any_printed_metric_can_select_the_epoch(monitor):
    assert EvaluationOptions(monitor=monitor).monitor in SEVERAL.summary((1, 5, 10, 20))
