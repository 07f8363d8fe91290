"""Sequences over several domains, all of which are targets of one model."""

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
from launchers.benchmarking.generated.generator import DataSizes, Generator
from tfcdr.benchmark import DomainSequenceSizes

# Behind the items of a training sequence: what its last item predicts, and two that are held out.
_FURTHER = 3


class DomainSequences(Generator[InteractionSource]):
    """Sequences of users who go from domain to domain."""

    def convert(self, folder: Path, sizes: DataSizes) -> None:
        options = SplitOptions(kind="last_of_all", repeats="all")
        provenance = {"generated": dataclasses.asdict(sizes)}
        build.build(splits.split(draw(sizes), options), folder, provenance=provenance)

    def read(self, prepared: PreparedData, sizes: DataSizes) -> InteractionSource:
        (roles,) = roles_of(prepared.domains, ["all"], [], shared=False, joint=True)
        return InteractionSource(prepared, roles, ExampleOptions(max_length=sizes.length))

    def input_sizes(self, sizes: DataSizes) -> DomainSequenceSizes:
        return DomainSequenceSizes(sizes.domains, sizes.items, sizes.length)

    def describe(self, source: InteractionSource) -> str:
        sizes = source.vocabulary("joint").domain_sizes
        items = max(sizes.values())
        return f"length {source.max_length}, {len(sizes)} domains of {items:,} items"


def draw(sizes: DataSizes) -> InteractionLog:
    """Draws a log in which every item occurs and few occur often (a Zipf law)."""
    random = np.random.default_rng(0)
    length = sizes.length + _FURTHER
    # At least so many that there is an interaction for every item.
    users = max(sizes.users, -(-sizes.items * sizes.domains // length))
    count = users * length
    items = np.minimum(random.zipf(1.3, count), sizes.items) - 1
    domains = random.integers(sizes.domains, size=count)
    # Somewhere, each item occurs.
    every = np.divmod(np.arange(sizes.items * sizes.domains), sizes.items)
    places = random.permutation(count)[: len(every[0])]
    domains[places], items[places] = every
    names = np.array([f"domain_{number}" for number in range(1, sizes.domains + 1)])
    table = pd.DataFrame(
        {
            "user_id": np.repeat(np.arange(users), length).astype(str),
            "item_id": items.astype(str),
            "domain": names[domains],
            "timestamp": np.tile(np.arange(length), users),
        }
    )
    return InteractionLog(table, tuple(names.tolist()), True)
