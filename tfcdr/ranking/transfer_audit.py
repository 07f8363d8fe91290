"""The transfer audit: whom the other domains help, over trainings, users and amounts of history.

Each training with transfer stands beside one without, of the same split, settings and seed. Both
rank the same interactions, and a group's interval is over its users and over trainings. Those of
groups are widened by Bonferroni's rule for how many groups there are, so that few stand out by
chance.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from tfcdr.ranking import paired_bootstrap
from tfcdr.ranking.held_out_ranks import Ranks
from tfcdr.row_groups import ALL, RowGroups
from tfcdr.transfer_gain import TransferGain

# The least number of interactions of each group of users, with its name.
_SIZES = {"none": 0, "1 to 4": 1, "5 to 19": 5, "20 and more": 20}
OWN, OTHERS = "history there", "history elsewhere"
_MISSES = 0.05
# Of fewer, a bootstrap knows nothing: those who agree have an interval without width.
_FEWEST_USERS = 30


class Audit(NamedTuple):
    """What an audit found.

    Attributes:
      whole: the gain over all interactions, with a 95 % interval.
      groups: that of each group with enough users, with a wider interval.
      small: the other groups' gains, whose intervals say nothing.
      level: of the groups' intervals, such as 0.99.
      trainings: pairs of trainings.
    """

    whole: TransferGain
    groups: Mapping[str, TransferGain]
    small: Mapping[str, TransferGain]
    level: float
    trainings: int


def history_groups() -> tuple[RowGroups, RowGroups]:
    """Returns the groups by how much of the user trains: there, and in the other domains."""
    first, second = (
        RowGroups(column, {f"{column}: {name}": place for place, name in enumerate(_SIZES)})
        for column in (OWN, OTHERS)
    )
    return first, second


def with_history_sizes(ranks: Ranks, own: np.ndarray, others: np.ndarray) -> Ranks:
    """Adds the columns of `history_groups`.

    Args:
      ranks: of n interactions.
      own: int [n], the user's training interactions with the answer's domain.
      others: int [n], those with all others.
    """
    least = np.array(list(_SIZES.values()))
    columns = {
        name: np.searchsorted(least, counts, side="right") - 1
        for name, counts in ((OWN, own), (OTHERS, others))
    }
    return ranks._replace(groups={**ranks.groups, **columns})


def audit(
    trainings: Sequence[tuple[Ranks, Ranks]], groups: Sequence[RowGroups], metric: str, seed: int
) -> Audit:
    """Compares trainings with transfer and without.

    Args:
      trainings: ranks of the same split by both; one pair for each training.
      groups: of interactions, whose columns the ranks have.
      metric: "HR@k", "NDCG@k" or "MRR@k".
      seed: of the bootstrap.

    Raises:
      ValueError: the interactions differ, or the metric is another.
    """
    of_each = [
        paired_bootstrap.measure_groups(ours, others, groups, metric, seed)
        for ours, others in trainings
    ]
    members = trainings[0][0].by_group(groups)
    users = {name: len(np.unique(ranks.user)) for name, ranks in members.items()}
    enough = [name for name in members if name != ALL and users[name] >= _FEWEST_USERS]
    level = 1 - _MISSES / max(1, len(enough))

    def joined(name: str, level: float) -> TransferGain:
        return TransferGain.over_trainings([of[name] for of in of_each], level)

    return Audit(
        whole=joined(ALL, 1 - _MISSES),
        groups={name: joined(name, level) for name in enough},
        small={name: joined(name, level) for name in members if name not in (ALL, *enough)},
        level=level,
        trainings=len(trainings),
    )


def advice(found: Audit, bars: Mapping[str, float]) -> list[str]:
    """Says in plain words what to do.

    Args:
      found: the audit.
      bars: by name, the same figure of what is above both models by its interval.

    Returns:
      Sentences, the most important first.
    """
    whole, metric = found.whole, found.whole.metric
    if not np.isfinite(whole.gain):
        return ["Nothing can be said: both trainings have no test interaction in common."]
    sure = f"{whole.low:+.4f} to {whole.high:+.4f}"
    trained = "one training" if found.trainings == 1 else f"{found.trainings} trainings"
    seen = f"{metric} {whole.transfer:.4f} with the other domains, {whole.no_transfer:.4f} without"
    measured = f"({seen}; difference {whole.gain:+.4f}, 95 % sure of {sure}, {trained})"
    if whole.low > 0:
        first = f"Keep the transfer: lists are better by {_percent(whole)} {measured}."
    elif whole.high < 0:
        first = f"Switch the transfer OFF: it makes lists worse by {_percent(whole)} {measured}."
    else:
        first = (
            "The transfer makes no difference that could be measured, so that the target alone, "
            f"which is less to keep up, does {measured}."
        )
    said = [first]
    groups = found.groups
    for word, text in (("helped", "It helps"), ("HURT", "It HURTS")):
        named = [name for name, gain in groups.items() if gain.word() == word]
        if named and (word != whole.word() or len(named) < len(groups)):
            listed = ", ".join(f"{name} ({groups[name].gain:+.4f})" for name in named)
            said.append(f"{text} these groups measurably: {listed}.")
    if bars:
        name = max(bars, key=lambda bar: bars[bar])
        said.append(f"Either way serve {name}, which have {bars[name]:.4f}.")
    if found.trainings == 1:
        said.append("One training says nothing about another: train with --seeds=3 to be sure.")
    return said


def _percent(gain: TransferGain) -> str:
    if not gain.no_transfer:
        return f"{abs(gain.gain):.4f}"
    return f"{100 * abs(gain.gain) / gain.no_transfer:.0f} %"
