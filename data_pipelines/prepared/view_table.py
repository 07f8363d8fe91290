"""The views of a data set of interactions as a table for people."""

from collections.abc import Mapping
from typing import Any


def view_table(views: Mapping[str, Any]) -> list[str]:
    """Returns a line for each split of each view: examples, longest history, empty histories.

    Args:
      views: their entries in the metadata.
    """
    lines = [f"{'view':<14}{'split':<12}{'examples':>12}{'longest history':>18}{'empty':>10}"]
    for view, description in views.items():
        for split, counts in description["splits"].items():
            # The first sequence feature is the history.
            longest = next(iter(counts["longest"].values()))
            empty = next(iter(counts["empty"].values()))
            lines.append(
                f"{view:<14}{split:<12}{counts['examples']:>12,}{longest:>18,}{empty:>10,}"
            )
    return lines
