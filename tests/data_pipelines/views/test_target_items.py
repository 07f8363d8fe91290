"""What stands beside the target item, and how contexts are framed, on a data set made by hand."""

import numpy as np
import pytest

from data_pipelines.errors import DataError
from data_pipelines.prepared.dataset import open_prepared
from data_pipelines.prepared.interaction_source import InteractionSource
from data_pipelines.splitting.split_log import SplitOptions
from data_pipelines.splitting.splits import split
from data_pipelines.views import leave_one_out, transfer, user_records
from tests.data_pipelines.small_logs import built, joined, log_of, read

TOYS = 12


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Ann trains on toys 1 to 5 of 12, which follow the books 1 to 3; Bob trains on toy 12."""
    rows = [("ann", f"b{k}", "books", k) for k in range(1, 4)]
    rows += [("ann", f"t{k:02}", "toys", 10 + k) for k in range(1, 8)]
    rows += [("bob", f"t{k:02}", "toys", k) for k in (12, 11, 10)]
    for other in "cd":  # The toys of lower numbers are the more popular ones.
        rows += [(other, f"t{k:02}", "toys", k) for k in range(1, TOYS + 1)]
        rows += [(other, f"b{k}", "books", 99) for k in range(3)]
    parts = {"ann": 5, "bob": 1, "c": 12, "d": 3}
    given, count = [], {}
    for row in rows:
        place = count[row[0]] = count.get(row[0], 0) + (row[2] == "toys")
        last = 7 if row[0] == "ann" else 3
        rest = "validation" if place < last else "test"
        given.append((*row, "train" if row[2] == "books" or place <= parts[row[0]] else rest))
    log = split(log_of(given, "part"), SplitOptions(kind="given"))
    folder = tmp_path_factory.mktemp("prepared") / "data"
    return built(folder, log, ["toys"], max_length=4, min_history=0)


def of_user(source, name, rows):
    chosen = rows["user"] == source.prepared.users.index(name) + 1
    return {key: values[chosen] for key, values in rows.items()}


def toys(source, ids):
    """Numbers of the toys among ids."""
    tokens = source.vocabulary("target").tokens
    return {int(tokens[item - 1][1:]) for item in np.ravel(ids) if item}


def test_negatives_and_how_they_are_distributed(tmp_path):
    """Whatever the sampler, no item of the user's training."""
    rows = [("ann", f"t{k:02}", "toys", k, "train") for k in range(1, 8)]
    rows += [
        (f"u{k}", f"t{j:02}", "toys", 0, "train") for k in range(TOYS) for j in range(1, k + 1)
    ]
    rows += [("z", f"t{TOYS}", "toys", 0, "train")]
    log = split(log_of(rows, "part"), SplitOptions(kind="given"))
    data = built(tmp_path / "data", log, ["toys"])
    counts = data.vocabulary("target").counts
    assert (np.diff(counts) <= 0).all()
    for sampler in ("uniform", "popularity", "lambdafm"):
        options = {"negatives": 2000, "sampler": sampler, "batch_size": 64}
        own = of_user(data, "ann", joined(read(data, "leave_one_out", "train", **options)))
        drawn = own["negative_items"]
        assert toys(data, drawn) == set(range(8, 13))
        shares = [np.mean(drawn == item) for item in range(8, 13)]
        weights = {
            "uniform": np.ones(5),
            "popularity": counts[7:] + 1,
            "lambdafm": np.exp(-np.arange(5) / (0.3 * (TOYS + 1))),
        }[sampler]
        np.testing.assert_allclose(shares, weights / weights.sum(), atol=0.02)


def test_the_released_protocol_spares_the_positive_alone_and_cls_encloses(source):
    options = {"negatives": 2000, "negatives_exclude": "positive", "cls": "both"}
    rows = of_user(source, "ann", joined(read(source, "transfer", "train", **options)))
    for item, drawn in zip(rows["target_item"], rows["negative_items"], strict=True):
        assert toys(source, drawn) == set(range(1, TOYS + 1)) - toys(source, item)
    space = source.vocabulary("source")
    books = [space.tokens.index(f"b{k}") + 1 for k in (1, 2, 3)]
    assert rows["context"].tolist() == [[space.cls_id, 0, *books, space.cls_id]] * 5
    bob = of_user(source, "bob", joined(read(source, "transfer", "train", **options)))
    assert bob["context"].tolist() == [[space.cls_id, 0, 0, 0, 0, space.cls_id]]


def test_evaluation_entries(source):
    rows = joined(read(source, "transfer", "test", candidates=0))
    assert set(rows) == {
        *("user", "example_weight", "context", "target_item", "seen_items", "cold")
    }
    ann = of_user(source, "ann", rows)
    assert toys(source, ann["target_item"]) == {7}
    assert toys(source, ann["seen_items"]) == set(range(1, 7))
    # As wide as the user of the most toys needs it, though d's test rows are of all of them.
    assert rows["seen_items"].shape[1] == TOYS


