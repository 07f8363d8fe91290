"""What a run's page shows besides its figures: domains, users, and what its system adds."""

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import matplotlib.figure
import numpy as np
import pandas as pd

from tfcdr.stage_model import Batch


class Names(Protocol):
    """How items and users are called before a person.

    `data_pipelines.prepared.item_titles.ShownNames` fits; neither package imports the other.
    """

    def item(self, space: str, item: int) -> str:
        """Returns the text of an item's id, from 1, in an item space such as "target"."""

    def user(self, user: int) -> str:
        """Returns the raw id of a user's id, from 1."""


class ShownDomain(NamedTuple):
    """How large a domain is.

    Attributes:
      name: the domain's.
      role: "source" or "target".
      counts: such as users, items and interactions, by what is counted.
      shared: of its users, those who are in the target, too; None where nobody is known.
    """

    name: str
    role: str
    counts: Mapping[str, int]
    shared: int | None = None


class ShownUser(NamedTuple):
    """What a test user did, and what the model recommends at that time.

    Attributes:
      name: the user's.
      history: names of the latest items, the latest first.
      held_out: name of the item that the user took next.
      recommended: names of items, the best first.
      hit: the place of the held-out one among them, from 0; None if it is not there.
    """

    name: str
    history: Sequence[str]
    held_out: str
    recommended: Sequence[str]
    hit: int | None


class Section(NamedTuple):
    """One part of the page.

    Attributes:
      name: names its place in the page, such as "interest_weights".
      heading: what it shows.
      reading: one sentence that says how to read it.
      content: a figure, or a small table. Texts are escaped; a line break in a cell is shown as
        one. Rows that follow each other with the same index share its cells.
    """

    name: str
    heading: str
    reading: str
    content: matplotlib.figure.Figure | pd.DataFrame


def table_html(table: pd.DataFrame) -> str:
    """Writes a table; its index, if it has names, becomes the first columns.

    DataFrame.to_html cannot break lines within a cell and never merges the last level of an index.
    """
    named = [name for name in table.index.names if name is not None]
    head = "".join(f"<th>{_escaped(name)}</th>" for name in (*named, *table.columns))
    groups = _row_groups(table) if named else [1] * len(table)
    rows = []
    for first, length in zip(np.cumsum(groups) - groups, groups, strict=True):
        for row in range(first, first + length):
            cells = [f"<td>{_escaped(value)}</td>" for value in table.iloc[row].tolist()]
            if named and row == first:
                key = table.index[row] if len(named) > 1 else (table.index[row],)
                cells = [f'<td rowspan="{length}">{_escaped(value)}</td>' for value in key] + cells
            rows.append(f"<tr>{''.join(cells)}</tr>")
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _row_groups(table: pd.DataFrame) -> list[int]:
    """Returns how many rows follow each other with the same index, again and again."""
    lengths: list[int] = []
    for row, key in enumerate(table.index):
        if row and key == table.index[row - 1]:
            lengths[-1] += 1
        else:
            lengths.append(1)
    return lengths


def _escaped(value: Any) -> str:
    text = str(value)
    if isinstance(value, float):
        text = "-" if math.isnan(value) else f"{value:.4f}"
    return html.escape(text).replace("\n", "<br>")


def sample_rows(
    batches: Iterable[Batch], keys: Sequence[str], size: int, seed: int
) -> dict[str, np.ndarray]:
    """Draws rows of weight above 0 in one pass, each as likely as any other.

    Args:
      batches: dict batches with `example_weight`.
      keys: the entries to return; each has the same shape in all batches.
      size: rows to draw; fewer if there are no more.
      seed: decides which.

    Returns:
      The entries, [size, ...], in the order of the batches.
    """
    random = np.random.default_rng(seed)
    # Every row draws a number; the rows with the smallest are kept.
    drawn = np.zeros(0)
    kept: dict[str, np.ndarray] = {}
    for batch in batches:
        chosen = batch["example_weight"].numpy() > 0
        rows = {key: batch[key].numpy()[chosen] for key in keys}
        numbers = np.concatenate([drawn, random.random(chosen.sum())])
        best = np.sort(np.argsort(numbers)[:size])
        drawn = numbers[best]
        kept = {
            key: np.concatenate([kept[key], rows[key]] if kept else [rows[key]])[best]
            for key in keys
        }
    return kept
