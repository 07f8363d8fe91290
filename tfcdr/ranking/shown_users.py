"""Test users for a person to look at: what they did, what they took next, what is recommended."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tfcdr.ranking.beyond_accuracy import best_new
from tfcdr.ranking.held_out_ranks import Batches
from tfcdr.ranking.model import RankingModel
from tfcdr.report_section import Names, ShownUser, sample_rows

_LATEST, _RECOMMENDED = 8, 10
_SEED = 0


def draw(
    model: RankingModel,
    batches: Batches,
    history_space: str,
    catalogue: str,
    names: Names,
    number: int,
) -> Sequence[ShownUser]:
    """Draws held-out interactions, each as likely as any other, and recommends at them.

    Args:
      model: recommends.
      batches: of an evaluation view; nobody is drawn if they have no `recent_items`, int64
        [batch, any], oldest first behind zeros.
      history_space: the item space of these.
      catalogue: the item space that is ranked.
      names: of items and users.
      number: of users; fewer if there are no more.
    """
    if "recent_items" not in batches.element_spec:
        return ()
    rows = sample_rows(batches, list(batches.element_spec), number, _SEED)
    if not len(rows["user"]):
        return ()
    query = model.query({name: tf.constant(values) for name, values in rows.items()})
    best = best_new(model, query, _RECOMMENDED).numpy()
    held_out = np.asarray(query.positive)
    shown = []
    for place, user in enumerate(rows["user"].tolist()):
        history = [item for item in rows["recent_items"][place].tolist() if item][-_LATEST:]
        recommended = [item for item in best[place].tolist() if item]
        target = int(held_out[place])
        shown.append(
            ShownUser(
                name=names.user(user),
                history=[names.item(history_space, item) for item in reversed(history)],
                held_out=names.item(catalogue, target),
                recommended=[names.item(catalogue, item) for item in recommended],
                hit=recommended.index(target) if target in recommended else None,
            )
        )
    return shown
