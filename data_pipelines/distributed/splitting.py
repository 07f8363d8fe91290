"""Splits the log group by group: `data_pipelines.splitting.splits` on the users of each."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
import pandas as pd
from apache_beam.options.pipeline_options import PipelineOptions

from data_pipelines.coding.coded_log import CodedLog
from data_pipelines.distributed.item_index import SumByItem, by_partition, shared_items, summed
from data_pipelines.distributed.reading import GroupedLog
from data_pipelines.distributed.running import running
from data_pipelines.distributed.work_folder import WorkFolder
from data_pipelines.splitting import splits
from data_pipelines.splitting.split_log import SplitLog, SplitOptions
from data_pipelines.splitting.splits import Candidates, Census, Plan


@dataclasses.dataclass(frozen=True, eq=False)
class GroupSplit:
    """All that a worker needs, beside the work folder, to split a group.

    Attributes:
      work: holds the groups and what was drawn.
      log: the interactions.
      options: how to split.
      rare: the table of items that are too rare; empty for none.
      cut_times: as in `Plan`.
    """

    work: WorkFolder
    log: GroupedLog
    options: SplitOptions
    rare: str = ""
    cut_times: tuple[int, ...] = ()

    def candidates(self, group: int) -> Candidates:
        """What is left of a group's interactions without rare items and users."""
        rows = self.log.load_group(self.work, group)
        log = CodedLog.of(rows, self.log.domains, self.log.comparable_times)
        rare: np.ndarray = np.zeros(len(log.item_ids), bool)
        if self.rare:
            _, index = shared_items(self.work, self.rare)
            rare = index.rows(log.item_ids, log.item_domains) >= 0
        return splits.without_rare(splits.candidates(log, self.options), rare, self.options)

    def split(self, group: int) -> SplitLog:
        """The group's part of the split log, when all is planned."""
        users = self.work.load_arrays(f"planned-{group}")["users"]
        return splits.assign(self.candidates(group), Plan(users, self.cut_times), self.options)


def prepare_split(
    log: GroupedLog, split: SplitOptions, work: WorkFolder, options: PipelineOptions
) -> GroupSplit:
    """Finds the k-core and plans the split, over all groups.

    Raises:
      DataError: the cut-off times lie outside the log.
    """
    splitter = _core(GroupSplit(work, log, split), options)

    def count_users(group: int) -> None:
        census = splits.census(splitter.candidates(group), split)
        arrays = census._asdict()
        work.save_rows(f"census-users-{group}", pd.DataFrame({"user_id": arrays.pop("user_ids")}))
        work.save_arrays(f"census-{group}", **arrays)

    with running(options) as pipeline:
        _ = pipeline | each_group(log.groups) | beam.Map(count_users)
    censuses = [_load_census(work, group) for group in log.groups]
    decided = splits.plan(splits.join_censuses(censuses), split)
    ends = np.cumsum([len(census.user_ids) for census in censuses])
    for group, users in zip(log.groups, np.split(decided.users, ends[:-1]), strict=True):
        work.save_arrays(f"planned-{group}", users=users)
    return dataclasses.replace(splitter, cut_times=decided.cut_times)


def each_group(groups: Sequence[int]) -> beam.PTransform:
    """The numbers of the groups, spread over the workers."""
    return beam.Create(groups) | beam.Reshuffle()


def _load_census(work: WorkFolder, group: int) -> Census:
    user_ids = work.load_rows(f"census-users-{group}")["user_id"].to_numpy(dtype=object)
    return Census(user_ids, **work.load_arrays(f"census-{group}"))


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
                pipeline
                | each_group(splitter.log.groups)
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
    found = splitter.candidates(group)
    counts = splits.item_counts(found)
    left = counts > 0  # An item that has none left anywhere is no longer found to be rare.
    columns = {
        "item_id": found.log.item_ids[left],
        "domain": found.log.item_domains[left],
        "interactions": counts[left],
    }
    yield from by_partition(pd.DataFrame(columns))
