"""Reader `synthetic`: demo logs in which the same latent interests drive every domain.

How a log is drawn:

1. Every item belongs to one interest. Interests, and the items within an interest, have Zipf
   popularities (weight 1/(rank + offset)).
2. A user has up to three interests with the weights 6:3:1, the same in all domains.
3. Source sequences: the interest of an event persists with probability 0.8 (an option), otherwise
   it is drawn anew from the user's. While it persists, the next item is with probability 0.5 one of
   the two successors of the last one (the items of an interest stand in a ring), otherwise drawn by
   popularity. This is the order that a next-item model learns.
4. Target events are few and distinct, their interests drawn from the user's, without order. They
   begin half-way through the source sequence. What a user did in the source tells the interests,
   and so the target items, far better than popularity does; too few target events are there to
   learn the meaning of the source items from them alone.
5. A share of the users has no target event at all, as in real life: they help pre-training and are
   whom an exported model meets. To measure cold users, let the split hold out all target events
   of others (`--examples.cold_share`).
6. The noise domain's events are drawn by popularity alone, whatever the user's interests.
7. With ratings, an item's category is its interest. A user likes an item (rates it 4 or 5 rather
   than 1 to 3) with probability a + b - 1/2, kept in [0.05, 0.95]: a says how easily the user likes
   anything, b how well the interest is liked, each drawn once and the same in the sources and the
   target. In the noise domain every other item is liked, at random. So what a user likes in the
   sources tells what he likes in the target, and the noise tells the wrong thing.

Only uniform draws of PCG64, divisions and sums are used, so that a seed gives the same log on
every platform.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pandas as pd

from data_pipelines.errors import DataError
from data_pipelines.logs import InteractionLog
from data_pipelines.readers.options import require_no_inputs
from data_pipelines.readers.reader import Reader

TARGET = "target"
NOISE = "noise"

_INTEREST_SHARES = np.array([0.6, 0.3, 0.1])
# Offsets of the Zipf weights 1/(rank + offset): with them and the default sizes, a tenth of the
# items gets two fifths of the events.
_INTEREST_OFFSET = 4
_ITEM_OFFSET = 1
_LIKED_AT_LEAST, _LIKED_AT_MOST, _LIKED_NOISE = 0.05, 0.95, 0.5
_LIKED_RATINGS, _OTHER_RATINGS = (4, 5), (1, 2, 3)
_SUCCESSION = 0.5
_START = 1_672_531_200  # 2023-01-01 00:00:00 UTC
_DAY = 86_400


@dataclasses.dataclass(frozen=True)
class SyntheticOptions:
    """Sizes of the demo log.

    Attributes:
      users: number of users.
      source_items: items of each source domain.
      target_items: items of the target domain.
      source_persistence: probability that a source event is of the interest of the one before it;
        with 0 sources have no order either.
      source_domains: number of source domains that share the users' interests. They are called
        source, source_2, source_3 and so on.
      noise_source: whether to add a source domain, noise, that has nothing to do with interests.
      noise_length: mean number of its events of a user, as for sources and within the same time; 0
        for as many as in a source.
      interests: number of latent interests.
      source_length: mean number of events of a user in each source domain, from half to one and
        a half times as many.
      target_length: mean number of target events of a user who has any, 2 fewer to 2 more.
      cold_users: share of users without any target event.
      ratings: whether events have ratings, and items categories.
      seed: of all draws.
    """

    users: int = 4000
    source_items: int = 1000
    target_items: int = 800
    source_persistence: float = 0.8
    source_domains: int = 1
    noise_source: bool = False
    noise_length: int = 0
    interests: int = 40
    source_length: int = 18
    target_length: int = 5
    cold_users: float = 0.2
    ratings: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        smallest = {
            "users": 1,
            "source_domains": 1,
            "interests": 1,
            "source_length": 2,
            "target_length": 3,
            "seed": 0,
        }
        for name in ("source_items", "target_items"):
            smallest[name] = self.interests
        for name, least in smallest.items():
            if getattr(self, name) < least:
                raise DataError(f"{name} is {getattr(self, name)}: it must be at least {least}.")
        if self.noise_length and not (self.noise_source and self.noise_length > 1):
            raise DataError(
                f"noise_length is {self.noise_length}: it must be at least 2, and needs "
                "noise_source; 0 stands for source_length."
            )
        if not 0 <= self.source_persistence <= 1:
            raise DataError(
                f"source_persistence is {self.source_persistence}: it must be in [0, 1]."
            )
        if not 0 <= self.cold_users < 1:
            raise DataError(f"cold_users is {self.cold_users}: it must be in [0, 1).")


def read(inputs: Sequence[str], options: SyntheticOptions) -> InteractionLog:
    """Draws the log.

    Raises:
      DataError: there are inputs.
    """
    require_no_inputs(inputs, READER.name)
    return draw(options)


READER = Reader("synthetic", SyntheticOptions, read)


def draw(options: SyntheticOptions) -> InteractionLog:
    """Draws the log. Times are Unix seconds, comparable across domains."""
    # One stream for each purpose: a longer source leaves the users' interests as they are.
    seeds = np.random.SeedSequence(options.seed).spawn(4 + options.source_domains)
    users_rng, target_rng, noise_rng, *source_rngs, ratings_rng = map(_generator, seeds)
    interests = _draw_interests(users_rng, options)
    sources = ["source", *(f"source_{k + 1}" for k in range(1, options.source_domains))]

    frames = []
    for domain, rng in zip(sources, source_rngs, strict=True):
        items = _Items(rng, options.source_items, options.interests)
        frames.append(_draw_source(rng, domain, items, interests, options))
    if options.noise_source:
        items = _Items(noise_rng, options.source_items, options.interests)
        frames.append(_draw_noise(noise_rng, items, options))
    items = _Items(target_rng, options.target_items, options.interests)
    frames.append(_draw_target(target_rng, items, interests, options))
    log = pd.concat(frames, ignore_index=True)
    if options.ratings:
        log = _with_ratings(ratings_rng, log, options)
    log = log.drop(columns="interest")
    domains = [*sources, *([NOISE] if options.noise_source else []), TARGET]
    return InteractionLog(log, tuple(domains), comparable_times=True)


class _Items:
    """Items of one domain: which interest each belongs to and how popular it is.

    Attributes:
      names: int64 [items]; the number in an item's id. Shuffled, so that ids tell nothing.
      sizes: int64 [interests]; items of each interest.
      starts: int64 [interests]; position of the interest's first item.
    """

    def __init__(self, rng: np.random.Generator, items: int, interests: int) -> None:
        self.names = np.argsort(rng.random(items), kind="stable") + 1
        self.sizes = np.full(interests, items // interests)
        self.sizes[: items % interests] += 1
        self.starts = np.cumsum(self.sizes) - self.sizes

    def popular(self, rng: np.random.Generator, interest: np.ndarray) -> np.ndarray:
        """Draws an item's position within each given interest, by popularity."""
        u = rng.random(interest.shape)
        place = np.empty(interest.shape, np.int64)
        for size in np.unique(self.sizes):
            chosen = self.sizes[interest] == size
            place[chosen] = np.searchsorted(_zipf(size, _ITEM_OFFSET), u[chosen], side="right")
        return place

    def ids(self, domain: str, interest: np.ndarray, place: np.ndarray) -> pd.Series:
        """Item ids, str [events]."""
        numbers = self.names[self.starts[interest] + place]
        return f"{domain}_item_" + pd.Series(numbers).astype("str")


