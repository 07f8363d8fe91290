"""Items that every worker knows: those of the data set, or those that are too rare."""

import functools
from collections.abc import Callable, Iterable, Iterator

import apache_beam as beam
import numpy as np
import pandas as pd

from data_pipelines.coding.coded_log import smallest_texts
from data_pipelines.distributed.running import Gather
from data_pipelines.distributed.work_folder import WorkFolder, packed_by, unpack

_KEYS = ["domain", "item_id"]
_PARTITIONS = 64


class ItemIndex:
    """Finds items by domain and item id."""

    def __init__(self, items: pd.DataFrame) -> None:
        """Indexes a table with the columns `item_id` and `domain`, the domain's number."""
        domains = items["domain"].to_numpy()
        self._by_domain = {
            domain: (
                pd.Index(items["item_id"][domains == domain]),
                np.flatnonzero(domains == domain),
            )
            for domain in np.unique(domains)
        }

    def rows(self, item_ids: np.ndarray, domains: np.ndarray) -> np.ndarray:
        """The row of each item in the table, -1 where it has none; int64 [items]."""
        found = np.full(len(item_ids), -1, np.int64)
        for domain, (index, rows) in self._by_domain.items():
            of = np.flatnonzero(domains == domain)
            places = index.get_indexer(item_ids[of])
            found[of[places >= 0]] = rows[places[places >= 0]]
        return found


@functools.lru_cache(maxsize=1)
def shared_items(work: WorkFolder, name: str) -> tuple[pd.DataFrame, ItemIndex]:
    """The table `name` of the work folder; once in each process of a worker."""
    items = work.load_rows(name)
    return items, ItemIndex(items)


def by_partition(counts: pd.DataFrame) -> Iterator[tuple[int, bytes]]:
    """Cuts counts of items for `SumByItem`: yields (partition, packed rows)."""
    if counts.empty:
        return
    partition = pd.util.hash_array(counts["item_id"].to_numpy(dtype=object)) % _PARTITIONS
    yield from packed_by(partition, counts)


class SumByItem(beam.PTransform):
    """Sums counts of items over all groups of users; what is left of them goes to the work folder.

    Its input is what `by_partition` yields: tables with the columns `item_id`, `domain` and counts,
    and perhaps `category`, of which the smallest text stays.
    """

    def __init__(
        self, work: WorkFolder, name: str, keep: Callable[[pd.DataFrame], pd.DataFrame]
    ) -> None:
        """Remembers where the sums go and which of them to keep."""
        super().__init__()
        self._work = work
        self._name = name
        self._keep = keep

    def expand(self, counts: beam.PCollection) -> beam.PCollection:
        """Sums, filters and writes."""
        work, name, keep = self._work, self._name, self._keep

        def write(partition: int, contents: Iterable[bytes]) -> int:
            work.save_rows(f"{name}-{partition}", keep(_sum(unpack(list(contents)))))
            return partition

        written = counts | beam.GroupByKey() | beam.MapTuple(write)
        return written | Gather(work, name + "-partitions")


def _sum(rows: pd.DataFrame) -> pd.DataFrame:
    by_item = rows.groupby(_KEYS, as_index=False)
    if "category" not in rows:
        return by_item.sum()
    counts = rows.drop(columns="category").groupby(_KEYS, as_index=False).sum()
    item = by_item.ngroup().to_numpy()  # In the order of `counts`, too.
    return counts.assign(category=smallest_texts(item, rows["category"], len(counts)))


def summed(work: WorkFolder, name: str) -> pd.DataFrame:
    """All that `SumByItem` kept; a table without columns if there was nothing to sum."""
    partitions = sorted(work.load_json(name + "-partitions"))
    tables = [work.load_rows(f"{name}-{partition}") for partition in partitions]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
