"""Ranks held-out interactions, by the full catalogue and among sampled negatives, in one pass.

Every table stands beside those of a most-popular recommender, which ranks by training counts, and
of item neighbours, and is also given for groups of interactions, such as those of cold users
(without training interactions in the ranked domain) and of warm ones.
"""

import dataclasses
import functools
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pandas as pd
import tensorflow as tf

from tfcdr import row_groups
from tfcdr.ranking import metrics
from tfcdr.ranking.catalogue_scan import ItemScorer, Piece, fold_scores
from tfcdr.ranking.id_sets import each_once
from tfcdr.ranking.model import RankingModel, RankingQuery
from tfcdr.ranking.neighbours.bar import ITEM_NEIGHBOURS
from tfcdr.ranking.neighbours.model import NeighbourModel
from tfcdr.repeated_reading import RepeatedReading
from tfcdr.row_groups import RowGroups
from tfcdr.stage_model import Batch

# Items scored at once: a piece of the scores of a batch of 512 is 16 MiB.
_ITEMS_AT_ONCE = 8192
_NEVER_BELOW = float("nan")
PROTOCOLS = ("full", "sampled")
MODEL, MOST_POPULAR = "model", "most popular"
BARS = (MOST_POPULAR, ITEM_NEIGHBOURS)
SCORERS = (MODEL, *BARS)
Batches: TypeAlias = tf.data.Dataset | RepeatedReading


