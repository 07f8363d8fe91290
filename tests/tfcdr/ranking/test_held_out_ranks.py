"""Ranking held-out interactions: what competes, who counts, which tables come out."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.graph_sizes import tensor_sizes
from tfcdr.ranking import held_out_ranks
from tfcdr.ranking.held_out_ranks import (
    EvaluationOptions,
    HeldOutRanker,
    Ranks,
    format_table,
    tabulate,
)
from tfcdr.ranking.model import RankingModel, RankingQuery
from tfcdr.row_groups import COLD_AND_WARM, RowGroups

GROUPS = (COLD_AND_WARM,)
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
            candidates=batch.get("candidates"),
            ranked=batch.get("ranked"),
        )

    def encode_history(self, history):
        raise NotImplementedError

    def item_factors(self):
        return tf.eye(SCORES.shape[1]), None

    def score_range(self, user, first, count):
        # No product: 0 times not-a-number would spoil every other score.
        return tf.slice(user, (0, first), (-1, count))

    def score_candidates(self, user, ids):
        return tf.gather(user, ids, batch_dims=1)


def rank(rows, candidates=True, batch_size=2, model=None, ranked=None):
    """Ranks rows of (user, kind, positive, excluded, cold, candidates), filled up with zeros."""
    keys = ("user", "kind", "positive", "excluded", "cold", "candidates")
    columns = dict(zip(keys, zip(*rows, strict=True), strict=True))
    columns["example_weight"] = [1.0] * len(rows)
    if not candidates:
        del columns["candidates"]
    if ranked is not None:
        columns["ranked"] = ranked
    missing = -len(rows) % batch_size
    arrays = {}
    for key, values in columns.items():
        array = np.array(values, np.float32 if key == "example_weight" else np.int32)
        arrays[key] = np.concatenate([array, np.zeros((missing, *array.shape[1:]), array.dtype)])
    batches = tf.data.Dataset.from_tensor_slices(arrays).batch(batch_size)
    return HeldOutRanker(model or TableModel(), COUNTS, GROUPS)(batches)


@pytest.fixture(params=[1, 2, 3, 5, 8192], autouse=True)
def items_at_once(request, monkeypatch):
    """Pieces of one item, pieces with and without a rest, and the catalogue as one piece."""
    monkeypatch.setattr(held_out_ranks, "_ITEMS_AT_ONCE", request.param)


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
    assert ranks[FULL].groups["cold"].tolist() == [1, 0, 0]
    assert ranks[FULL].rank.tolist() == [2, 4, 5]


def test_a_row_may_be_ranked_in_a_part_of_the_catalogue():
    # Among 3..5 and 1..4: of these only what is no item of the user's own competes.
    rows = [(7, 0, 3, [1, 5], 1, [3, 5, 4]), (8, 1, 1, [5, 3], 0, [1, 5, 4])]
    ranks = rank(rows, ranked=[[3, 5], [1, 4]])
    # 3 against 4 alone; 1 against its twin 2 and against 4, which is better.
    assert ranks[FULL].rank.tolist() == [1, 3]
    assert ranks[FULL].competitors.tolist() == [1, 2]
    # Counts 20 against 0; 10 against 20 and 0.
    assert ranks[FULL_POPULAR].rank.tolist() == [1, 2]


def brute_force(scores, positive, excluded):
    """One user's rank and competitors, counted one by one."""
    left_out = {0, positive, *excluded}
    competing = [score for item, score in enumerate(scores) if item not in left_out]
    not_below = [score for score in competing if not score < scores[positive]]
    return 1 + len(not_below), len(competing)


