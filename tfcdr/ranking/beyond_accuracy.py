"""What is recommended besides the right items: how much of the catalogue, and how popular it is."""

from collections.abc import Iterable, Sequence

import numpy as np
import tensorflow as tf

from tfcdr import row_groups
from tfcdr.ranking.catalogue_scan import ItemScorer
from tfcdr.ranking.held_out_ranks import MODEL, MOST_POPULAR, Batches, Popularity
from tfcdr.ranking.model import RankingModel, RankingQuery
from tfcdr.ranking.neighbours.bar import ITEM_NEIGHBOURS
from tfcdr.ranking.neighbours.model import NeighbourModel
from tfcdr.ranking.retrieval import MISSING_SCORE, best_by_every_score
from tfcdr.row_groups import RowGroups
from tfcdr.stage_model import Batch

COVERAGE, POPULARITY = "coverage", "popularity"
NAMES = (COVERAGE, POPULARITY)


def measure(
    model: RankingModel,
    neighbours: NeighbourModel,
    counts: np.ndarray,
    batches: Batches,
    groups: Sequence[RowGroups],
    ks: Sequence[int],
) -> dict[tuple[str, str], dict[str, float]]:
    """Recommends at every held-out interaction, without the user's other items.

    coverage@k is the share of the ranked items that are among the k of anybody; popularity@k is the
    mean number of training interactions of the recommended items.

    Args:
      model: recommends.
      neighbours: stand beside it where the batches have `recent_items`; fitted by then.
      counts: int [num_items], training interactions.
      batches: of an evaluation view; rows of weight 0 are left out.
      groups: of interactions.
      ks: cut-offs.

    Returns:
      Figures by name, such as "coverage@10", for each group and scorer; NaN in an empty group.
    """
    popularity = Popularity(tf.constant(np.append(0, counts), tf.float32), len(counts))
    most = max(ks)
    columns = [column for column, _ in groups]

    @tf.function(autograph=False)
    def recommend(batch: Batch) -> dict[str, tf.Tensor]:
        query = model.query(batch)
        asked: dict[str, tuple[ItemScorer, tf.Tensor]] = {
            MODEL: (model, query.user),
            MOST_POPULAR: (popularity, query.user),
        }
        if "recent_items" in batch:
            asked[ITEM_NEIGHBOURS] = neighbours, neighbours.user(batch, query.ranked)
        return {
            name: best_new(scorer, query._replace(user=user), most)
            for name, (scorer, user) in asked.items()
        }

    collected = []
    for batch in batches:
        present = batch["example_weight"].numpy() > 0
        rows = {name: ids.numpy()[present] for name, ids in recommend(batch).items()}
        rows["groups"] = {name: batch[name].numpy()[present] for name in columns if name in batch}
        collected.append(rows)
    whole = tf.nest.map_structure(lambda *parts: np.concatenate(parts), *collected)
    of_groups = whole.pop("groups")
    chosen = row_groups.members(groups, of_groups, len(whole[MODEL]))
    return {
        (group, name): _figures(ids[rows], counts, ks)
        for name, ids in whole.items()
        for group, rows in chosen.items()
    }


def _figures(ids: np.ndarray, counts: np.ndarray, ks: Iterable[int]) -> dict[str, float]:
    found = {}
    for k in ks:
        best = ids[:, :k][ids[:, :k] > 0]
        empty = not len(best)
        found[f"{COVERAGE}@{k}"] = np.nan if empty else len(np.unique(best)) / len(counts)
        found[f"{POPULARITY}@{k}"] = np.nan if empty else float(counts[best - 1].mean())
    return found


def best_new(scorer: ItemScorer, query: RankingQuery, k: int) -> tf.Tensor:
    """Returns int32 [batch, k], the best items that the user has not taken before, or later.

    0 stands where there are no more.
    """
    # The held-out item may be recommended, though a view counts it among what the user has taken.
    own = query.excluded == tf.cast(query.positive, query.excluded.dtype)[:, tf.newaxis]
    seen = tf.cast(tf.where(own, 0, query.excluded), tf.int32)
    ranked = _Within(scorer, query.ranked)
    ids, scores = best_by_every_score(ranked, query.user, seen, k)
    return tf.where(scores > MISSING_SCORE, ids, 0)


class _Within:
    """Scores items of a part of the catalogue, another for each user; others score lowest."""

    def __init__(self, scorer: ItemScorer, ranked: tf.Tensor | None) -> None:
        self._scorer, self._ranked = scorer, ranked
        self.num_items, self.items_at_once = scorer.num_items, scorer.items_at_once

    def score_range(self, user: tf.Tensor, first: tf.Tensor | int, count: int) -> tf.Tensor:
        scores = self._scorer.score_range(user, first, count)
        if self._ranked is None:
            return scores
        ids = first + tf.range(count)
        inside = (ids >= self._ranked[:, :1]) & (ids <= self._ranked[:, 1:])
        return tf.where(inside, scores, MISSING_SCORE)
