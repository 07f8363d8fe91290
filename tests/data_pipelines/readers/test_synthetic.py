import hashlib

import numpy as np
import pandas as pd
import pytest

from data_pipelines.errors import DataError
from data_pipelines.readers.synthetic import SyntheticOptions, draw
from data_pipelines.splitting.split_log import SplitOptions
from data_pipelines.splitting.splits import split
from tests.data_pipelines.small_logs import table_of

SMALL = {"users": 1200, "source_items": 200, "target_items": 160, "interests": 20}


@pytest.fixture(scope="module")
def log():
    return draw(SyntheticOptions(**SMALL, noise_source=True, source_domains=2))


def of_domain(log, name):
    return log.interactions[log.interactions["domain"] == name]


def test_sizes_are_as_asked(log):
    assert log.domains == ("source", "source_2", "noise", "target")
    assert log.comparable_times
    for name in ("source", "source_2", "noise"):
        rows = of_domain(log, name)
        assert rows["user_id"].nunique() == 1200
        assert rows["item_id"].nunique() == 200
        lengths = rows.groupby("user_id").size()
        assert (lengths.min(), lengths.max()) == (9, 27)
        assert abs(lengths.mean() - 18) < 0.5
    target = of_domain(log, "target")
    assert 140 < target["item_id"].nunique() <= 160
    lengths = target.groupby("user_id").size()
    assert (lengths.min(), lengths.max()) == (3, 7)
    assert abs(lengths.mean() - 5) < 0.2
    assert abs(len(lengths) / 1200 - 0.8) < 0.05


def test_noise_is_as_long_as_asked_within_the_time_of_a_source():
    plain, longer = (
        draw(SyntheticOptions(**SMALL, noise_source=True, noise_length=length))
        for length in (0, 36)
    )
    source, noise = of_domain(longer, "source"), of_domain(longer, "noise")
    pd.testing.assert_frame_equal(of_domain(plain, "source"), source)
    lengths = noise.groupby("user_id").size()
    assert (lengths.min(), lengths.max()) == (18, 54)
    assert noise["timestamp"].max() < source["timestamp"].max() + 10 * 86_400
    assert noise.groupby("user_id")["timestamp"].is_monotonic_increasing.all()


def test_without_persistence_a_source_has_no_order():
    """How often an event is of the interest of the one before it, rather than any earlier one."""
    shares = []
    for persistence in (0.0, 0.8):
        options = SyntheticOptions(**SMALL, ratings=True, source_persistence=persistence)
        rows = of_domain(draw(options), "source")
        before = [rows.groupby("user_id")["category"].shift(gap) for gap in (1, 8)]
        last, long_ago = ((rows["category"] == other)[other.notna()].mean() for other in before)
        shares.append(last - long_ago)
    assert abs(shares[0]) < 0.02
    assert shares[1] > 0.2


def test_target_items_are_distinct_and_popularity_is_skewed(log):
    target = of_domain(log, "target")
    assert not target.duplicated(["user_id", "item_id"]).any()
    counts = target["item_id"].value_counts().to_numpy()
    tenth = len(counts) // 10
    assert counts[:tenth].sum() > 2.5 * counts.sum() / 10


def test_a_seed_gives_the_same_log_on_every_machine():
    rows = draw(SyntheticOptions(**SMALL)).interactions
    digest = hashlib.sha256(rows.to_csv(index=False, lineterminator="\n").encode()).hexdigest()
    assert digest == DIGEST
    other = draw(SyntheticOptions(**SMALL, seed=1)).interactions
    assert rows["item_id"].tolist()[:50] != other["item_id"].tolist()[:50]


DIGEST = "b6e09c0c2de8c90f97420d3f7fdfe78940b3b3d92b44d64fc1282cf83bca516c"


def test_a_second_source_and_noise_leave_the_first_source_and_the_target_as_they_are():
    plain = draw(SyntheticOptions(**SMALL))
    more = draw(SyntheticOptions(**SMALL, noise_source=True, source_domains=2))
    for name in plain.domains:
        pd.testing.assert_frame_equal(
            of_domain(plain, name).reset_index(drop=True),
            of_domain(more, name).reset_index(drop=True),
        )