# Many interactions an example, since each example is traced anew.
@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_agrees_with_counting_one_by_one(data):
    items, rows = data.draw(st.integers(1, 12), "items"), 6
    score = st.sampled_from([0.0, 1.0, 2.0, np.inf, -np.inf, np.nan])

    def each(name, values, size):
        columns = st.lists(values, min_size=size, max_size=size)
        return data.draw(st.lists(columns, min_size=rows, max_size=rows), name)

    scores = each("scores", score, items + 1)
    positive = each("positive", st.integers(1, items), 1)
    excluded = each("excluded", st.integers(0, items), 4)
    counts = data.draw(st.lists(st.integers(0, 3), min_size=items, max_size=items), "counts")

    class DrawnUsers(TableModel):
        def query(self, batch):
            user = tf.constant(scores, tf.float32)
            return super().query(batch)._replace(user=user)

    model = DrawnUsers()
    model.num_items = items
    batch = {
        "user": np.arange(rows),
        "kind": np.zeros(rows, np.int32),
        "positive": np.array(positive, np.int32)[:, 0],
        "excluded": np.array(excluded, np.int32),
        "cold": np.zeros(rows, np.int32),
        "example_weight": np.ones(rows, np.float32),
    }
    ranks = HeldOutRanker(model, np.array(counts))(tf.data.Dataset.from_tensors(batch))
    by_count = [np.nan, *counts]
    for row in range(rows):
        (own,) = positive[row]
        expected = brute_force(scores[row], own, excluded[row])
        assert (ranks[FULL].rank[row], ranks[FULL].competitors[row]) == expected
        expected = brute_force(by_count, own, excluded[row])
        found = ranks[FULL_POPULAR].rank[row], ranks[FULL_POPULAR].competitors[row]
        assert found == expected


class TwinItems(RankingModel):
    """Every item has the same vector, as after a collapse in training."""

    def __init__(self, items, channels):
        super().__init__()
        self.num_items = items
        vector = np.random.default_rng(0).normal(size=(1, channels)).astype(np.float32)
        self.vectors = tf.Variable(np.repeat(vector, items + 1, 0))

    def query(self, batch):
        user = batch["vector"]
        return RankingQuery(user, batch["positive"], batch["excluded"], None)

    def encode_history(self, history):
        raise NotImplementedError

    def item_factors(self):
        return self.vectors, None


# The last piece may hold a single item: a product with one column takes another way in TensorFlow.
@pytest.mark.parametrize("items_at_once", [64], indirect=True)
@pytest.mark.parametrize("items", [31, 64, 65, 129, 150])
@pytest.mark.parametrize("channels", [8, 64, 100])
def test_twins_tie_with_the_positive_in_every_piece(items, channels):
    random = np.random.default_rng(1)
    users = 64
    batch = {
        "vector": random.normal(size=(users, channels)).astype(np.float32),
        "positive": random.integers(1, items + 1, users).astype(np.int32),
        "excluded": random.integers(0, items + 1, (users, 3)).astype(np.int32),
        "cold": np.zeros(users, np.int32),
        "user": np.arange(users, dtype=np.int32),
        "example_weight": np.ones(users, np.float32),
    }
    batch["positive"][0] = items
    model = TwinItems(items, channels)
    ranks = HeldOutRanker(model, np.ones(items))(tf.data.Dataset.from_tensors(batch))[FULL]
    np.testing.assert_array_equal(ranks.rank, 1 + ranks.competitors)


class WideCatalogue(TableModel):
    """A catalogue of two million items whose vectors come out of thin air."""

    num_items = 2_000_000

    def __init__(self):
        super().__init__()
        self.num_items = WideCatalogue.num_items

    def score_range(self, user, first, count):
        return tf.zeros((tf.shape(user)[0], count)) + tf.cast(first, tf.float32)


@pytest.mark.parametrize("items_at_once", [8192], indirect=True)
def test_no_tensor_holds_a_score_for_every_item():
    ranker = HeldOutRanker(WideCatalogue(), np.ones(WideCatalogue.num_items))
    spec = {key: tf.TensorSpec([512], tf.int32) for key in ("kind", "positive", "cold")} | {
        "excluded": tf.TensorSpec([512, 40], tf.int32)
    }
    function = ranker._rank_batch[frozenset(["full"])].get_concrete_function(spec)
    sizes = tensor_sizes(function)
    # A piece of scores, and the popularity of every item, but never their product.
    assert 512 * 8192 in sizes
    assert max(sizes) <= 512 * 8192


