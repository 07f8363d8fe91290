"""What TiMiRec's interests are about, and whether it weighs them as the target would.

For a few test users, drawn at random.
"""

from collections.abc import Sequence

import matplotlib.figure
import matplotlib.ticker
import numpy as np
import pandas as pd
import tensorflow as tf

from tfcdr.data_source import DataSource
from tfcdr.report_section import Names, Section, sample_rows
from tfcdr.stage import Stage
from tfcdr.systems.timirec.model import FinetuningModel, InterestModel

_USERS = 12
_USERS_IN_A_ROW = 3
_LATEST_ITEMS = 6
_NEAREST_ITEMS = 5
_SEED = 0
# Signs that fit above a panel.
_LONGEST_TITLE = 46


def sections(
    stage: Stage, model: InterestModel, data: DataSource, history_space: str, names: Names
) -> Sequence[Section]:
    """Draws the interests of test users, and their weights if the model predicts them.

    Args:
      stage: the model's.
      model: of either stage.
      data: what it was trained on.
      history_space: the item space of histories.
      names: of items and users.

    Returns:
      Nothing if no test user has a history that the model reads.
    """
    batches = stage.evaluation.batches(data, "test", stage.batch_size, _SEED)
    rows = sample_rows(batches, ("user", "history", "target_item"), _USERS, _SEED)
    if not len(rows["user"]):
        return ()
    users = [names.user(user) for user in rows["user"].tolist()]
    targets = [names.item("target", item) for item in rows["target_item"].tolist()]
    histories = [_latest(history, history_space, names) for history in rows["history"]]
    read = model.read_history(tf.constant(rows["history"]))
    nearest = [
        [[names.item("target", item) for item in items] for items in of_user]
        for of_user in nearest_items(model, read, _NEAREST_ITEMS).tolist()
    ]
    if not isinstance(model, FinetuningModel):
        return (_interests_section(users, histories, targets, nearest, {}),)
    predicted = model.interest_weights(read).numpy()
    taught = model.target_interest_weights(read, tf.constant(rows["target_item"])).numpy()
    weights = {"predicted weight": predicted, "weight in hindsight": taught}
    return (
        Section(
            "interest_weights",
            "How much each interest counts",
            f"Each panel is a test user whose history the model reads as {predicted.shape[1]} "
            "interests: blue is how much it lets each count for the next item, which it does not "
            "know, orange how much each should have counted given the item that the user chose; "
            "the more alike the two, the better, and the dotted line is an equal share.",
            weights_figure(users, targets, predicted, taught),
        ),
        _interests_section(users, histories, targets, nearest, weights),
    )


def nearest_items(model: InterestModel, history: tf.Tensor, count: int) -> np.ndarray:
    """Finds the target items with the largest inner product with each interest.

    Args:
      model: of either stage.
      history: int32 [users, T].
      count: items for each interest; fewer if the catalogue is smaller.

    Returns:
      Target ids int32 [users, K, count], nearest first.
    """
    items = model.item_factors()[0][1 : model.num_items + 1]
    interests = tf.cast(model.interests(history), items.dtype)
    count = min(count, model.num_items)
    # User by user, so that a large catalogue fits.
    places = [tf.math.top_k(tf.matmul(of, items, transpose_b=True), count)[1] for of in interests]
    return tf.stack(places).numpy() + 1


def weights_figure(
    users: Sequence[str], targets: Sequence[str], predicted: np.ndarray, taught: np.ndarray
) -> matplotlib.figure.Figure:
    """Draws a panel a user with two bars for each interest.

    Args:
      users: their names.
      targets: the items that they chose next.
      predicted: float [users, K], the predictor's weights.
      taught: float [users, K], the target items' weights.
    """
    lines = -(-len(users) // _USERS_IN_A_ROW)
    figure = matplotlib.figure.Figure((11, 2.2 * lines + 0.7), layout="constrained")
    grid = figure.subplots(lines, _USERS_IN_A_ROW, sharex=True, sharey=True, squeeze=False)
    numbers = np.arange(1, predicted.shape[1] + 1)
    for axes in grid.flat[len(users) :]:
        axes.set_axis_off()
    for axes, user, target, ours, theirs in zip(
        grid.flat, users, targets, predicted, taught, strict=False
    ):
        axes.bar(numbers - 0.2, ours, 0.4, label="predicted from the history")
        axes.bar(numbers + 0.2, theirs, 0.4, label="in hindsight, by the item chosen next")
        axes.axhline(1 / len(numbers), color="0.4", linestyle=":", linewidth=1)
        title = f"{_shortened(f'user {user}')}\n{_shortened(f'next: {target}')}"
        axes.set_title(title, fontsize=9, parse_math=False)
        axes.set_xticks(numbers)
        axes.yaxis.set_major_formatter(matplotlib.ticker.PercentFormatter(1, decimals=0))
        axes.tick_params(labelbottom=True)
    figure.supxlabel("interest")
    figure.supylabel("weight")
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2)
    return figure


def _interests_section(
    users: Sequence[str],
    histories: Sequence[str],
    targets: Sequence[str],
    nearest: Sequence[Sequence[Sequence[str]]],
    weights: dict[str, np.ndarray],
) -> Section:
    keys = [key for key in zip(users, histories, targets, strict=True) for _ in nearest[0]]
    columns = {
        "interest": [number for of_user in nearest for number in range(1, len(of_user) + 1)],
        **{name: [f"{100 * w:.0f} %" for w in table.flat] for name, table in weights.items()},
        "nearest items": ["; ".join(items) for of_user in nearest for items in of_user],
    }
    table = pd.DataFrame(
        columns, pd.MultiIndex.from_tuples(keys, names=("user", "latest items", "next item"))
    )
    weighed = ", its weights as in the picture," if weights else ""
    return Section(
        "interests",
        "What the interests are about",
        "For each user the latest items of the history (newest first), the item chosen next, and "
        f"for each interest{weighed} the items of the target that are nearest to it (nearest "
        "first): the items of one interest should have something in common, and interests that "
        "share their items are the same one twice.",
        table,
    )


def _latest(history: np.ndarray, space: str, names: Names) -> str:
    items = history[history > 0][::-1].tolist()
    shown = [names.item(space, item) for item in items[:_LATEST_ITEMS]]
    more = len(items) - len(shown)
    return "\n".join([*shown, f"and {more} more"] if more else shown)


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_TITLE else f"{text[: _LONGEST_TITLE - 1]}…"