def test_records_that_do_not_stay_in_memory_are_counted_alike(source, monkeypatch):
    found = []
    for most in (2**26, 10):
        monkeypatch.setattr(user_records, "_KEPT_BYTES", most)
        prepared = open_prepared(source.prepared.data_dir)
        one = InteractionSource(prepared, source.roles, source.options)
        counts = [one.num_examples("transfer", "train", negatives=number) for number in (0, 50)]
        histories = zip(*one.training_histories("joint", 5), strict=True)
        trained = [np.concatenate(parts).tolist() for parts in histories]
        found.append((counts, one.left_out(), one.summary(), trained))
        assert (prepared.records.kept is None) == (most == 10)
    assert found[0] == found[1]
    assert found[0][0][0] > found[0][0][1] > 0


@pytest.mark.parametrize("view", ["transfer", "leave_one_out"])
def test_who_leaves_too_few_items_has_no_row_and_is_counted(source, view):
    """C trains on all toys, d took all of them in all, ann 7 and bob 3; others' rows stay."""
    source = InteractionSource(source.prepared, source.roles, source.options)
    # What is new in the target has no history that leave_one_out could read.
    with_bob = {"bob"} if view == "transfer" else set()
    rows = joined(read(source, view, "train", negatives=50))
    names = source.user_names(rows["user"].tolist())
    assert set(names) == {"ann", "d"} | with_bob
    for name in set(names):
        own = of_user(source, name, rows)
        assert not toys(source, own["negative_items"]) & toys(source, own["target_item"])
    assert len(names) == source.num_examples(view, "train", negatives=50)
    of_c = source.num_examples(view, "train", negatives=0) - len(names)
    assert of_c == (12 if view == "transfer" else 11)
    assert source.left_out() == [
        f"left out: {of_c} train rows of 1 user to whom too few items of toys are left to draw from"
    ]
    for options in ({"candidates": 3, "least_left": 5}, {"least_left": 5}):
        ranked = joined(read(source, view, "test", **options))
        assert set(source.user_names(ranked["user"].tolist())) == {"ann"} | with_bob
        assert len(ranked["user"]) == source.num_examples(view, "test", **options)
    of_d = source.num_examples(view, "test") - len(ranked["user"])
    assert source.left_out() == [
        f"left out: {of_c} train, {of_d} test rows of 2 users to whom too few items of toys are "
        "left to draw from; evaluation draws 5, see --evaluation.negatives"
    ]


def test_a_catalogue_that_is_too_small_for_everybody_is_refused(source, tmp_path):
    with pytest.raises(DataError, match="every user has taken 3 or more of the 12 target items"):
        read(source, "transfer", "test", candidates=10)
    rows = [(user, f"t{k}", "toys", k, "train") for user in "uv" for k in range(4)]
    rows += [(user, f"t{k}", "toys", k, "test") for user in "uv" for k in range(2)]
    log = split(log_of(rows, "part"), SplitOptions(kind="given"))
    data = built(tmp_path / "data", log, ["toys"])
    with pytest.raises(
        DataError, match=r"excludes at least 4 of the 4 .*negatives_exclude=positiv"
    ):
        read(data, "leave_one_out", "train")


def test_candidates_that_came_with_the_data(tmp_path):
    rows = [("u", f"t{k}", "toys", k, "train", "") for k in range(4)]
    rows += [("u", "t4", "toys", 5, "validation", "t5\tt1\tt5"), ("u", "t6", "toys", 6, "test", "")]
    rows += [("v", "t0", "toys", 5, "train", ""), ("v", "t1", "toys", 6, "validation", "t4\tt3")]
    log = split(log_of(rows, "part", "negatives"), SplitOptions(kind="given"))
    data = built(tmp_path / "data", log, ["toys"], max_length=2)
    found = joined(read(data, "leave_one_out", "validation", candidates=2))
    assert len(found["user"]) == 2
    for user, numbers in (("u", {1, 4, 5}), ("v", {1, 3, 4})):
        assert toys(data, of_user(data, user, found)["candidates"]) == numbers
    with pytest.raises(DataError, match=r"brings 3 negatives .* 2 for some, .* asks for 3"):
        read(data, "leave_one_out", "validation", candidates=3)
    # Where the data bring none, they are drawn.
    drawn = joined(read(data, "leave_one_out", "test", candidates=1))
    assert toys(data, drawn["candidates"]) == {5, 6}


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (transfer.Batching, {"cls": "first"}),
        (transfer.Batching, {"sampler": "zipf"}),
        (transfer.Batching, {"negatives_exclude": "none"}),
        (transfer.Batching, {"negatives": -1}),
        (leave_one_out.Batching, {"own_share": 1.5}),
        (leave_one_out.Batching, {"cold_history": "none"}),
        (transfer.Batching, {"candidates": -1}),
        (transfer.Batching, {"lambdafm_rho": 0.0}),
        (transfer.Batching, {"lambdafm_rho": float("nan")}),
        (leave_one_out.Batching, {"history_domains": "source"}),
    ],
)
def test_bad_options_are_refused(kind, options):
    with pytest.raises(ValueError, match=next(iter(options))):
        kind(**options)
