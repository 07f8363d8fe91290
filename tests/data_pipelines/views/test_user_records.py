import numpy as np

from data_pipelines.logs import PARTS
from data_pipelines.prepared import build
from data_pipelines.prepared.dataset import open_prepared
from data_pipelines.splitting.split_log import SplitOptions
from data_pipelines.splitting.splits import split
from data_pipelines.views.user_records import Records
from tests.data_pipelines.small_logs import DOMAINS, given_rows, log_of, rows_of


def test_parsing_gives_the_log_back(tmp_path):
    """Times in nanoseconds, and before 1970, overflow no sum over users."""
    rows = [(*row[:3], row[3] * 10**18 - 2**62, *row[4:]) for row in given_rows() if row[3] < 13]
    log = split(log_of(rows, "part", "negatives"), SplitOptions(kind="given"))
    build.build(log, tmp_path / "data", num_shards=3)
    prepared = open_prepared(tmp_path / "data")
    records = Records(prepared.files("users"), prepared.items.starts, ratings=False, negatives=True)
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
