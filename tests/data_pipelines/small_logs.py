"""Logs made by hand or drawn, split, and read back, for the tests of what is made of them."""

from unittest import mock

import numpy as np
import pandas as pd

from data_pipelines.logs import PARTS, InteractionLog
from data_pipelines.prepared import build, dataset
from data_pipelines.prepared.interaction_source import InteractionSource
from data_pipelines.splitting.split_log import SplitOptions
from data_pipelines.splitting.splits import split
from data_pipelines.views import example_batches, user_records
from data_pipelines.views.example_options import ExampleOptions
from data_pipelines.views.roles import roles_of
from tests.data_pipelines.plain_reading import without_pipelines

DOMAINS = ("books", "films", "toys")
# That are read without a pipeline.
MOST_WINDOWS = 16
COLUMNS = ("user_id", "item_id", "domain", "timestamp")


def log_of(rows, *more_columns, domains=None, comparable_times=True, **rest):
    """Makes a log of rows of (user, item, domain, time, what else there is)."""
    table = pd.DataFrame(rows, columns=[*COLUMNS, *more_columns])
    named = domains or sorted(table["domain"].unique())
    return InteractionLog(table, tuple(named), comparable_times, **rest)


def drawn_rows(seed=0, users=200, items=40):
    """Rows of all sorts of people in DOMAINS, in random order.

    Times tie within and between domains, items repeat, people are of one, two or three domains,
    with anything from a single interaction on; `many` has two thousand.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for user in range(users):
        for domain in rng.permutation(DOMAINS)[: rng.integers(1, 4)]:
            number = rng.choice([1, 2, 3, 4, 8, 20])
            mine = rng.permutation(items)[: rng.integers(1, items // 2)]
            rows += [(f"u{user}", f"i{rng.choice(mine)}", domain) for _ in range(number)]
    for domain, number in zip(DOMAINS, (1200, 500, 300), strict=True):
        taken = rng.integers(items // 2, size=number)
        rows += [("many", f"i{item}", domain) for item in taken]
    # Some do all that they do at one time.
    spans = {user: (rng.integers(12), rng.choice([1, 4, 12])) for user, *_ in rows}
    spans["many"] = 0, 2000
    rows = [(*row, int(spans[row[0]][0] + rng.integers(spans[row[0]][1]))) for row in rows]
    return [rows[place] for place in rng.permutation(len(rows))]


def given_rows(seed=0, target="toys", negatives=5):
    """`drawn_rows` with a part and negatives that come with each.

    Parts in the target follow no order of time; a user's source sequence is of one part.
    """
    rng = np.random.default_rng(seed)
    rows = drawn_rows(seed)
    of_user = {row[0]: PARTS[rng.choice(3, p=[0.6, 0.2, 0.2])] for row in sorted(rows)}
    catalogue = sorted({item for _, item, domain, _ in rows if domain == target})
    given = []
    for user, item, domain, time in rows:
        part = PARTS[rng.integers(3)] if domain == target else of_user[user]
        others = [other for other in catalogue if other != item]
        named = domain == target and part != "train"
        chosen = rng.choice(others, negatives + rng.integers(3)) if named else []
        given.append((user, item, domain, time, part, "\t".join(chosen)))
    return given


def rows_of(split_log):
    """The split log's rows (user, item, domain, time, part's code, negatives) in its order."""
    log = split_log.log
    given = [[] for _ in log.item]
    if log.negatives is not None:
        names = log.item_ids[log.negatives].tolist()
        given = [
            names[start:end]
            for start, end in zip(log.negative_offsets, log.negative_offsets[1:], strict=False)
        ]
    return list(
        zip(
            log.users[log.user].tolist(),
            log.item_ids[log.item].tolist(),
            [log.domains[number] for number in log.domain],
            log.times.tolist(),
            split_log.parts.tolist(),
            given,
            strict=True,
        )
    )


def demo_log(users=60, seed=0, **options):
    """A split log of books and toys, enough for shuffling; six users are in the toys alone."""
    rng = np.random.default_rng(seed)
    rows = []
    for user in range(users):
        books = 0 if user % 10 == 9 else rng.integers(1, 31)
        for domain, items, number in (("books", 50, books), ("toys", 40, rng.integers(3, 9))):
            chosen = rng.permutation(items)[:number]
            rows += [
                (f"u{user:03}", f"i{item}", domain, int(rng.integers(10_000))) for item in chosen
            ]
    return split(log_of(rows), SplitOptions(**options))


def table_of(split_log):
    """A split log as a table of texts; `part` is "none" for interactions that are no labels."""
    log = split_log.log
    return pd.DataFrame(
        {
            "user_id": log.users[log.user],
            "item_id": log.item_ids[log.item],
            "domain": np.array(log.domains, object)[log.domain],
            "part": np.array([*PARTS, "none", "none"], object)[split_log.parts],
        }
    )


def source_of(folder, targets, sources=(), joint=False, **options):
    """Opens a data set in the eyes of a run; the first of its targets, if it has several."""
    prepared = dataset.open_prepared(folder)
    roles = roles_of(prepared.domains, targets, sources, shared=True, joint=joint)[0]
    return InteractionSource(prepared, roles, ExampleOptions(**options))


def built(folder, split_log, targets=(), sources=(), **options):
    """Writes a data set and opens it as `source_of` does."""
    build.build(split_log, folder)
    return source_of(folder, targets, sources, **options)


def read(source, view, split, *, batch_size=7, seed=1, **options):
    """Reads an epoch as a list of dicts of arrays."""
    if source.num_users > MOST_WINDOWS * user_records.USERS_AT_ONCE:
        # Many windows would take longer one by one than a pipeline takes to start.
        return read_by_pipeline(source, view, split, batch_size=batch_size, seed=seed, **options)
    source.domain_sizes()  # counts all records by a pipeline, once
    with without_pipelines():
        return source.batches(view, split, batch_size=batch_size, seed=seed, **options)


def read_by_pipeline(source, view, split, *, batch_size=7, seed=1, **options):
    """Reads an epoch as `read` does, by a pipeline, however few rows are held out."""
    with mock.patch.object(example_batches, "_AT_ONCE_BYTES", 0):
        batches = source.batches(view, split, batch_size=batch_size, seed=seed, **options)
    return list(batches.as_numpy_iterator())


def assert_at_once_as_by_a_pipeline(source, view, **options):
    """Few held-out rows are assembled without a pipeline: the same bits."""
    reading = {"batch_size": 7, "seed": 1, **options}
    with mock.patch.object(example_batches, "read_epochs") as pipeline:
        at_once = source.batches(view, "validation", **reading)
    assert not pipeline.called
    expected = read_by_pipeline(source, view, "validation", **reading)
    for batch, other in zip(at_once.as_numpy_iterator(), expected, strict=True):
        assert batch.keys() == other.keys()
        for name, values in other.items():
            assert batch[name].dtype == values.dtype
            np.testing.assert_array_equal(batch[name], values, err_msg=name)


def joined(batches, with_empty=False):
    """All rows as one dict of arrays, without those that only fill up the last batch."""
    rows = {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
    present = (rows["user"] if with_empty else rows["example_weight"]) > 0
    return {name: values[present] for name, values in rows.items()}
