import numpy as np

from data_pipelines.coding import user_histories
from data_pipelines.coding.coded_log import CodedLog
from data_pipelines.logs import PARTS
from data_pipelines.splitting.split_log import SplitOptions
from data_pipelines.splitting.splits import split
from tests.data_pipelines.small_logs import DOMAINS, given_rows, log_of, rows_of

ROWS = [
    ("bea", "i1", "books", 5, "train", ""),
    ("ann", "i1", "books", 1, "train", ""),
    ("ann", "i2", "films", 2, "train", ""),
    ("ann", "i2", "books", 9, "train", ""),
    ("ann", "i2", "toys", 3, "train", ""),
    ("ann", "i3", "toys", 8, "validation", "i2\ti9\ti2"),
    ("ann", "i4", "toys", 9, "test", ""),
]


def numbered(rows, **options):
    log = log_of(rows, "part", "negatives", domains=DOMAINS)
    result = split(log, SplitOptions(kind="given", **options))
    return user_histories.number(result.log, result.parts)


def test_histories_are_sorted_coded_and_complete():
    coded = numbered(ROWS)
    histories, items = coded.histories, coded.items
    assert coded.users == ("ann", "bea")
    assert (histories.users.tolist(), histories.offsets.tolist()) == ([1, 2], [0, 6, 7])
    # In books i1 counts twice; i9 is among the negatives alone.
    names = [DOMAINS[number] for number in items.domain_of()]
    assert list(zip(names, items.ids, strict=True)) == [
        *(("books", "i1"), ("books", "i2"), ("films", "i2")),
        *(("toys", "i2"), ("toys", "i3"), ("toys", "i4"), ("toys", "i9")),
    ]
    assert items.parts.T.tolist() == [
        [2, 1, 1, 1, 0, 0, 0],
        [0, 0, 0, 0, 1, 0, 0],
        [0, 0, 0, 0, 0, 1, 0],
    ]
    assert histories.items.tolist() == [1, 3, 4, 5, 2, 6, 1]
    assert histories.times.tolist() == [1, 2, 3, 8, 9, 9, 5]
    assert histories.negatives.tolist() == [4, 7, 4]
    ann, bea = (record for _, record in user_histories.records(histories))
    assert ann["gaps"].tolist() == [1, 1, 1, 5, 1, 0]
    assert bea["gaps"].tolist() == [5]
    assert ann["parts"].tolist() == [0, 0, 0, 1, 0, 2]
    assert ann["negative_counts"].tolist() == [0, 0, 0, 3, 0, 0]
    assert (ann["negatives"].tolist(), bea["negatives"].tolist()) == ([4, 7, 4], [])


def test_decoding_gives_the_log_back():
    rows = given_rows()
    result = split(log_of(rows, "part", "negatives"), SplitOptions(kind="given", repeats="all"))
    expected = sorted(
        ((*row[:4], PARTS.index(row[4]), row[5].split("\t") if row[5] else []) for row in rows),
        key=lambda row: (row[0], row[3]),
    )
    assert rows_of(result) == expected
    coded = user_histories.number(result.log, result.parts)
    ids, domain_of = coded.items.ids, coded.items.domain_of()
    decoded = []
    for user, (_, record) in zip(coded.users, user_histories.records(coded.histories), strict=True):
        ends = np.cumsum(record["negative_counts"])
        lists = np.split(ids[record["negatives"] - 1], ends[:-1])
        times = np.cumsum(record["gaps"])
        for place, item in enumerate(record["items"] - 1):
            events = (ids[item], DOMAINS[domain_of[item]], times[place], record["parts"][place])
            decoded.append((user, *events, lists[place].tolist()))
    assert decoded == expected


def test_digest_tells_logs_apart():
    def digest(rows):
        return numbered(rows).histories.digest()

    assert digest(ROWS) == digest([*ROWS[1:], ROWS[0]])
    changed = [
        ("ann", "i4", "toys", 10, "test", ""),
        ("ann", "i4", "toys", 9, "validation", ""),
        ("ann", "i3", "toys", 9, "test", ""),
        ("ann", "i4", "toys", 9, "test", "i2"),
    ]
    assert len({digest([*ROWS[:-1], row]) for row in changed} | {digest(ROWS)}) == 5


def test_categories_are_the_smallest_text_of_an_item():
    rows = [("u", "a", "S", 0, "z"), ("v", "a", "S", 0, "b"), ("v", "c", "S", 1, "")]
    table = log_of(rows, "category").interactions
    coded = CodedLog.of(table, ("S",), True)
    assert dict(zip(coded.item_ids, coded.categories, strict=True)) == {"a": "b", "c": ""}
