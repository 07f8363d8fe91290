"""View `next_item`: windows of source sequences, for causal pre-training.

Record: `user`, `items` (2..T+1 source ids, oldest first). Windows overlap by one item, so that
every item of a sequence but its first is the label of exactly one position.

Batch (every split):

| key | shape | dtype | |
| --- | --- | --- | --- |
| `items` | [B, T+1] | int32 | source ids, left-padded with 0; context is [:, :-1], labels [:, 1:] |
| `user` | [B] | int32 | user ids from 1 |
| `example_weight` | [B] | float32 | 1, or 0 for the zero rows that fill up the last batch |
"""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from data_pipelines.coding.user_histories import UserHistory
from data_pipelines.errors import DataError
from data_pipelines.splitting.split_log import DomainRoles
from data_pipelines.views.padding import left_pad
from data_pipelines.views.split_read import Assemble, SplitRead
from data_pipelines.views.view import Example, ExampleOptions, View, windows


@dataclasses.dataclass(frozen=True)
class Batching:
    """The view has no options of its own when it is read."""


class NextItem(View):
    """Cuts and batches windows for next-item prediction; see the module's docstring."""

    name = "next_item"
    scalars = ("user",)
    sequences = ("items",)
    batching = Batching

    def check(self, roles: DomainRoles, options: ExampleOptions) -> None:
        """Raises DataError if the log has no source domain."""
        del options
        check_has_source(self.name, roles)

    def examples(
        self, history: UserHistory, part: int, options: ExampleOptions
    ) -> Iterator[Example]:
        """Cuts windows of at most T+1 items, overlapping by one."""
        items = pretraining_items(history, part)
        for window in windows(items, options.max_length + 1, overlap=1):
            yield {"user": history.user, "items": window}

    def assembler(self, split: SplitRead, batching: Batching) -> Assemble:
        """Returns the function that left-pads the windows."""
        del batching

        def assemble(records: Mapping[str, Any], seed: tf.Tensor) -> dict[str, tf.Tensor]:
            del seed
            return {"items": left_pad(records["items"], split.max_length + 1)}

        return assemble


def check_has_source(view: str, roles: DomainRoles) -> None:
    """Raises DataError if the log has no source domain."""
    if not roles.sources:
        raise DataError(
            f"view {view} needs a source domain, but the only domain, {roles.target}, is the "
            "target: name more domains or leave --split.target empty."
        )


def pretraining_items(history: UserHistory, part: int) -> np.ndarray:
    """Returns the source items that pre-training may see, oldest first; int64 [n].

    Source interactions at or after the user's first held-out target interaction are left out: they
    would tell the model what happened after the moment at which it is tested.

    Args:
      history: one user.
      part: the result is empty unless the user's source sequence is in this part.
    """
    return history.items[
        ~history.is_target & (history.parts == part) & (history.timestamps < history.held_out_from)
    ]


VIEW = NextItem()