def test_the_next_source_item_can_be_learned(log):
    """The most frequent successor of an item is right far more often than the popular item."""

    def accuracy(name):
        rows = of_domain(log, name).sort_values(["user_id", "timestamp"], kind="stable")
        follows = rows["user_id"].to_numpy()[1:] == rows["user_id"].to_numpy()[:-1]
        pairs = pd.DataFrame(
            {"before": rows["item_id"].to_numpy()[:-1], "after": rows["item_id"].to_numpy()[1:]}
        )[follows]
        train, test = pairs.iloc[::2], pairs.iloc[1::2]
        best = train.groupby("before")["after"].agg(lambda after: after.mode().iloc[0])
        popular = train["after"].mode().iloc[0]
        return (test["before"].map(best) == test["after"]).mean(), (test["after"] == popular).mean()

    learned, popular = accuracy("source")
    assert learned > 5 * popular
    learned, popular = accuracy("noise")
    assert learned < 2 * popular


def hit_rate(result, source):
    """HR@10 on the test items of (source histories -> target co-occurrence), and of popularity."""
    rows = table_of(result)
    users = {user: k for k, user in enumerate(rows["user_id"].unique())}
    of_source, of_target = rows[rows["domain"] == source], rows[rows["domain"] == "target"]

    def matrix(of):
        items, names = pd.factorize(of["item_id"])
        counts = np.zeros((len(users), len(names)))
        np.add.at(counts, (of["user_id"].map(users).to_numpy(), items), 1.0)
        return counts, {name: k for k, name in enumerate(names)}

    history, _ = matrix(of_source)
    training, columns = matrix(of_target[of_target["part"] == "train"])
    test = of_target[(of_target["part"] == "test") & of_target["item_id"].isin(list(columns))]
    user = test["user_id"].map(users).to_numpy()
    item = test["item_id"].map(columns).to_numpy()
    weights = (history.T @ training) / (history.sum(0)[:, None] + 5.0)
    popularity = np.tile(training.sum(0), (len(users), 1))

    def hits(scores):
        scores = np.where(training[user] > 0, -np.inf, scores[user])
        rank = (scores >= scores[np.arange(len(user)), item][:, None]).sum(1)
        return float((rank <= 10).mean())

    return hits(history @ weights), hits(popularity)


def test_the_source_tells_the_target_items_and_noise_does_not(log):
    result = split(log, SplitOptions())
    transfer, popularity = hit_rate(result, "source")
    assert transfer > 1.5 * popularity
    noise, _ = hit_rate(result, "noise")
    assert noise < 1.25 * popularity


def test_target_events_come_late_enough_to_have_a_source_history(log):
    before = of_domain(log, "target").merge(of_domain(log, "source"), on="user_id")
    earlier = before[before["timestamp_y"] < before["timestamp_x"]]
    target = of_domain(log, "target")
    lengths = earlier.groupby(["user_id", "item_id_x"]).size()
    assert len(lengths) == len(target)
    assert lengths.min() >= 5


@pytest.mark.parametrize(
    "options",
    [
        {"users": 0},
        {"source_items": 10},
        {"target_items": 10},
        {"interests": 0},
        {"source_domains": 0},
        {"source_length": 1},
        {"source_persistence": 1.1},
        {"noise_source": True, "noise_length": 1},
        {"noise_length": 5},
        {"target_length": 2},
        {"cold_users": 1.0},
        {"cold_users": -0.1},
        {"seed": -1},
    ],
)
def test_options_out_of_range_are_refused(options):
    with pytest.raises(DataError):
        SyntheticOptions(**options)


def test_ratings_leave_the_log_as_it_is_and_tell_what_a_user_likes_but_in_the_noise():
    plain, rated = (
        draw(SyntheticOptions(users=1500, interests=10, noise_source=True, ratings=ratings))
        for ratings in (False, True)
    )
    columns = ["user_id", "item_id", "domain", "timestamp"]
    pd.testing.assert_frame_equal(plain.interactions, rated.interactions[columns])
    rows = rated.interactions
    assert set(rows["rating"]) == {1, 2, 3, 4, 5}
    assert len(rows[["item_id", "category"]].drop_duplicates()) == rows["item_id"].nunique()
    shares = rows.assign(liked=rows["rating"] > 3).groupby(["domain", "user_id"])["liked"].mean()
    target = shares["target"]
    for domain, least, most in (("source", 0.5, 1.0), ("noise", -0.1, 0.1)):
        correlation = target.corr(shares[domain].reindex(target.index))
        assert least < correlation < most
