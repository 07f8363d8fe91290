import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings

from data_pipelines.coding import user_histories
from data_pipelines.coding.coded_log import NEVER
from data_pipelines.splitting.split_log import TEST, TRAIN, VALIDATION
from tests.data_pipelines.small_logs import DOMAINS, split_log, split_logs

ROWS = [
    ("bea", "i1", "books", 5, "train"),
    ("ann", "i1", "books", 1, "train"),
    ("ann", "i2", "films", 2, "train"),
    ("ann", "i2", "books", 9, "train"),
    ("ann", "i2", "toys", 3, "train"),
    ("ann", "i3", "toys", 8, "validation"),
    ("ann", "i4", "toys", 9, "test"),
]


def test_histories_are_sorted_coded_and_complete():
    coded = user_histories.number(split_log(ROWS))
    assert coded.users == ("ann", "bea")
    ann, bea = coded.histories
    assert (ann.user, bea.user) == (1, 2)
    assert ann.timestamps.tolist() == [1, 2, 3, 8, 9, 9]
    assert ann.is_target.tolist() == [False, False, True, True, False, True]
    assert ann.domains.tolist() == [0, 1, 2, 2, 0, 2]
    assert ann.parts.tolist() == [TRAIN, TRAIN, TRAIN, VALIDATION, TRAIN, TEST]
    # books:i1 counts twice; books:i2 comes after Ann's first held-out event and so counts zero.
    source = coded.vocabularies["source"]
    assert source.tokens == ("books:i1", "films:i2", "books:i2")
    assert source.counts.tolist() == [2, 1, 0]
    assert ann.items[~ann.is_target].tolist() == [1, 2, 3]
    target = coded.vocabularies["target"]
    assert (target.tokens, target.counts.tolist()) == (("i2", "i3", "i4"), [1, 0, 0])
    assert (ann.held_out_from, bea.held_out_from) == (8, NEVER)


def test_one_source_domain_keeps_its_item_ids():
    rows = [row for row in ROWS if row[2] != "films"]
    coded = user_histories.number(split_log(rows, domains=("books", "toys")))
    assert coded.vocabularies["source"].tokens == ("i1", "i2")


def test_incomparable_times_hold_nothing_back():
    coded = user_histories.number(split_log(ROWS, comparable_times=False))
    assert coded.histories[0].held_out_from == NEVER
    assert coded.vocabularies["source"].counts.sum() == 4


def test_no_target_gives_no_target_space():
    rows = [row for row in ROWS if row[2] != "toys"]
    coded = user_histories.number(split_log(rows, target="", domains=("books", "films")))
    assert list(coded.vocabularies) == ["source"]


def test_scattered_users_are_refused():
    log = split_log(ROWS)
    scattered = log.interactions.iloc[[0, 6, 1, 2, 3, 4, 5]]
    with pytest.raises(ValueError, match="sorted by user"):
        user_histories.number(dataclasses.replace(log, interactions=scattered))


@settings(max_examples=40, deadline=None)
@given(split_logs())
def test_decoding_gives_the_log_back(log):
    coded = user_histories.number(log)
    tokens = {space: v.tokens for space, v in coded.vocabularies.items()}
    decoded = []
    for history in coded.histories:
        for item, is_target, domain, time in zip(
            history.items, history.is_target, history.domains, history.timestamps, strict=True
        ):
            token = tokens["target" if is_target else "source"][item - 1]
            token = token if is_target else token.removeprefix(f"{DOMAINS[domain]}:")
            decoded.append((coded.users[history.user - 1], token, DOMAINS[domain], time))
    columns = ["user_id", "item_id", "domain", "timestamp"]
    assert decoded == list(log.interactions[columns].itertuples(index=False, name=None))
    for vocabulary in coded.vocabularies.values():
        assert np.all(np.diff(vocabulary.counts) <= 0)


def test_digest_tells_logs_apart():
    def digest(rows):
        return user_histories.number(split_log(rows)).histories.digest()

    assert digest(ROWS) == digest([*ROWS[1:], ROWS[0]])
    later = [*ROWS[:-1], ("ann", "i4", "toys", 10, "test")]
    assert digest(ROWS) != digest(later)