def _generator(seed: np.random.SeedSequence) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def _zipf(count: int, offset: int) -> np.ndarray:
    """Cumulative shares, float64 [count], of weights 1/(rank + offset), rank from 1."""
    total = np.cumsum(1.0 / (np.arange(1, count + 1) + offset))
    return total / total[-1]


def _draw_interests(rng: np.random.Generator, options: SyntheticOptions) -> np.ndarray:
    """int64 [users, 3]: each user's interests, by falling share; the same one may come twice."""
    shape = (options.users, len(_INTEREST_SHARES))
    return np.searchsorted(
        _zipf(options.interests, _INTEREST_OFFSET), rng.random(shape), side="right"
    )


def _pick(rng: np.random.Generator, interests: np.ndarray) -> np.ndarray:
    """Draws one of each row's interests, int64 [rows], by their shares."""
    slot = np.searchsorted(np.cumsum(_INTEREST_SHARES)[:-1], rng.random(len(interests)), "right")
    return interests[np.arange(len(interests)), slot]


def _lengths(rng: np.random.Generator, users: int, least: int, most: int) -> np.ndarray:
    return least + (rng.random(users) * (most - least + 1)).astype(np.int64)


def _source_lengths(rng: np.random.Generator, users: int, mean: int) -> tuple[np.ndarray, int]:
    """Returns int64 [users], from half to one and a half times the mean, and the most."""
    most = mean + mean // 2
    return _lengths(rng, users, mean - mean // 2, most), most


def _source_times(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """int64 [users, events]: rising seconds within about a year."""
    # Evenly spread slots with a jitter below the slot's width: rising without a sort.
    slots = np.arange(shape[1]) * 10 * _DAY
    jitter = (rng.random(shape) * 9 * _DAY).astype(np.int64)
    return _START + slots + jitter


def _draw_source(
    rng: np.random.Generator,
    domain: str,
    items: _Items,
    interests: np.ndarray,
    options: SyntheticOptions,
) -> pd.DataFrame:
    users = options.users
    lengths, most = _source_lengths(rng, users, options.source_length)
    interest = np.empty((users, most), np.int64)
    place = np.empty((users, most), np.int64)
    for step in range(most):
        fresh = _pick(rng, interests)
        persists = rng.random(users) < options.source_persistence
        follows = rng.random(users) < _SUCCESSION
        ahead = 1 + (rng.random(users) < 0.5)
        if step == 0:
            interest[:, 0] = fresh
            place[:, 0] = items.popular(rng, fresh)
            continue
        interest[:, step] = np.where(persists, interest[:, step - 1], fresh)
        successor = (place[:, step - 1] + ahead) % items.sizes[interest[:, step]]
        place[:, step] = np.where(
            persists & follows, successor, items.popular(rng, interest[:, step])
        )
    user, event = np.nonzero(np.arange(most) < lengths[:, None])
    times = _source_times(rng, (users, most))
    ids = items.ids(domain, interest[user, event], place[user, event])
    return _frame(domain, user, ids, times[user, event], interest[user, event])


def _draw_noise(rng: np.random.Generator, items: _Items, options: SyntheticOptions) -> pd.DataFrame:
    mean = options.noise_length or options.source_length
    lengths, most = _source_lengths(rng, options.users, mean)
    user, event = np.nonzero(np.arange(most) < lengths[:, None])
    times = _source_times(rng, (options.users, most))
    # Its events lie as far apart as makes it as long as a source.
    times = _START + (times - _START) * options.source_length // mean
    interest = np.searchsorted(
        _zipf(options.interests, _INTEREST_OFFSET), rng.random(len(user)), side="right"
    )
    ids = items.ids(NOISE, interest, items.popular(rng, interest))
    return _frame(NOISE, user, ids, times[user, event], interest)


def _draw_target(
    rng: np.random.Generator, items: _Items, interests: np.ndarray, options: SyntheticOptions
) -> pd.DataFrame:
    users = options.users
    lengths = _lengths(rng, users, options.target_length - 2, options.target_length + 2)
    lengths[rng.random(users) < options.cold_users] = 0
    # Repeats are drawn and thrown away: a user has each target item at most once.
    draws = 4 * (options.target_length + 2)
    user = np.repeat(np.arange(users), draws)
    interest = _pick(rng, interests[user])
    place = items.popular(rng, interest)
    first = ~pd.DataFrame({"user": user, "interest": interest, "place": place}).duplicated()
    user, interest, place = user[first], interest[first], place[first]
    starts = np.searchsorted(user, np.arange(users))
    kept = np.arange(len(user)) - starts[user] < lengths[user]
    user, interest, place = user[kept], interest[kept], place[kept]
    # From half-way through a source sequence of mean length to a little after its end.
    span = options.source_length * 10 * _DAY
    times = _START + span // 2 + (rng.random(len(user)) * 0.6 * span).astype(np.int64)
    return _frame(TARGET, user, items.ids(TARGET, interest, place), times, interest)


def _with_ratings(
    rng: np.random.Generator, log: pd.DataFrame, options: SyntheticOptions
) -> pd.DataFrame:
    """Adds ratings, and items' interests as their categories."""
    interest = log["interest"].to_numpy()
    user = log["user_id"].str.removeprefix("user_").astype(np.int64).to_numpy() - 1
    of_users, of_interests = rng.random(options.users), rng.random(options.interests)
    liked_share = np.clip(
        of_users[user] + of_interests[interest] - 0.5, _LIKED_AT_LEAST, _LIKED_AT_MOST
    )
    liked_share[(log["domain"] == NOISE).to_numpy()] = _LIKED_NOISE
    liked = rng.random(len(log)) < liked_share
    u = rng.random(len(log))
    of_liked, of_others = (
        np.array(ratings)[(u * len(ratings)).astype(np.int64)]
        for ratings in (_LIKED_RATINGS, _OTHER_RATINGS)
    )
    rating = np.where(liked, of_liked, of_others).astype(np.float64)
    category = "interest_" + pd.Series(interest + 1).astype("str")
    return log.assign(rating=rating, category=category.array)


def _frame(
    domain: str, user: np.ndarray, ids: pd.Series, times: np.ndarray, interest: np.ndarray
) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "user_id": "user_" + pd.Series(user + 1).astype("str"),
            "item_id": ids.array,
            "domain": domain,
            "timestamp": times,
            "interest": interest,
        }
    )