@dataclasses.dataclass(frozen=True)
class EvaluationOptions:
    """How held-out interactions are ranked and which metric decides.

    Attributes:
      ks: cut-offs k of HR@k, NDCG@k, MRR@k and Recall@k.
      monitor: the validation metric that selects the best epoch, such as "NDCG@10" or "AUC".
      protocol: the candidates behind `monitor` and behind the first figures of metrics.json:
        "full" ranks the whole catalogue without the user's other items, "sampled" ranks among
        `negatives` items that the user never took.
      negatives: negatives for each held-out interaction: those that came with the data, or sampled
        distinct ones; 0 leaves the sampled protocol out.
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

    def check_comparable(self) -> None:
        """Raises ValueError if `monitor` cannot say whether a transfer helped."""
        metrics.split_metric(self.monitor)


class Ranks(NamedTuple):
    """Ranks of held-out interactions under one protocol by one scorer.

    Attributes:
      user: int [n], user ids.
      rank: int [n], 1 is best, ties counted against the held-out item.
      competitors: int [n], items that it was ranked among, itself not counted.
      row: int [n], its place among the rows of the evaluation batches, some of which a model may
        be unable to rank.
      item: int [n], the held-out item.
      groups: int [n] by column, what tells groups of interactions apart.
    """

    user: np.ndarray
    rank: np.ndarray
    competitors: np.ndarray
    row: np.ndarray
    item: np.ndarray
    groups: Mapping[str, np.ndarray]

    def only(self, chosen: np.ndarray) -> "Ranks":
        """Keeps the interactions where `chosen`, bool [n], holds."""
        return tf.nest.map_structure(lambda column: column[chosen], self)

    def interactions(self) -> pd.MultiIndex:
        """Tells the interactions apart whatever the view: user, item, how often that came before.

        Two views may have other rows, since each leaves out what says nothing to it.
        """
        pairs = pd.DataFrame({"user": self.user, "item": self.item})
        earlier = pairs.groupby(["user", "item"]).cumcount()
        return pd.MultiIndex.from_arrays([self.user, self.item, earlier])

    def completed(self, other: "Ranks") -> "Ranks":
        """Adds the interactions that are in `other` alone."""
        missing = other.only(~other.interactions().isin(self.interactions()))
        return tf.nest.map_structure(lambda *parts: np.concatenate(parts), self, missing)

    def by_group(self, groups: Sequence[RowGroups]) -> dict[str, "Ranks"]:
        """Returns the interactions of every group, all of them first; see `row_groups.members`."""
        chosen = row_groups.members(groups, self.groups, len(self.rank))
        return {name: self.only(of_group) for name, of_group in chosen.items()}

    def summary(self, ks: Iterable[int]) -> dict[str, float]:
        """Averages the metrics.

        HR, NDCG, MRR (cut at k, and whole) and AUC are means over interactions. Recall@k is the
        mean over users of the share of their held-out items within the top k; it equals HR@k where
        every user has one. AUC is the mean share of competitors ranked below the held-out item.
        """
        if not len(self.rank):
            return {}
        values = {}
        for k in ks:
            for name, per_rank in metrics.PER_RANK.items():
                values[f"{name}@{k}"] = float(per_rank(self.rank, k).mean())
            hits = pd.Series(metrics.PER_RANK["HR"](self.rank, k))
            values[f"Recall@{k}"] = float(hits.groupby(self.user).mean().mean())
        values["MRR"] = float(metrics.reciprocal_rank(self.rank).mean())
        below = 1.0 - (self.rank - 1) / np.maximum(self.competitors, 1)
        values["AUC"] = float(below.mean())
        return values


class HeldOutRanker:
    """Ranks every interaction of a data set by a model and by popularity; traced once."""

    def __init__(
        self,
        model: RankingModel,
        counts: np.ndarray,
        groups: Sequence[RowGroups] = (),
        neighbours: NeighbourModel | None = None,
    ) -> None:
        """Creates the ranker.

        Args:
          model: scores the items.
          counts: int [num_items], training counts of ids 1..num_items, for the most-popular
            scorer.
          groups: groups of interactions to note where the batches have their column.
          neighbours: rank, too, where the batches have `recent_items`; fitted by then.
        """
        self._model = model
        self._neighbours = neighbours
        self._columns = [column for column, _ in groups]
        self._popularity = tf.concat([[0.0], tf.cast(counts, tf.float32)], 0)
        self._ascending_popularity = tf.sort(self._popularity[1:])
        self._rank_batch = {
            protocols: tf.function(
                functools.partial(self._ranks_of_batch, protocols), autograph=False
            )
            for protocols in map(frozenset, (PROTOCOLS, *([protocol] for protocol in PROTOCOLS)))
        }

    def __call__(
        self, batches: Batches, protocols: Collection[str] = PROTOCOLS
    ) -> dict[tuple[str, str], Ranks]:
        """Ranks the interactions of evaluation batches; rows of weight 0 are left out.

        Args:
          batches: of an evaluation view.
          protocols: those that are wanted; the full one costs the most by far.

        Returns:
          Ranks by (protocol, scorer); "sampled" is there if the batches hold candidates.
        """
        # Traced on purpose for each kind of batch; a plain call would warn of many traces.
        rank_batch = self._rank_batch[frozenset(protocols)]
        rank_batch = rank_batch.get_concrete_function(batches.element_spec)
        collected: list[dict[tuple[str, str], Any]] = []
        for batch in batches:
            ranks = rank_batch(batch)
            present = batch["example_weight"].numpy() > 0
            columns = [name for name in ("user", *self._columns) if name in batch]
            ranks["about"] = {name: batch[name] for name in columns}
            ranks["about"]["row"] = tf.range(len(present)) + len(present) * len(collected)
            collected.append(tf.nest.map_structure(lambda t, p=present: t.numpy()[p], ranks))
        joined = tf.nest.map_structure(lambda *parts: np.concatenate(parts), *collected)
        groups = joined.pop("about")
        user, row, item = groups.pop("user"), groups.pop("row"), joined.pop("item")
        return {
            (protocol, scorer): Ranks(
                user, columns[scorer], columns["competitors"], row, item, groups
            )
            for protocol, columns in joined.items()
            for scorer in SCORERS
            if scorer in columns
        }

    def _ranks_of_batch(self, protocols: Collection[str], batch: Batch) -> dict[str, Any]:
        query = self._model.query(batch)
        heard = None  # What neighbours are told of the users.
        if self._neighbours is not None and "recent_items" in batch:
            heard = self._neighbours.user(batch, query.ranked)
        ranks = {"item": query.positive}
        if "full" in protocols:
            ranks["full"] = self._full_ranks(query, heard)
        if "sampled" in protocols and query.candidates is not None:
            ranks["sampled"] = self._sampled_ranks(query, heard)
        return ranks

    def _full_ranks(self, query: RankingQuery, heard: tf.Tensor | None) -> dict[str, tf.Tensor]:
        """Ranks among the catalogue without the user's other items, a piece of it at a time."""
        items = self._model.num_items
        known = each_once(tf.concat([query.excluded, query.positive[:, tf.newaxis]], 1))
        if query.ranked is not None:
            first, last = tf.split(query.ranked, 2, 1)
            known = tf.where((known >= first) & (known <= last), known, 0)
            items = (1 + last - first)[:, 0]
        competitors = items - tf.math.count_nonzero(known, 1, dtype=tf.int32)
        below = {
            MODEL: self._count_below(self._model, query, known),
            MOST_POPULAR: self._less_popular(query, known),
        }
        if heard is not None and self._neighbours is not None:
            asked = query._replace(user=heard)
            below[ITEM_NEIGHBOURS] = self._count_below(self._neighbours, asked, known)
        ranks = {scorer: 1 + competitors - count for scorer, count in below.items()}
        return {**ranks, "competitors": competitors}

    def _less_popular(self, query: RankingQuery, known: tf.Tensor) -> tf.Tensor:
        """Counts like `_count_below`, by popularity."""
        popularity = tf.gather(self._popularity, query.positive)
        if query.ranked is not None:
            # Of a part of the catalogue there is no order that could be searched.
            scores = Popularity(self._popularity, self._model.num_items)
            return self._count_below(scores, query, known)
        less_popular = tf.searchsorted(self._ascending_popularity, popularity, side="left")
        of_known = tf.gather(self._popularity, known)
        return less_popular - metrics.count_below(
            tf.where(known > 0, of_known, _NEVER_BELOW), popularity
        )

    def _count_below(self, scorer: ItemScorer, query: RankingQuery, known: tf.Tensor) -> tf.Tensor:
        """Counts the items, but the known ones, that are scored below the positive.

        Args:
          scorer: scores the items.
          query: the interactions.
          known: int [batch, any], items that do not compete, each once, and zeros.

        Returns:
          Int32 [batch].
        """
        positive = query.positive[:, tf.newaxis]
        items = scorer.num_items
        at_once = scorer.items_at_once or _ITEMS_AT_ONCE
        if items <= at_once:
            piece = Piece(1, scorer.score_range(query.user, 1, items))
            score = piece.look_up(positive)[0][:, 0]
            return _count_in_piece(piece, known, score, query.ranked)

        def take(score: tf.Tensor, piece: Piece) -> tf.Tensor:
            scores, here = piece.look_up(positive)
            return tf.where(here, scores, score)

        # The positive's score comes out of the same products as those that it is compared with:
        # computed by itself, it might differ from a twin's in the last bit.
        start = tf.zeros_like(positive, tf.float32)
        positive_score = fold_scores(scorer, query.user, start, take, at_once)[:, 0]

        def count(below: tf.Tensor, piece: Piece) -> tf.Tensor:
            return below + _count_in_piece(piece, known, positive_score, query.ranked)

        start = tf.zeros_like(query.positive, tf.int32)
        return fold_scores(scorer, query.user, start, count, at_once)

    def _sampled_ranks(self, query: RankingQuery, heard: tf.Tensor | None) -> dict[str, tf.Tensor]:
        scores = {
            MODEL: self._model.score_candidates(query.user, query.candidates),
            MOST_POPULAR: tf.gather(self._popularity, query.candidates),
        }
        if heard is not None and self._neighbours is not None:
            scores[ITEM_NEIGHBOURS] = self._neighbours.score_candidates(heard, query.candidates)
        ranks = {
            scorer: metrics.pessimistic_ranks(scored[:, 0], scored[:, 1:])
            for scorer, scored in scores.items()
        }
        negatives = tf.shape(query.candidates)[1] - 1
        return {**ranks, "competitors": tf.fill(tf.shape(query.positive), negatives)}