def test_ranking_is_traced_once():
    model = TableModel()
    rank(ROWS * 3, batch_size=2, model=model)
    assert model.traces == 1


# User 1 has three held-out items with ranks 1, 30 and 2, user 2 has one with rank 5.
SEVERAL = Ranks(
    user=np.array([1, 1, 2, 1]),
    rank=np.array([1, 30, 5, 2]),
    competitors=np.array([29, 29, 40, 29]),
    row=np.arange(4),
    item=np.array([3, 4, 3, 3]),
    groups={"cold": np.array([0, 0, 1, 0])},
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


def test_interactions_are_told_apart_whatever_their_rows():
    # User 1 took item 3 twice.
    assert list(SEVERAL.interactions()) == [(1, 3, 0), (1, 4, 0), (2, 3, 0), (1, 3, 1)]


def test_what_only_another_ranks_completes_the_ranks():
    warm = SEVERAL.only(SEVERAL.groups["cold"] == 0)
    others = SEVERAL._replace(rank=SEVERAL.rank + 100, row=SEVERAL.row[::-1])
    completed = warm.completed(others)
    assert list(completed.user) == [1, 1, 1, 2]
    assert list(completed.rank) == [1, 30, 2, 105]
    assert list(completed.groups["cold"]) == [0, 0, 0, 1]


def test_auc_without_a_competitor_is_one():
    alone = Ranks(np.array([1]), np.array([1]), np.array([0]), np.array([0]), np.array([9]), {})
    assert alone.summary([1])["AUC"] == 1.0


def test_tables_split_cold_and_warm_users():
    rows = {
        (row["protocol"], row["group"], row["scorer"]): row
        for row in tabulate(rank(ROWS), GROUPS, [1, 4])
    }
    assert len(rows) == 2 * 3 * 2  # protocols, groups, scorers
    assert rows["full", "all", "model"]["interactions"] == 3
    assert rows["full", "cold", "model"]["interactions"] == 1
    assert rows["full", "cold", "model"]["MRR@4"] == pytest.approx(1 / 2)
    assert rows["full", "warm", "model"]["MRR@4"] == pytest.approx((1 / 4 + 0) / 2)
    assert rows["full", "warm", "most popular"]["MRR@4"] == pytest.approx((1 / 3 + 1 / 3) / 2)
    assert rows["sampled", "all", "model"]["HR@1"] == pytest.approx(1 / 3)


def test_a_group_without_an_interaction_says_so():
    rows = tabulate(rank(ROWS[:1]), GROUPS, [1])
    warm = [row for row in rows if row["group"] == "warm"]
    assert [(row["protocol"], row["scorer"]) for row in warm] == [
        FULL,
        FULL_POPULAR,
        SAMPLED,
        SAMPLED_POPULAR,
    ]
    for row in warm:
        assert row["interactions"] == 0
        assert np.isnan(row["HR@1"])
        assert row.keys() == rows[0].keys()
    lines = [text for text in format_table(rows, "HR@1").splitlines() if " warm " in text]
    assert len(lines) == len(warm)
    assert all(line.split()[-1] == "-" for line in lines)


def test_groups_whose_column_the_batches_lack_are_left_out():
    others = RowGroups("domain", {"books": 1, "toys": 2})
    rows = tabulate(rank(ROWS), (others, COLD_AND_WARM), [1])
    assert list(dict.fromkeys(row["group"] for row in rows)) == ["all", "cold", "warm"]


def test_table_shows_the_metrics_at_the_monitors_cutoff():
    rows = tabulate(rank(ROWS), GROUPS, [1, 10])
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
