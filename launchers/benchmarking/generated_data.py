"""A prepared data set of exact sizes, made by the real conversion from a drawn log."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from data_pipelines.logs import InteractionLog
from data_pipelines.prepared import build
from data_pipelines.prepared.dataset import PreparedData, open_prepared
from data_pipelines.splitting import splits
from data_pipelines.splitting.split_log import SplitOptions
from data_pipelines.views.view import ExampleOptions

SOURCE, TARGET = "source", "target"
# Target interactions of a user: training pairs, and one each for validation and test.
_TARGET_LENGTH = 5


@dataclasses.dataclass(frozen=True)
class DataSizes:
    """Sizes of the generated data.

    Attributes:
      items: items of the source domain and of the target domain, each of which occurs.
      length: items of a history; every user has one of full length.
      users: users; more of them if the items need more to occur.
      impressions: impressions of each domain, which a system of impressions reads instead.
    """

    items: int = 3600
    length: int = 20
    users: int = 20_000
    impressions: int = 65_536

    def __post_init__(self) -> None:
        """Refuses values out of range.

        Raises:
          ValueError: naming the field.
        """
        least_values = (("items", 100), ("length", 2), ("users", 100), ("impressions", 100))
        for name, least in least_values:
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}.")

    @property
    def enough_users(self) -> int:
        """Users whose target interactions suffice for every item to occur."""
        return max(self.users, -(-self.items // _TARGET_LENGTH))


def prepare(folder: Path, sizes: DataSizes, views: Sequence[str]) -> PreparedData:
    """Opens the data set in a folder, or draws and converts it first.

    Raises:
      DataError: the folder holds another data set, or cannot be written.
    """
    if not folder.exists():
        split_options = SplitOptions(target=TARGET)
        build.build(
            splits.split(draw(sizes), split_options),
            views,
            folder,
            ExampleOptions(max_length=sizes.length),
            provenance={"generated": dataclasses.asdict(sizes)},
        )
    return open_prepared(folder)


def draw(sizes: DataSizes) -> InteractionLog:
    """Draws a log in which every item occurs and few occur often (a Zipf law)."""
    random = np.random.default_rng(0)
    users = sizes.enough_users
    lengths = {SOURCE: sizes.length + 1, TARGET: _TARGET_LENGTH}
    tables = []
    for domain, length in lengths.items():
        count = users * length
        items = np.minimum(random.zipf(1.3, count), sizes.items) - 1
        # Somewhere, each item occurs.
        items[random.permutation(count)[: sizes.items]] = np.arange(sizes.items)
        table = pd.DataFrame(
            {
                "user_id": np.repeat(np.arange(users), length).astype(str),
                "item_id": items.astype(str),
                "domain": domain,
                # Histories come before what is to be recommended.
                "timestamp": np.tile(np.arange(length), users) + (domain == TARGET) * 1000,
            }
        )
        tables.append(table)
    return InteractionLog(pd.concat(tables, ignore_index=True), (SOURCE, TARGET), True)