class Popularity:
    """Scores items by their training counts, the same for every user."""

    items_at_once: int | None = None

    def __init__(self, popularity: tf.Tensor, num_items: int) -> None:
        """Takes float32 [1 + num_items], the count of each id."""
        self._popularity = popularity
        self.num_items = num_items

    def score_range(self, user: tf.Tensor, first: tf.Tensor | int, count: int) -> tf.Tensor:
        """See `RankingModel.score_range`."""
        scores = tf.slice(self._popularity, (first,), (count,))
        return tf.broadcast_to(scores, (tf.shape(user)[0], count))


def _count_in_piece(
    piece: Piece, known: tf.Tensor, positive_score: tf.Tensor, ranked: tf.Tensor | None
) -> tf.Tensor:
    """Counts a piece's items, but the known ones, below a score [batch]: int32 [batch].

    Args:
      piece: the items.
      known: int [batch, any], each once, and zeros.
      positive_score: float [batch].
      ranked: int [batch, 2], the first and the last id that count; None for all.
    """
    competing = piece.scores
    if ranked is not None:
        ids = piece.first + tf.range(tf.shape(competing)[1])
        counts = (ids >= ranked[:, :1]) & (ids <= ranked[:, 1:])
        competing = tf.where(counts, competing, _NEVER_BELOW)
    scores, here = piece.look_up(known)
    scores = tf.where(here, scores, _NEVER_BELOW)
    in_piece = metrics.count_below(competing, positive_score)
    return in_piece - metrics.count_below(scores, positive_score)


