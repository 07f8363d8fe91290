"""Splits the log group by group: `data_pipelines.splitting.splits` on the users of each."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
import pandas as pd
from apache_beam.options.pipeline_options import PipelineOptions

from data_pipelines.distributed.item_table import SumByItem, by_partition, shared_items, summed
from data_pipelines.distributed.reading import GroupedLog
from data_pipelines.distributed.running import Gather, running
from data_pipelines.distributed.work_folder import WorkFolder
from data_pipelines.splitting import splits
from data_pipelines.splitting.split_log import DomainRoles, SplitLog, SplitOptions
from data_pipelines.splitting.splits import Candidates
from data_pipelines.splitting.user_draws import Census, Drawn, draw


@dataclasses.dataclass(frozen=True, eq=False)
class GroupSplit:
    """All that a worker needs, beside the work folder, to split a group.

    Attributes:
      work: holds the groups and what was drawn.
      log: the interactions.
      roles: the log's domains.
      options: how to split.
      rare: the table of items that are too rare; empty for none.
    """

    work: WorkFolder
    log: GroupedLog
    roles: DomainRoles
    options: SplitOptions
    rare: str = ""

    def candidates(self, group: int) -> Candidates:
        """What is left of a group's interactions without rare items and users."""
        rows = self.log.load_group(self.work, group)
        log = splits.candidates(rows, self.roles, self.options)
        rare = np.zeros(len(log.table.item_rows), bool)
        if self.rare:
            first = log.table.item_rows
            _, table = shared_items(self.work, self.rare)
            item_ids = rows["item_id"].to_numpy(dtype=object)[first]
            rare = table.rows(item_ids, log.table.domain[first]) >= 0
        return splits.without_rare(log, rare, self.options)

    def split(self, group: int) -> SplitLog:
        """The group's part of the split log, when the users have been drawn."""
        arrays = self.work.load_arrays(f"drawn-{group}")
        drawn = Drawn(arrays["target"], arrays.get("source"))
        return splits.assign(self.candidates(group), drawn, self.options)


def prepare_split(
    log: GroupedLog,
    roles: DomainRoles,
    split: SplitOptions,
    work: WorkFolder,
    options: PipelineOptions,
) -> GroupSplit:
    """Finds the k-core and draws users, over all groups."""
    splitter = _core(GroupSplit(work, log, roles, split), options)

    def count_users(group: int) -> bool:
        census = splits.census(splitter.candidates(group), split)
        names = ("user_ids", "in_source", "in_target")
        columns = {name: getattr(census, name) for name in names}
        work.save_rows(f"census-{group}", pd.DataFrame(columns))
        return census.sources_given

    with running(options) as pipeline:
        _ = each_group(pipeline, log.groups) | beam.Map(count_users) | Gather(work, "given")
    tables = [work.load_rows(f"census-{group}") for group in log.groups]
    everybody = pd.concat(tables, ignore_index=True)
    drawn = draw(
        Census(
            everybody["user_ids"].to_numpy(dtype=object),
            everybody["in_source"].to_numpy(bool),
            everybody["in_target"].to_numpy(bool),
            any(work.load_json("given")),
        ),
        split,
    )
    start = 0
    for group, table in zip(log.groups, tables, strict=True):
        own = slice(start, start + len(table))
        arrays = {} if drawn.source is None else {"source": drawn.source[own]}
        work.save_arrays(f"drawn-{group}", target=drawn.target[own], **arrays)
        start += len(table)
    return splitter


def each_group(pipeline: beam.Pipeline, groups: Sequence[int]) -> beam.PCollection:
    """The numbers of the groups, spread over the workers."""
    return pipeline | beam.Create(groups) | beam.Reshuffle()


def _core(splitter: GroupSplit, options: PipelineOptions) -> GroupSplit:
    """Finds the items outside the k-core, in a pipeline per round until there are no more."""
    least = splitter.options.min_item_interactions
    if least == 1:
        return splitter
    work = splitter.work
    rare: list[pd.DataFrame] = []
    while True:
        name = f"core-{len(rare)}"
        with running(options) as pipeline:
            _ = (
                each_group(pipeline, splitter.log.groups)
                | beam.FlatMap(_count_items, splitter)
                | SumByItem(work, name, _Rare(least))
            )
        found = summed(work, name)
        if found.empty:
            return splitter
        rare.append(found)
        work.save_rows(f"rare-{len(rare)}", pd.concat(rare, ignore_index=True))
        splitter = dataclasses.replace(splitter, rare=f"rare-{len(rare)}")


@dataclasses.dataclass(frozen=True)
class _Rare:
    """Keeps the items with too few interactions."""

    least: int

    def __call__(self, counts: pd.DataFrame) -> pd.DataFrame:
        return counts[counts["interactions"] < self.least]


def _count_items(group: int, splitter: GroupSplit) -> Iterator[tuple[int, Any]]:
    log = splitter.candidates(group)
    table = log.table
    counts = np.bincount(table.item[log.kept], minlength=len(table.item_rows))
    left = counts > 0  # An item that has none left anywhere is no longer found to be rare.
    first = table.item_rows[left]
    columns = {
        "item_id": log.rows["item_id"].to_numpy(dtype=object)[first],
        "domain": table.domain[first],
        "interactions": counts[left],
    }
    yield from by_partition(pd.DataFrame(columns))
