"""Small pictures of what a run's epochs say: curves, loss terms, figures of the training steps."""

import re
from collections.abc import Sequence
from typing import Any

import matplotlib.axes
import matplotlib.figure
import matplotlib.ticker
import numpy as np
import pandas as pd

# Numbers of an epoch's line that are no terms of a loss, or the whole loss.
_NOT_TERMS = ["epoch", "loss", "seconds", "examples_per_second"]
_LINES_IN_A_PANEL = 8
# Inches: as wide as the screen of a telephone.
_SIZE = (3.4, 2.3)
# Such as rebalancing_weight[toys]: one of several figures that share a panel.
_MEMBER = re.compile(r"(?P<family>.+)\[(?P<member>.+)\]")


def curves(stages: dict[str, list[dict[str, Any]]], monitor: str) -> list[matplotlib.figure.Figure]:
    """Draws each stage's training loss and its validation metric by epoch.

    Args:
      stages: lines of metrics.jsonl by stage.
      monitor: the metric.

    Returns:
      Two pictures for each stage; one if it has no loss, being fitted as a whole.
    """
    drawn = []
    for stage, epochs in stages.items():
        numbers = [epoch["epoch"] for epoch in epochs]
        losses = np.array([epoch.get("loss", np.nan) for epoch in epochs], np.float64)
        if np.isfinite(losses).any():
            figure, axes = _panel(f"{stage}: training loss", numbers)
            axes.plot(numbers, losses, marker=".")
            drawn.append(figure)
        scores = np.array([epoch["validation"][monitor] for epoch in epochs], np.float64)
        best = int(np.argmax(np.where(np.isfinite(scores), scores, -np.inf)))
        figure, axes = _panel(f"{stage}: validation {monitor}", numbers)
        axes.plot(numbers, scores, marker=".")
        axes.plot(numbers[best], scores[best], "o", label=f"best: {scores[best]:.4f}")
        # Room above, or a flat curve near the top is cut in half.
        axes.set(ylim=(0, 1.08 * scores[best] if scores[best] > 0 else None))
        axes.legend(loc="lower right", fontsize=8)
        drawn.append(figure)
    return drawn


def loss_terms(stages: dict[str, list[dict[str, Any]]]) -> dict[tuple[str, str], pd.Series]:
    """Finds the terms that a stage's training reports besides its whole loss.

    Args:
      stages: lines of metrics.jsonl by stage.

    Returns:
      The means by epoch of each (stage, term), such as ("adapt", "critic_loss").
    """
    terms = {}
    for stage, epochs in stages.items():
        # All that a line holds as numbers besides these comes from the model's training step.
        lines = pd.DataFrame(epochs).set_index("epoch").select_dtypes("number")
        for term in lines.columns.difference(_NOT_TERMS, sort=False):
            terms[stage, term] = lines[term]
    return terms


def figures(stages: dict[str, list[dict[str, Any]]]) -> dict[tuple[str, str], pd.Series]:
    """Finds what a stage's training reports besides losses; see `loss_terms`."""
    found: dict[tuple[str, str], pd.Series] = {}
    for stage, epochs in stages.items():
        lines = pd.DataFrame([epoch.get("figures", {}) for epoch in epochs], dtype=np.float64)
        lines.index = [epoch["epoch"] for epoch in epochs]
        found |= {(stage, name): lines[name] for name in lines}
    return found


def draw_panels(series: dict[tuple[str, str], pd.Series]) -> list[matplotlib.figure.Figure]:
    """Draws each of a stage's series by epoch.

    Series such as weight[toys] and weight[games] are lines of one picture, the outermost ones if
    they are many.

    Args:
      series: by (stage, name).
    """
    families: dict[tuple[str, str], dict[str, pd.Series]] = {}
    for (stage, name), by_epoch in series.items():
        member = _MEMBER.fullmatch(name)
        family, label = member.group("family", "member") if member else (name, "")
        families.setdefault((stage, family), {})[label] = by_epoch
    drawn = []
    for (stage, family), lines in families.items():
        epochs = next(iter(lines.values())).index.tolist()
        figure, axes = _panel(f"{stage}: {family.replace('_', ' ')}", epochs)
        _draw_lines(axes, lines)
        drawn.append(figure)
    return drawn


def _panel(
    title: str, epochs: Sequence[int]
) -> tuple[matplotlib.figure.Figure, matplotlib.axes.Axes]:
    figure = matplotlib.figure.Figure(_SIZE, layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, fontsize=9, parse_math=False)
    axes.set_xlabel("epoch", fontsize=8)
    axes.tick_params(labelsize=8)
    axes.set_xlim(epochs[0] - 0.5, epochs[-1] + 0.5)
    axes.spines[["top", "right"]].set_visible(False)
    axes.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(5, integer=True))
    return figure, axes


def _draw_lines(axes: matplotlib.axes.Axes, lines: dict[str, pd.Series]) -> None:
    if len(lines) > _LINES_IN_A_PANEL:
        ordered = sorted(lines, key=lambda label: lines[label].iloc[-1])
        half = _LINES_IN_A_PANEL // 2
        lines = {label: lines[label] for label in (*ordered[-half:][::-1], *ordered[:half][::-1])}
    for label, by_epoch in lines.items():
        axes.plot(by_epoch.index, by_epoch, marker=".", label=label)
    if len(lines) > 1:
        for text in axes.legend(fontsize=6).get_texts():
            text.set_parse_math(False)