def tabulate(
    ranks: Mapping[tuple[str, str], Ranks], groups: Sequence[RowGroups], ks: Iterable[int]
) -> list[dict[str, object]]:
    """Returns a row for each protocol, group of interactions and scorer.

    Rows have "protocol", "group", "scorer", "interactions" and the metrics by name; these are NaN
    in a group without an interaction.
    """
    rows = []
    for protocol in dict.fromkeys(protocol for protocol, _ in ranks):
        scorers = {scorer: of for (name, scorer), of in ranks.items() if name == protocol}
        by_group = {scorer: scored.by_group(groups) for scorer, scored in scorers.items()}
        for group in next(iter(by_group.values())):
            for scorer in scorers:
                of_group = by_group[scorer][group]
                unknown = dict.fromkeys(by_group[scorer][row_groups.ALL].summary(ks), math.nan)
                about = {"protocol": protocol, "group": group, "scorer": scorer}
                figures = {**unknown, **of_group.summary(ks)}
                rows.append({**about, "interactions": len(of_group.rank), **figures})
    return rows


def format_table(rows: Sequence[dict[str, Any]], monitor: str) -> str:
    """Returns rows of `tabulate` as text for a terminal: the metrics at the monitor's cut-off.

    Args:
      rows: as `tabulate` gives them.
      monitor: such as "NDCG@10"; "AUC" has no cut-off and shows every one, and the whole MRR.
    """
    cutoff = monitor.partition("@")[2]
    table = pd.DataFrame(rows)
    if cutoff:
        shown = [name for name in table if "@" not in name or name.endswith(f"@{cutoff}")]
        table = table[[name for name in shown if name != "MRR"]]
    return table.to_string(index=False, float_format=lambda value: f"{value:.4f}", na_rep="-")
