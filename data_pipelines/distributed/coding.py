"""Numbers users and items over all groups and writes each group's histories."""

import dataclasses
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np
import pandas as pd
from apache_beam.options.pipeline_options import PipelineOptions

from data_pipelines.coding import user_histories
from data_pipelines.coding.coded_log import CodedLog, ItemCounts, UserCounts
from data_pipelines.coding.summary import summary_lines
from data_pipelines.coding.user_histories import DIGEST_RANGE, UserHistories
from data_pipelines.distributed.item_table import SumByItem, by_partition, shared_items, summed
from data_pipelines.distributed.running import Gather, running
from data_pipelines.distributed.splitting import GroupSplit, each_group
from data_pipelines.distributed.work_folder import WorkFolder
from data_pipelines.errors import DataError
from data_pipelines.logs import PARTS
from data_pipelines.prepared.build import Content
from data_pipelines.prepared.records import has_examples
from data_pipelines.splitting import splits
from data_pipelines.views.view import ExampleOptions, View

_IDS = "ids"


class NumberedGroups(NamedTuple):
    """What is known when every group's histories are in the work folder.

    Attributes:
      content: what the metadata says about the interactions.
      filled: for each view, the parts that have examples.
    """

    content: Content
    filled: dict[str, list[str]]


def number_groups(
    splitter: GroupSplit,
    views: Sequence[View],
    examples: ExampleOptions,
    options: PipelineOptions,
) -> NumberedGroups:
    """Counts, numbers and writes `histories-<group>` for each group.

    Raises:
      DataError: nothing is left to train on, or the log's own parts contradict each other.
    """
    work, roles, groups = splitter.work, splitter.roles, splitter.log.groups
    counted = _counted(splitter, options)
    vocabularies, ids = user_histories.number_items(roles, counted.items)
    columns = {"item_id": counted.items.item_ids, "domain": counted.items.domains, "id": ids}
    work.save_rows(_IDS, pd.DataFrame(columns))
    users = _number_users(work, groups)
    with running(options) as pipeline:
        _ = (
            each_group(pipeline, groups)
            | beam.Map(_code, splitter, tuple(views), examples)
            | Gather(work, "coded")
        )
    shared_items.cache_clear()
    coded = work.load_json("coded")
    content = Content(
        roles=roles,
        users=users,
        vocabularies=vocabularies,
        interactions=int(counted.items.parts.sum()),
        digest=sum(int(fact["digest"], 16) for fact in coded) % DIGEST_RANGE,
        dropped=counted.dropped,
        summary=summary_lines(roles, counted.items, counted.users, counted.dropped),
    )
    found = {view.name: set().union(*(f["filled"][view.name] for f in coded)) for view in views}
    filled = {name: [part for part in PARTS if part in parts] for name, parts in found.items()}
    return NumberedGroups(content, filled)


class _Counted(NamedTuple):
    """Counts over all groups."""

    items: ItemCounts
    users: UserCounts
    dropped: dict[str, int]


def _counted(splitter: GroupSplit, options: PipelineOptions) -> _Counted:
    """Counts items and users, and writes `users-<group>`, the users that are left."""
    work, roles = splitter.work, splitter.roles
    with running(options) as pipeline:
        outputs = each_group(pipeline, splitter.log.groups) | beam.FlatMap(
            _count, splitter
        ).with_outputs("facts", main="items")
        _ = outputs.facts | "Facts" >> Gather(work, "counts")
        _ = outputs.items | "Items" >> SumByItem(work, "items", _all)
    facts = work.load_json("counts")
    if errors := sorted(fact["error"] for fact in facts if "error" in fact):
        raise DataError(errors[0])
    items = summed(work, "items")
    if items.empty:
        splits.require_training({}, roles.domains, splitter.options)
    trained = items.groupby("domain")["train"].sum()
    by_name = {name: int(trained.get(k, 0)) for k, name in enumerate(roles.domains)}
    splits.require_training(by_name, roles.domains, splitter.options)
    counts = ItemCounts(
        items["item_id"].to_numpy(dtype=object),
        items["domain"].to_numpy(np.int8),
        items[list(PARTS)].to_numpy(np.int64),
        items["trained"].to_numpy(np.int64),
    )
    return _Counted(counts, _user_counts(facts), splits.without_zeros(_dropped(splitter, facts)))


def load_histories(work: WorkFolder, group: int) -> UserHistories:
    """The histories of a group's users."""
    return UserHistories(**work.load_arrays(f"histories-{group}"))


def _count(group: int, splitter: GroupSplit) -> Iterator[Any]:
    """Yields the group's counts of items for `SumByItem`, and its facts."""
    try:
        split_log = splitter.split(group)
    except DataError as error:
        yield beam.pvalue.TaggedOutput("facts", {"error": str(error)})
        return
    codes = CodedLog.of(split_log)
    splitter.work.save_rows(f"users-{group}", pd.DataFrame({"user_id": codes.users}))
    users = dataclasses.asdict(codes.user_counts(splitter.roles))
    facts = {
        "users": {name: counts.tolist() for name, counts in users.items()},
        "dropped": split_log.dropped,
    }
    yield beam.pvalue.TaggedOutput("facts", facts)
    items = codes.item_counts()
    columns = {"item_id": items.item_ids, "domain": items.domains, "trained": items.trained}
    parts = dict(zip(PARTS, items.parts.T, strict=True))
    yield from by_partition(pd.DataFrame({**columns, **parts}))


def _all(counts: pd.DataFrame) -> pd.DataFrame:
    return counts


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


def _code(
    group: int, splitter: GroupSplit, views: Sequence[View], examples: ExampleOptions
) -> dict[str, Any]:
    """Writes a group's histories; returns their digest, and which parts of views have examples."""
    work = splitter.work
    codes = CodedLog.of(splitter.split(group))
    items, table = shared_items(work, _IDS)
    ids = items["id"].to_numpy()[table.rows(codes.item_ids, codes.item_domains)]
    target = np.full(len(codes.negative_ids), splitter.roles.target_number)
    negatives = items["id"].to_numpy()[table.rows(codes.negative_ids, target)]
    numbers = work.load_arrays(f"numbers-{group}")["users"]
    histories = user_histories.with_ids(codes, numbers, ids, negatives)
    work.save_arrays(f"histories-{group}", **histories.arrays())
    filled = {
        view.name: [part for part in PARTS if has_examples(view, histories, part, examples)]
        for view in views
    }
    return {"digest": f"{histories.digest():x}", "filled": filled}


def _user_counts(facts: Sequence[dict[str, Any]]) -> UserCounts:
    counts = [
        UserCounts(**{name: np.array(values) for name, values in fact["users"].items()})
        for fact in facts
    ]
    return sum(counts[1:], counts[0])


def _dropped(splitter: GroupSplit, facts: Sequence[dict[str, Any]]) -> dict[str, int]:
    log = splitter.log
    total = Counter(splits.dropped_before(log.left_out, log.skipped_lines))
    for fact in facts:
        total.update(fact["dropped"])
    return dict(total)
