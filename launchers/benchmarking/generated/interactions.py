"""Histories of exact length in two domains, from drawn interactions."""

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd

from data_pipelines.logs import InteractionLog
from data_pipelines.prepared import build
from data_pipelines.prepared.dataset import PreparedData
from data_pipelines.prepared.interaction_source import InteractionSource
from data_pipelines.splitting import splits
from data_pipelines.splitting.split_log import SplitOptions
from data_pipelines.views.example_options import ExampleOptions
from data_pipelines.views.roles import roles_of
from launchers.benchmarking.generated.generator import SOURCE, TARGET, DataSizes, Generator
from tfcdr.benchmark import HistorySizes

# Target interactions of a user: training pairs, and one each for validation and test. What a user
# liked in the target is a short history, which costs what a full one does: padding is computed.
_TARGET_LENGTH = 5
_CATEGORIES = 20
_LIKED, _DISLIKED = 5.0, 1.0


class Interactions(Generator[InteractionSource]):
    """Rated interactions of users who all have a full history in the source, liked or not."""

    def convert(self, folder: Path, sizes: DataSizes) -> None:
        log = splits.split(draw(sizes), SplitOptions())
        build.build(log, folder, provenance={"generated": dataclasses.asdict(sizes)})

    def read(self, prepared: PreparedData, sizes: DataSizes) -> InteractionSource:
        (roles,) = roles_of(prepared.domains, [TARGET], [], shared=True)
        return InteractionSource(prepared, roles, ExampleOptions(max_length=sizes.length))

    def input_sizes(self, sizes: DataSizes) -> HistorySizes:
        return HistorySizes(
            items=sizes.items,
            length=sizes.length,
            users=_users(sizes),
            categories=_CATEGORIES,
        )

    def describe(self, source: InteractionSource) -> str:
        return f"length {source.max_length}, {source.vocabulary(SOURCE).size:,} items"


def draw(sizes: DataSizes) -> InteractionLog:
    """Draws a log in which every item occurs and few occur often (a Zipf law)."""
    random = np.random.default_rng(0)
    users = _users(sizes)
    lengths = {SOURCE: sizes.length + 1, TARGET: _TARGET_LENGTH}
    tables = []
    for domain, length in lengths.items():
        count = users * length
        items = np.minimum(random.zipf(1.3, count), sizes.items) - 1
        # Somewhere, each item occurs.
        items[random.permutation(count)[: sizes.items]] = np.arange(sizes.items)
        # A user dislikes one thing in each domain, so that what he likes in the source is as long
        # as a history.
        ratings = np.full((users, length), _LIKED)
        ratings[np.arange(users), random.integers(length, size=users)] = _DISLIKED
        table = pd.DataFrame(
            {
                "user_id": np.repeat(np.arange(users), length).astype(str),
                "item_id": items.astype(str),
                "domain": domain,
                # Histories come before what is to be recommended.
                "timestamp": np.tile(np.arange(length), users) + (domain == TARGET) * 1000,
                "rating": ratings.ravel(),
                "category": (items % _CATEGORIES).astype(str),
            }
        )
        tables.append(table)
    return InteractionLog(pd.concat(tables, ignore_index=True), (SOURCE, TARGET), True)


def _users(sizes: DataSizes) -> int:
    """Returns so many users that the target interactions suffice for every item to occur."""
    return max(sizes.users, -(-sizes.items // _TARGET_LENGTH))
