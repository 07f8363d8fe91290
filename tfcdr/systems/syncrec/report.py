"""How much the task of each domain listens to each expert, over test users."""

from collections.abc import Sequence

import matplotlib.figure
import numpy as np
import tensorflow as tf

from tfcdr.data_source import DataSource
from tfcdr.report_section import Section, sample_rows
from tfcdr.stage import Stage
from tfcdr.systems.syncrec.model import SyncRecModel

_ROWS = 512
_ROWS_AT_ONCE = 128
_SEED = 0


def sections(stage: Stage, model: SyncRecModel, data: DataSource) -> Sequence[Section]:
    """Draws the mean gate of each task over test rows drawn at random.

    Args:
      stage: the model's.
      model: trained.
      data: what it was trained on.

    Returns:
      Nothing if there is no test row.
    """
    batches = stage.evaluation.batches(data, "test", stage.batch_size, _SEED)
    rows = sample_rows(batches, ("items", "domains"), _ROWS, _SEED)
    if not len(rows["items"]):
        return ()
    usage = gate_usage(model, rows["items"], rows["domains"])
    names = [*data.vocabulary("joint").domain_sizes, "cross-domain"]
    return (
        Section(
            "gate_usage",
            "Which experts each domain's task listens to",
            "Each line is a task, the last one that of all domains together, each column an "
            "expert: single experts learn from the single-domain tasks, cross experts from the "
            "cross-domain task. The darker, the more of the task's output is that expert's; lines "
            "that look alike belong to domains that use the same knowledge.",
            usage_figure(names, usage, model.config.single_experts),
        ),
    )


def gate_usage(model: SyncRecModel, items: np.ndarray, domains: np.ndarray) -> np.ndarray:
    """Returns float [D + 1, E], each task's mean gate over the rows that it has an item of.

    Args:
      model: trained.
      items: int32 [rows, T].
      domains: int32 [rows, T].
    """
    number = len(model.domain_sizes)
    total, counts = np.zeros((number + 1, model.config.experts)), np.zeros((number + 1, 1))
    tasks = np.arange(1, number + 1)[:, np.newaxis, np.newaxis]
    for start in range(0, len(items), _ROWS_AT_ONCE):
        chosen = slice(start, start + _ROWS_AT_ONCE)
        gates = model.task_gates(tf.constant(items[chosen]), tf.constant(domains[chosen])).numpy()
        reads = np.any(domains[chosen] == tasks, axis=-1)
        reads = np.concatenate([reads, np.any(items[chosen] > 0, axis=-1)[np.newaxis]])
        total += (gates * reads[..., np.newaxis]).sum(1)
        counts += reads.sum(1, keepdims=True)
    return total / np.maximum(counts, 1)


def usage_figure(
    tasks: Sequence[str], usage: np.ndarray, single_experts: int
) -> matplotlib.figure.Figure:
    """Draws a table of shades.

    Args:
      tasks: names of the lines.
      usage: float [tasks, E].
      single_experts: how many of the experts are single ones; they come first.
    """
    experts = usage.shape[1]
    figure = matplotlib.figure.Figure(
        (2.5 + 0.8 * experts, 1.2 + 0.4 * len(tasks)), layout="constrained"
    )
    axes = figure.subplots()
    image = axes.imshow(usage, cmap="Blues", vmin=0, aspect="auto")
    names = [f"single {number}" for number in range(1, single_experts + 1)]
    names += [f"cross {number}" for number in range(1, experts - single_experts + 1)]
    axes.set_xticks(range(experts), names, rotation=30, ha="right")
    axes.set_yticks(range(len(tasks)), tasks, parse_math=False)
    for (task, expert), value in np.ndenumerate(usage):
        colour = "white" if value > usage.max() / 2 else "black"
        axes.text(expert, task, f"{value:.2f}", ha="center", va="center", color=colour)
    figure.colorbar(image, ax=axes, label="mean gate")
    return figure
