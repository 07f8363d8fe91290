"""Ranks held-out interactions, by the full catalogue and among sampled negatives, in one pass.

Every table stands beside that of a most-popular recommender, which ranks by training counts, and
is also given for cold users (without training interactions in the ranked domain) and warm ones.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
import tensorflow as tf

from tfcdr import metrics
from tfcdr.ranking import RankingModel, RankingQuery
from tfcdr.stage_model import Batch

PROTOCOLS = ("full", "sampled")
MODEL, MOST_POPULAR = "model", "most popular"


@dataclasses.dataclass(frozen=True)
class EvaluationOptions:
    """How held-out interactions are ranked and which metric decides.

    Attributes:
      ks: cut-offs k of HR@k, NDCG@k, MRR@k and Recall@k.
      monitor: the validation metric that selects the best epoch, such as "NDCG@10" or "AUC".
      protocol: the candidates behind `monitor` and behind the first figures of metrics.json:
        "full" ranks the whole catalogue without the user's other items, "sampled" ranks among
        `negatives` items that the user never took.
      negatives: distinct sampled negatives for each held-out interaction; 0 leaves the sampled
        protocol out.
      batch_size: held-out interactions scored at once.
    """

    ks: tuple[int, ...] = (1, 5, 10, 20)
    monitor: str = "NDCG@10"
    protocol: str = "full"
    negatives: int = 99
    batch_size: int = 512

    def __post_init__(self) -> None:
        """Refuses values that do not fit together.

        Raises:
          ValueError: naming the field.
        """
        if not self.ks or min(self.ks) < 1:
            raise ValueError(f"ks must be positive cut-offs. Received: {self.ks}.")
        names = [*(f"{name}@{k}" for k in self.ks for name in (*metrics.PER_RANK, "Recall")), "AUC"]
        if self.monitor not in names:
            raise ValueError(f"monitor must be one of {names}. Received: {self.monitor!r}.")
        if self.protocol not in PROTOCOLS:
            raise ValueError(f"protocol must be full or sampled. Received: {self.protocol!r}.")
        if self.negatives < 0 or (self.protocol == "sampled" and not self.negatives):
            raise ValueError(
                "negatives must be at least 0, and positive for protocol=sampled. "
                f"Received: {self.negatives}."
            )
        if self.batch_size < 1:
            raise ValueError(f"batch_size must be positive. Received: {self.batch_size}.")


class Ranks(NamedTuple):
    """Ranks of held-out interactions under one protocol by one scorer.

    Attributes:
      user: int [n], user ids.
      cold: bool [n].
      rank: int [n], 1 is best, ties counted against the held-out item.
      competitors: int [n], items that it was ranked among, itself not counted.
    """

    user: np.ndarray
    cold: np.ndarray
    rank: np.ndarray
    competitors: np.ndarray

    def only(self, chosen: np.ndarray) -> "Ranks":
        """Keeps the interactions where `chosen`, bool [n], holds."""
        return Ranks(*(column[chosen] for column in self))

    def summary(self, ks: Iterable[int]) -> dict[str, float]:
        """Averages the metrics.

        HR, NDCG, MRR (cut at k) and AUC are means over interactions. Recall@k is the mean over
        users of the share of their held-out items within the top k; it equals HR@k where every
        user has one. AUC is the mean share of competitors ranked below the held-out item.
        """
        if not len(self.rank):
            return {}
        values = {}
        for k in ks:
            for name, per_rank in metrics.PER_RANK.items():
                values[f"{name}@{k}"] = float(per_rank(self.rank, k).mean())
            hits = pd.Series(metrics.PER_RANK["HR"](self.rank, k))
            values[f"Recall@{k}"] = float(hits.groupby(self.user).mean().mean())
        below = 1.0 - (self.rank - 1) / np.maximum(self.competitors, 1)
        values["AUC"] = float(below.mean())
        return values


class HeldOutRanker:
    """Ranks every interaction of a data set by a model and by popularity; traced once."""

    def __init__(self, model: RankingModel, counts: np.ndarray) -> None:
        """Creates the ranker.

        Args:
          model: scores the items.
          counts: int [num_items], training counts of ids 1..num_items, for the most-popular
            scorer.
        """
        self._model = model
        self._popularity = tf.concat([[0.0], tf.cast(counts, tf.float32)], 0)
        self._rank_batch = tf.function(self._ranks_of_batch)

    def __call__(self, batches: tf.data.Dataset) -> dict[tuple[str, str], Ranks]:
        """Ranks the interactions of evaluation batches; rows of weight 0 are left out.

        Returns:
          Ranks by (protocol, scorer); "sampled" is there if the batches hold candidates.
        """
        # Traced on purpose for each kind of batch; a plain call would warn of many traces.
        rank_batch = self._rank_batch.get_concrete_function(batches.element_spec)
        collected = []
        for batch in batches:
            ranks = rank_batch(batch)
            ranks["about"]["user"] = batch["user"]
            present = batch["example_weight"].numpy() > 0
            collected.append(tf.nest.map_structure(lambda t, p=present: t.numpy()[p], ranks))
        joined = tf.nest.map_structure(lambda *parts: np.concatenate(parts), *collected)
        about = joined.pop("about")
        return {
            (protocol, scorer): Ranks(
                about["user"], about["cold"] > 0, columns[scorer], columns["competitors"]
            )
            for protocol, columns in joined.items()
            for scorer in (MODEL, MOST_POPULAR)
        }

    def _ranks_of_batch(self, batch: Batch) -> dict[str, dict[str, tf.Tensor]]:
        query = self._model.query(batch)
        ranks = {"about": {"cold": query.cold}, "full": self._full_ranks(query)}
        if query.candidates is not None:
            ranks["sampled"] = self._sampled_ranks(query)
        return ranks

    def _full_ranks(self, query: RankingQuery) -> dict[str, tf.Tensor]:
        items = self._popularity.shape[0]
        rows = tf.range(tf.shape(query.positive)[0])[:, tf.newaxis]
        # Left out of the catalogue: padding, the user's other items, the positive itself.
        known = tf.concat([tf.zeros_like(rows), query.excluded, query.positive[:, tf.newaxis]], 1)
        places = tf.stack([tf.broadcast_to(rows, tf.shape(known)), known], -1)
        left_out = tf.scatter_nd(places, tf.ones_like(known), (tf.shape(rows)[0], items)) > 0
        # Rows behind the items are tokens such as CLS, which nobody can be recommended.
        catalogue = self._model.score_catalogue(query.user)[:, :items]
        scores = {
            MODEL: catalogue,
            MOST_POPULAR: tf.broadcast_to(self._popularity, tf.shape(catalogue)),
        }
        ranks = {
            scorer: metrics.pessimistic_ranks(
                tf.gather(scored, query.positive, batch_dims=1), scored, left_out
            )
            for scorer, scored in scores.items()
        }
        return {**ranks, "competitors": tf.reduce_sum(tf.cast(~left_out, tf.int32), -1)}

    def _sampled_ranks(self, query: RankingQuery) -> dict[str, tf.Tensor]:
        scores = {
            MODEL: self._model.score_candidates(query.user, query.candidates),
            MOST_POPULAR: tf.gather(self._popularity, query.candidates),
        }
        ranks = {
            scorer: metrics.pessimistic_ranks(scored[:, 0], scored[:, 1:])
            for scorer, scored in scores.items()
        }
        negatives = tf.shape(query.candidates)[1] - 1
        return {**ranks, "competitors": tf.fill(tf.shape(query.positive), negatives)}


def tabulate(ranks: Mapping[tuple[str, str], Ranks], ks: Iterable[int]) -> list[dict[str, object]]:
    """Returns a row for each protocol, group of users (all, cold, warm) and scorer.

    Rows have "protocol", "users", "scorer", "interactions" and the metrics by name. Groups
    without an interaction are left out.
    """
    rows = []
    for (protocol, scorer), scored in ranks.items():
        groups = {
            "all": scored,
            "cold": scored.only(scored.cold),
            "warm": scored.only(~scored.cold),
        }
        for users, group in groups.items():
            if len(group.rank):
                about = {"protocol": protocol, "users": users, "scorer": scorer}
                rows.append({**about, "interactions": len(group.rank), **group.summary(ks)})
    return sorted(
        rows, key=lambda row: (row["protocol"], ("all", "cold", "warm").index(row["users"]))
    )


def format_table(rows: list[dict[str, object]], monitor: str) -> str:
    """Returns rows of `tabulate` as text for a terminal: the metrics at the monitor's cut-off.

    Args:
      rows: as `tabulate` gives them.
      monitor: such as "NDCG@10"; "AUC" has no cut-off and shows every one.
    """
    cutoff = monitor.partition("@")[2]
    table = pd.DataFrame(rows)
    shown = [name for name in table if "@" not in name or name.endswith(f"@{cutoff}") or not cutoff]
    return table[shown].to_string(index=False, float_format=lambda value: f"{value:.4f}")
