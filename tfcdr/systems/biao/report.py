"""What a finished run's page shows of the weights: by size, by rating, by category."""

from collections.abc import Sequence

import matplotlib.figure
import pandas as pd
import tensorflow as tf

from tfcdr.data_source import DataSource
from tfcdr.report_section import Section
from tfcdr.stage import Stage
from tfcdr.stage_model import Batch
from tfcdr.systems.biao.model import BiaoModel
from tfcdr.systems.biao.weight_figures import WeightFigures

_SEED = 0
# Categories at either end of the table, and how many behaviours one must have to be there.
_SHOWN = 10
_LEAST_ROWS = 20


def sections(stage: Stage, model: BiaoModel, data: DataSource) -> Sequence[Section]:
    """Weighs the source behaviours of one pass over the training rows.

    Args:
      stage: the model's.
      model: at its best epoch.
      data: what it was trained on.

    Returns:
      Nothing if no weights were learned.
    """
    if model.importance is None:
        return ()
    found = _weigh(stage, model, data)
    return (
        Section(
            "behaviour_weights",
            "Weights of source behaviours",
            "A relative weight of 1 is what a behaviour has where nothing is learned. Left, how "
            "many behaviours have a weight up to each bound; then the mean weight by source domain "
            f"and by rating. The weight is spread as over {found.effective_share():.0%} of the "
            "behaviours (effective share).",
            _figure(found),
        ),
        Section(
            "transferable_categories",
            "The most and the least transferable categories",
            f"Mean relative weights of the source categories with at least {_LEAST_ROWS} "
            "behaviours: those that count most for the target first, those that count least last.",
            _table(found),
        ),
    )


def _weigh(stage: Stage, model: BiaoModel, data: DataSource) -> WeightFigures:
    found = WeightFigures(model.categories, model.domains)

    @tf.function
    def add(batch: Batch) -> None:
        found.add(batch, model.weights_of(batch), model.sharing_rows(batch))

    for batch in stage.steps_read.batches(data, "train", stage.batch_size, _SEED):
        add(batch)
    return found


def _figure(found: WeightFigures) -> matplotlib.figure.Figure:
    figure = matplotlib.figure.Figure((12, 3), layout="constrained")
    by_size, *by_label = figure.subplots(1, 3)
    shares = found.shares()
    by_size.bar(list(shares), list(shares.values()))
    by_size.set(title="share of behaviours", xlabel="relative weight up to", ylim=(0, 1))
    for axes, label in zip(by_label, ("domain", "rating"), strict=True):
        means = found.means(label)
        axes.bar(list(means), [mean for mean, _ in means.values()])
        axes.axhline(1, color="grey", linewidth=1)
        axes.set(title="mean relative weight", xlabel=label)
    return figure


def _table(found: WeightFigures) -> pd.DataFrame:
    rows = [
        {"category": name, "weight": mean, "behaviours": count}
        for name, (mean, count) in found.means("category").items()
        if count >= _LEAST_ROWS
    ]
    table = pd.DataFrame(rows, columns=["category", "weight", "behaviours"])
    table = table.sort_values("weight", ascending=False, kind="stable", ignore_index=True)
    if len(table) <= 2 * _SHOWN:
        return table
    return pd.concat([table.head(_SHOWN), table.tail(_SHOWN)])
