"""Split logs made by hand or drawn by hypothesis, for the tests of what is cut from them."""

import numpy as np
import pandas as pd
from hypothesis import strategies as st

from data_pipelines.splitting.split_log import SplitLog

DOMAINS = ("books", "films", "toys")


def split_log(rows, *, target="toys", domains=DOMAINS, comparable_times=True):
    """Makes a SplitLog of (user, item, domain, time, part) rows in any order."""
    table = pd.DataFrame(rows, columns=["user_id", "item_id", "domain", "timestamp", "part"])
    table = table.astype({"timestamp": np.int64})
    table = table.sort_values(["user_id", "timestamp"], kind="stable", ignore_index=True)
    return SplitLog(
        interactions=table,
        domains=tuple(domains),
        target=target,
        comparable_times=comparable_times,
        dropped={},
    )


@st.composite
def split_logs(draw, comparable_times=True):
    """Up to six users with sources of one part each and leave-one-out targets."""
    rows = []
    for user in range(draw(st.integers(1, 6))):
        part = draw(st.sampled_from(["train", "train", "validation", "test"]))
        times = st.integers(0, 30)
        rows += [
            (f"u{user}", f"i{item}", domain, time, part)
            for item, domain, time in draw(
                st.lists(
                    st.tuples(st.integers(0, 9), st.sampled_from(DOMAINS[:2]), times), max_size=14
                )
            )
        ]
        count = draw(st.integers(0, 5))
        items = draw(st.permutations(range(8)))[:count]
        moments = sorted(draw(st.lists(times, min_size=count, max_size=count)))
        parts = ["train"] * (count - 2) + ["validation", "test"]
        if draw(st.booleans()):  # A cold user.
            parts = ["test"] * count
        rows += [
            (f"u{user}", f"i{item}", "toys", time, part)
            for item, time, part in zip(
                items, moments, parts[-count:] if count else [], strict=True
            )
        ]
    # At least one interaction of each space, so that both vocabularies exist.
    rows += [("v", f"i{k}", "books", k, "train") for k in range(3)]
    rows += [("v", f"i{k}", "toys", k, "train") for k in range(3)]
    return split_log(rows, comparable_times=comparable_times)


def demo_log(users=60, seed=0):
    """A log with enough users for shuffling: histories of 1-30 source and 3-8 target items."""
    rng = np.random.default_rng(seed)
    rows = []
    for user in range(users):
        for time in np.sort(rng.integers(0, 10_000, rng.integers(1, 31))):
            part = "validation" if user % 10 == 8 else "test" if user % 10 == 9 else "train"
            rows.append((f"u{user:03}", f"b{rng.integers(50)}", "books", time, part))
        items = rng.permutation(40)[: rng.integers(3, 9)]
        moments = np.sort(rng.integers(0, 10_000, len(items)))
        parts = ["train"] * (len(items) - 2) + ["validation", "test"]
        if user % 7 == 0:
            parts = ["validation" if user % 2 else "test"] * len(items)
        rows += [
            (f"u{user:03}", f"t{item}", "toys", time, part)
            for item, time, part in zip(items, moments, parts, strict=True)
        ]
    return split_log(rows, domains=("books", "toys"))
