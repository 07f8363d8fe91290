"""Several recommenders on the same held-out interactions, each trained from one or several seeds.

The interval of a difference resamples users, the same for all, and the seeds of each recommender:
Efron and Tibshirani, "An Introduction to the Bootstrap" (1993), chapter 8. It is made wider by
Bonferroni's rule for the number of recommenders that are compared with the first.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from tfcdr.ranking import metrics
from tfcdr.ranking.held_out_ranks import Ranks
from tfcdr.row_groups import RowGroups

_RESAMPLES = 2000
_RESAMPLES_AT_ONCE = 100  # a weight for each resample and user
_MISSES = 0.05  # of all intervals of a comparison together


class Contender(NamedTuple):
    """A recommender with one configuration.

    Attributes:
      name: what tables call it.
      ranks: of the same split, one for each seed that it was trained from.
    """

    name: str
    ranks: tuple[Ranks, ...]


class Standing(NamedTuple):
    """How a contender does on one group of users, beside the first contender.

    Attributes:
      name: the contender's.
      group: of interactions.
      users: who have interactions in the group.
      seeds: trainings.
      mean: of the metric over users and seeds; NaN without a user.
      spread: standard deviation of the trainings' means; NaN of a single one.
      gain: over the first contender; the first one's own is 0.
      low: lower end of the gain's interval.
      high: its upper end.
      level: of the interval, such as 0.975.
    """

    name: str
    group: str
    users: int
    seeds: int
    mean: float
    spread: float
    gain: float
    low: float
    high: float
    level: float

    def word(self) -> str:
        """Says what the interval allows to say of this contender beside the first."""
        if self.low > 0:
            return "better"
        return "WORSE" if self.high < 0 else "no measurable difference"


def compare(
    contenders: Sequence[Contender], groups: Sequence[RowGroups], metric: str, seed: int
) -> list[Standing]:
    """Compares contenders with the first of them, by group of interactions.

    Args:
      contenders: at least one; interactions that not all of them rank are left out.
      groups: of interactions, besides all of them.
      metric: "HR@k", "NDCG@k" or "MRR@k"; a user's value is the mean over his interactions.
      seed: of the bootstrap.

    Returns:
      For each group, all interactions first, the standing of each contender.

    Raises:
      ValueError: the contenders have no interaction in common, or the metric is another.
    """
    shared = iter(shared_interactions([ranks for each in contenders for ranks in each.ranks]))
    by_group = [[next(shared).by_group(groups) for _ in each.ranks] for each in contenders]
    standings = []
    for place, group in enumerate(by_group[0][0]):
        values = [np.stack([by_user(of[group], metric) for of in each]) for each in by_group]
        generator = np.random.default_rng((seed, place))
        standings += _standings([each.name for each in contenders], group, values, generator)
    return standings


def left_out(contenders: Sequence[Contender]) -> int:
    """Returns how many interactions some contenders rank and others cannot."""
    every = [ranks.interactions() for contender in contenders for ranks in contender.ranks]
    return len(functools.reduce(pd.Index.union, every)) - len(_in_all(every))


def shared_interactions(each: Sequence[Ranks]) -> list[Ranks]:
    """Returns the ranks of the interactions that all rank, in one order.

    Raises:
      ValueError: there is no such interaction.
    """
    every = [ranks.interactions() for ranks in each]
    shared = _in_all(every)
    if not len(shared) and all(map(len, every)):
        raise ValueError("These ranks are of different interactions.")
    return [
        ranks.only(interactions.get_indexer(shared))
        for ranks, interactions in zip(each, every, strict=True)
    ]


def _in_all(every: Sequence[pd.Index]) -> pd.Index:
    return functools.reduce(pd.Index.intersection, every)


def by_user(ranks: Ranks, metric: str) -> np.ndarray:
    """Returns each user's mean, float64 [users], in the order of their ids."""
    name, cutoff = metrics.split_metric(metric)
    values = pd.Series(metrics.PER_RANK[name](ranks.rank, cutoff), dtype=np.float64)
    return values.groupby(ranks.user).mean().to_numpy()


def _standings(
    names: Sequence[str], group: str, values: Sequence[np.ndarray], generator: np.random.Generator
) -> list[Standing]:
    """Returns the standings in one group.

    Args:
      names: of the contenders.
      group: of interactions.
      values: float64 [seeds, users] of each contender.
      generator: of the bootstrap.
    """
    users = values[0].shape[1]
    level = 1 - _MISSES / max(1, len(values) - 1)
    if not users:
        nothing = (np.nan,) * 5
        return [
            Standing(name, group, 0, len(of), *nothing, level)
            for name, of in zip(names, values, strict=True)
        ]
    resampled = _resampled_means(values, generator)
    standings = []
    for name, of, means in zip(names, values, resampled, strict=True):
        low, high = np.quantile(means - resampled[0], ((1 - level) / 2, (1 + level) / 2))
        trainings = of.mean(1)
        spread = trainings.std(ddof=1) if len(trainings) > 1 else np.nan
        gain = trainings.mean() - values[0].mean(1).mean()
        standings.append(
            Standing(
                name,
                group,
                users,
                seeds=len(of),
                mean=float(trainings.mean()),
                spread=float(spread),
                gain=float(gain),
                low=float(low),
                high=float(high),
                level=level,
            )
        )
    return standings


def _resampled_means(
    values: Sequence[np.ndarray], generator: np.random.Generator
) -> list[np.ndarray]:
    """Returns the mean of each contender over every resample, float64 [resamples]."""
    users = values[0].shape[1]
    pieces = []
    for _ in range(_RESAMPLES // _RESAMPLES_AT_ONCE):
        drawn = generator.multinomial(users, np.full(users, 1 / users), _RESAMPLES_AT_ONCE)
        by_seed = [drawn @ of.T / users for of in values]  # [resamples, seeds]
        seeds = [generator.integers(of.shape[1], size=of.shape) for of in by_seed]
        pieces.append(
            [
                np.take_along_axis(of, which, 1).mean(1)
                for of, which in zip(by_seed, seeds, strict=True)
            ]
        )
    return [np.concatenate(parts) for parts in zip(*pieces, strict=True)]
