import pathlib

import numpy as np
import pytest
import tensorflow as tf

from data_pipelines.logs import PARTS
from data_pipelines.prepared import build
from data_pipelines.prepared.dataset import open_prepared
from data_pipelines.splitting.split_log import SplitOptions
from data_pipelines.splitting.splits import split
from data_pipelines.views import user_records
from tests.data_pipelines.small_logs import DOMAINS, given_rows, log_of, rows_of


def test_parsing_gives_the_log_back(tmp_path):
    """Times in nanoseconds, and before 1970, overflow no sum over users."""
    rows = [(*row[:3], row[3] * 10**18 - 2**62, *row[4:]) for row in given_rows() if row[3] < 13]
    log = split(log_of(rows, "part", "negatives"), SplitOptions(kind="given"))
    build.build(log, tmp_path / "data", num_shards=3)
    prepared = open_prepared(tmp_path / "data")
    records = prepared.records
    found = []
    for window in records.windows(records.files):
        arrays = {name: tensor.numpy() for name, tensor in window._asdict().items()}
        users = [prepared.users[user - 1] for user in arrays["user"]]
        negatives = prepared.items.ids[arrays["negatives"] - 1]
        found += zip(
            np.repeat(users, np.diff(arrays["splits"])).tolist(),
            prepared.items.ids[arrays["items"] - 1],
            [DOMAINS[domain] for domain in arrays["domains"]],
            arrays["times"].tolist(),
            arrays["parts"].tolist(),
            [part.tolist() for part in np.split(negatives, arrays["negative_splits"][1:-1])],
            strict=True,
        )
    # Users come in random order, a user's interactions in that of the log.
    assert sorted(found, key=lambda row: row[0]) == rows_of(log)
    assert {row[4] for row in found} > set(range(len(PARTS)))


def test_few_records_are_read_once(tmp_path, monkeypatch):
    monkeypatch.setattr(user_records, "USERS_AT_ONCE", 2)
    log = split(log_of(given_rows(), "part", "negatives"), SplitOptions(kind="given"))
    build.build(log, tmp_path / "data")

    def opened():
        return open_prepared(tmp_path / "data").records

    def items_of_users(records):
        return [of.numpy().tolist() for of in records.each(lambda window: window.items * 2)]

    few, many = opened(), opened()
    found = items_of_users(few)
    assert len(found) > 1
    with monkeypatch.context() as patch:
        patch.setattr(user_records, "_KEPT_BYTES", 100)
        assert items_of_users(many) == found
    for path in few.files:
        pathlib.Path(path).unlink()
    assert items_of_users(few) == found
    with pytest.raises(tf.errors.NotFoundError):
        items_of_users(many)
