"""Numbers users and items over all groups and writes each group's histories."""

import dataclasses
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np
import pandas as pd
from apache_beam.options.pipeline_options import PipelineOptions

from data_pipelines.coding import user_histories, vocabulary
from data_pipelines.coding.summary import (
    DomainCounts,
    domain_counts,
    joined_samples,
    user_samples,
)
from data_pipelines.coding.user_histories import DIGEST_RANGE, UserHistories
from data_pipelines.distributed.item_index import SumByItem, by_partition, shared_items, summed
from data_pipelines.distributed.running import Gather, running
from data_pipelines.distributed.splitting import GroupSplit, each_group
from data_pipelines.distributed.work_folder import WorkFolder
from data_pipelines.logs import PARTS
from data_pipelines.parts import TRAIN
from data_pipelines.prepared.build import Content
from data_pipelines.splitting import splits

_IDS = "ids"


def number_groups(splitter: GroupSplit, options: PipelineOptions) -> Content:
    """Counts, numbers and writes `histories-<group>` for each group.

    Returns:
      What the metadata says about the interactions.

    Raises:
      DataError: nothing is left to train on.
    """
    work, log, split = splitter.work, splitter.log, splitter.options
    counted = _counted(splitter, options)
    rows = counted.items
    items, ids = vocabulary.ranked(
        log.domains,
        rows["item_id"].to_numpy(dtype=object),
        rows["domain"].to_numpy(np.int16),
        rows["category"].to_numpy(dtype=object),
        rows[list(PARTS)].to_numpy(np.int64),
    )
    work.save_rows(_IDS, rows[["item_id", "domain"]].assign(id=ids))
    users = _number_users(work, log.groups)
    with running(options) as pipeline:
        _ = pipeline | each_group(log.groups) | beam.Map(_code, splitter) | Gather(work, "digests")
    shared_items.cache_clear()
    return Content(
        comparable_times=log.comparable_times,
        users=users,
        items=items,
        interactions=int(counted.domains.parts.sum()),
        ratings="rating" in log.columns,
        negatives="negatives" in log.columns,
        digest=sum(int(digest, 16) for digest in work.load_json("digests")) % DIGEST_RANGE,
        split_kind=split.kind,
        repeats=split.repeats,
        cut_times=splitter.cut_times,
        dropped=counted.dropped,
        notes=log.notes,
        time_unit=log.time_unit,
        samples=counted.samples,
        counts=counted.domains,
    )


def group_records(group: int, work: WorkFolder) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """Yields (key, record) for each user of a group whose histories are written."""
    histories = UserHistories(**work.load_arrays(f"histories-{group}"))
    yield from user_histories.records(histories)


class _Counted(NamedTuple):
    """Counts over all groups.

    Attributes:
      items: columns `item_id`, `domain` (its number), `category` and those of PARTS.
      domains: counts of users and interactions.
      dropped: what -> how many.
      samples: a few users of each domain.
    """

    items: pd.DataFrame
    domains: DomainCounts
    dropped: dict[str, int]
    samples: list[list[str]]


def _counted(splitter: GroupSplit, options: PipelineOptions) -> _Counted:
    """Counts items and users, and writes `users-<group>`, the users that are left."""
    work, log = splitter.work, splitter.log
    with running(options) as pipeline:
        outputs = (
            pipeline
            | each_group(log.groups)
            | beam.FlatMap(_count, splitter).with_outputs("facts", main="items")
        )
        _ = outputs.facts | "Facts" >> Gather(work, "counts")
        _ = outputs.items | "Items" >> SumByItem(work, "items", _used)
    facts = work.load_json("counts")
    of_groups = [
        DomainCounts(**{name: np.array(values) for name, values in fact["domains"].items()})
        for fact in facts
    ]
    domains = sum(of_groups[1:], of_groups[0])
    trained = domains.parts[:, TRAIN].tolist()
    splits.require_training(dict(zip(log.domains, trained, strict=True)), splitter.options)
    dropped = Counter(splits.dropped_before(log.left_out, log.skipped_lines))
    for fact in facts:
        dropped.update(fact["dropped"])
    samples = joined_samples([fact["samples"] for fact in facts])
    return _Counted(summed(work, "items"), domains, splits.without_zeros(dropped), samples)


def _count(group: int, splitter: GroupSplit) -> Iterator[Any]:
    """Yields the group's counts of items for `SumByItem`, and its facts."""
    split_log = splitter.split(group)
    log, parts = split_log.log, split_log.parts
    splitter.work.save_rows(f"users-{group}", pd.DataFrame({"user_id": log.users[log.present]}))
    domains = dataclasses.asdict(domain_counts(log, parts))
    facts = {
        "domains": {name: counts.tolist() for name, counts in domains.items()},
        "dropped": split_log.dropped,
        "samples": user_samples(log),
    }
    yield beam.pvalue.TaggedOutput("facts", facts)
    counts = user_histories.item_counts(log, parts)
    columns = {
        "item_id": log.item_ids,
        "domain": log.item_domains,
        "category": log.categories,
        "used": counts.used,
        **dict(zip(PARTS, counts.parts.T, strict=True)),
    }
    # An item that is used in another group has its category of the lines dropped here, too.
    told = counts.used | (log.categories != "")
    yield from by_partition(pd.DataFrame(columns)[told])


def _used(counts: pd.DataFrame) -> pd.DataFrame:
    return counts[counts["used"] > 0].drop(columns="used")


def _number_users(work: WorkFolder, groups: Sequence[int]) -> tuple[str, ...]:
    """Writes `numbers-<group>`, the users' ids; returns the raw ids in the order of ids."""
    tables = [work.load_rows(f"users-{group}")["user_id"] for group in groups]
    users = pd.concat(tables, ignore_index=True).to_numpy(dtype=object)
    order = np.argsort(users, kind="stable")
    numbers = np.empty(len(users), np.int64)
    numbers[order] = np.arange(1, len(users) + 1)
    ends = np.cumsum([len(table) for table in tables])
    for group, own in zip(groups, np.split(numbers, ends[:-1]), strict=True):
        work.save_arrays(f"numbers-{group}", users=own)
    return tuple(users[order].tolist())


def _code(group: int, splitter: GroupSplit) -> str:
    """Writes a group's histories; returns their digest in hex."""
    work = splitter.work
    split_log = splitter.split(group)
    log = split_log.log
    items, index = shared_items(work, _IDS)
    rows = index.rows(log.item_ids, log.item_domains)
    # Items that are dropped everywhere have no id, and no history needs one.
    ids = np.where(rows < 0, 0, items["id"].to_numpy()[rows])
    users = work.load_arrays(f"numbers-{group}")["users"]
    histories = user_histories.with_ids(log, split_log.parts, log.present, users, ids)
    work.save_arrays(f"histories-{group}", **histories.arrays())
    return f"{histories.digest():x}"
