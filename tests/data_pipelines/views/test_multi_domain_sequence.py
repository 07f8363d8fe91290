"""Who has a sequence over all domains, and what is refused."""

import numpy as np
import pytest

from data_pipelines.errors import DataError
from data_pipelines.splitting.split_log import SplitOptions
from data_pipelines.splitting.splits import split
from tests.data_pipelines.small_logs import built, joined, log_of, read

VIEW = "multi_domain_sequence"


def source(folder, rows, targets=("all",), comparable_times=True, kind="last_of_all", **options):
    log = log_of(rows, comparable_times=comparable_times)
    options = {"joint": True, "max_length": 4, **options}
    return built(folder / "data", split(log, SplitOptions(kind=kind)), targets, **options)


def events(user, items, domain="books", start=0):
    return [(user, item, domain, start + time) for time, item in enumerate(items)]


def test_times_that_tie_keep_the_order_of_the_log(tmp_path):
    domains = ["books", "films", "books", "films", "books"]
    rows = [("u", item, domain, 5) for item, domain in zip("cabed", domains, strict=True)]
    data = source(tmp_path, rows)
    tokens = data.vocabulary("joint").tokens
    (batch,) = read(data, VIEW, "test", batch_size=1)
    items = [tokens[item - 1] for item in batch["items"][0]]
    assert items == ["books:c", "films:a", "books:b", "films:e"]
    assert tokens[batch["target_item"][0] - 1] == "books:d"


def test_who_has_too_few_has_no_row(tmp_path):
    rows = events("two", "ab") + events("three", "abc") + events("four", "abcd")
    data = source(tmp_path, rows)

    def users(part):
        rows = joined(read(data, VIEW, part, batch_size=2, negatives=0))
        return set(data.user_names(rows["user"].tolist()))

    assert users("train") == {"four"}  # of three, one item trains, which predicts nothing
    assert users("validation") == users("test") == {"three", "four"}


def test_a_user_of_one_domain_and_a_domain_without_held_out_items(tmp_path):
    rows = [("both", "x", "films", 0), *events("both", "abcd", start=1), *events("alone", "abcdef")]
    data = source(tmp_path, rows)
    rows = joined(read(data, VIEW, "train", batch_size=2))
    assert set(rows["domains"].ravel()) == {0, 1, 2}
    rows = joined(read(data, VIEW, "test", batch_size=2))
    assert set(rows["target_domain"]) == {1}  # nobody's last item is a film


def test_more_domains_than_a_byte_counts(tmp_path):
    names = [f"d{number:03}" for number in range(150)]
    rows = [
        (f"u{user}", f"i{user}", names[(user + time) % 150], time)
        for user in range(150)
        for time in range(6)
    ]
    data = source(tmp_path, rows)
    rows = joined(read(data, VIEW, "train", batch_size=64))
    assert rows["next_domains"].max() == 150
    np.testing.assert_array_equal(np.unique(rows["domains"]), np.arange(151))


def test_a_domain_of_which_a_user_took_everything_gives_negatives_of_others(tmp_path):
    rows = events("u", "abcdef") + events("v", "xyz", "films")
    data = source(tmp_path, rows)
    rows = joined(read(data, VIEW, "train", batch_size=1, negatives=3))
    drawn = rows["negative_items"][rows["next_items"] > 0]
    assert {data.vocabulary("joint").tokens[item - 1] for item in drawn.ravel()} <= {
        "films:x",
        "films:y",
        "films:z",
    }


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"targets": ()}, "name them with --target, or all of them by --target=all"),
        ({"comparable_times": False, "kind": "leave_one_out"}, "no times that can be compared"),
    ],
)
def test_what_cannot_be_cut_is_refused(tmp_path, fields, message):
    rows = events("u", "abcd") + events("u", "xyz", "films")
    with pytest.raises(DataError, match=message):
        source(tmp_path, rows, **fields).num_examples(VIEW, "train")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sequences": "both"}, "sequences must be one of joint, by_domain"),
        ({"negative_domains": "none"}, "negative_domains must be"),
        ({"candidate_domains": "none"}, "candidate_domains must be"),
        ({"negatives": -1}, "negatives must not be negative"),
        ({"candidates": -1}, "candidates must not be negative"),
    ],
)
def test_options_out_of_range_are_refused(tmp_path, options, message):
    data = source(tmp_path, events("u", "abcd") + events("u", "xyz", "films"))
    with pytest.raises(DataError, match=message):
        read(data, VIEW, "train", **options)


def test_candidates_of_a_small_domain_name_it(tmp_path):
    rows = events("u", "abcd") + events("v", "xyz", "films") + events("w", "efgh")
    data = source(tmp_path, rows)
    with pytest.raises(
        DataError, match=r"3 or more of the 3 items of films, which leaves at most 0"
    ):
        read(data, VIEW, "test", candidates=2)


def test_who_leaves_too_few_items_of_a_domain_has_no_row_in_it(tmp_path):
    rows = events("v", "abcd") + events("v", "xyz", "films", 4) + events("u", "fgh")
    rows += events("w", "abcde") + events("w", "x", "films", 5)
    data = source(tmp_path, rows)
    tokens = data.vocabulary("joint").tokens

    def ranked(**options):
        rows = joined(read(data, VIEW, "test", **options))
        assert len(rows["user"]) == data.num_examples(VIEW, "test", **options)
        items = [tokens[item - 1] for item in rows["target_item"]]
        return dict(zip(data.user_names(rows["user"].tolist()), items, strict=True))

    everybody = {"u": "books:h", "v": "films:z", "w": "films:x"}
    assert ranked() == ranked(candidates=4, candidate_domains="all") == everybody
    assert not data.left_out()
    del everybody["v"]
    assert ranked(candidates=2) == ranked(least_left=1) == everybody
    assert ranked(candidates=5, candidate_domains="all") == everybody
    (line,) = data.left_out()
    assert line.startswith("left out: 1 test rows of 1 user to whom too few items of books, films")


def test_who_took_everything_does_not_train_where_negatives_are_drawn(tmp_path):
    glutton = events("all", "abcd") + events("all", "xy", "films", 4)
    data = source(tmp_path, glutton + events("some", "abc") + events("some", "x", "films", 9))
    rows = joined(read(data, VIEW, "train", negatives=8))
    assert data.user_names(rows["user"].tolist()) == ["some"]
    assert data.num_examples(VIEW, "train", negatives=8) == 1
    assert data.num_examples(VIEW, "train", negatives=0) == 2
    alone = source(tmp_path / "alone", glutton)
    with pytest.raises(DataError, match=r"empty.*so many items that fewer than 1 are left to draw"):
        read(alone, VIEW, "train")
