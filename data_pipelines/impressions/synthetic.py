"""Reader `synthetic` of impressions: two countries with one preference and shifted covariates.

How a log, in the layout of the AliExpress files, is drawn:

1. A result page has a taste u and a shown item a quality v, four numbers each. Whether an item is
   clicked depends on u, v and the categorical values, with the same function in both countries; so
   does whether a clicked item is bought.
2. Numerical columns are noisy mixtures of u (the user file's) or v (the item file's).
3. The target country differs from the source in what is seen, the more the greater `shift`: tastes
   and qualities have another mean, low categorical values are more frequent, and every numerical
   column has another unit and zero. Above all, disturbances that the source does not know move the
   target's numerical columns together, partly as tastes and qualities do, and have no part in the
   preference. A model of the source takes them for preference; one that sees through them, which
   there are columns enough to do, is right again with few labels.
4. Some result pages show nothing, and of some the user's row is lost, so that search ids stand on
   one side only.

Only uniform draws of PCG64, products and sums are used.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from data_pipelines.errors import DataError
from data_pipelines.impressions.aliexpress import (
    COLUMNS,
    ITEM,
    USER,
    count_unmatched,
    impressions,
)
from data_pipelines.impressions.joining import match
from data_pipelines.impressions.log import Chunk, ImpressionLog
from data_pipelines.logs import BadLines
from data_pipelines.readers.options import require_no_inputs
from data_pipelines.readers.reader import Reader

# Of every published country.
FIELD_SIZES = (11, 4, 7, 2, 33, 7, 50, 8, 8, 2, 2, 2, 2, 2, 2, 2)
COUNTRIES = ("source", "target")
PARTS = ("train", "test")

_LATENT = 4
_PAGES_AT_ONCE = 4096
_CALIBRATION_PAGES = 4096
_LOST_USERS = 0.01
_DISTURBANCES = 3
# Weight, in what speaks for a click or a purchase, of what no column tells.
_NOISE = 1.3
_DECIMALS = 4


@dataclasses.dataclass(frozen=True)
class SyntheticImpressionOptions:
    """Sizes of the demo log of impressions.

    Attributes:
      source_pages: training result pages of the source country.
      target_pages: training result pages of the target country; how many of their rows keep a
        label is for --impression_split.positive_rate and negative_rate.
      test_pages: test result pages of each country.
      items_per_page: mean number of items of a page, from none to twice as many.
      shift: how far the target's covariates are from the source's, 0 for not at all; with 1, by
        about a standard deviation.
      click_share: share of the source's impressions that are clicked.
      conversion_share: share of the source's clicks that end in a purchase.
      seed: of all draws.
    """

    source_pages: int = 5000
    target_pages: int = 2500
    test_pages: int = 1000
    items_per_page: int = 8
    shift: float = 1.0
    click_share: float = 0.1
    conversion_share: float = 0.2
    seed: int = 0

    def __post_init__(self) -> None:
        least = {
            "source_pages": 1,
            "target_pages": 0,
            "test_pages": 0,
            "items_per_page": 1,
            "shift": 0,
            "seed": 0,
        }
        for name, value in least.items():
            if not getattr(self, name) >= value:
                raise DataError(f"{name} is {getattr(self, name)}: it must be at least {value}.")
        for name in ("click_share", "conversion_share"):
            if not 0 < getattr(self, name) < 1:
                raise DataError(f"{name} is {getattr(self, name)}: it must be between 0 and 1.")

    def pages(self, country: str, part: str) -> int:
        """Number of result pages of a country's part."""
        if part == "test":
            return self.test_pages
        return self.source_pages if country == "source" else self.target_pages


class RawBlock(NamedTuple):
    """Rows of the two files of a country and part.

    Attributes:
      users: rows of `aliexpress.USER.row_type()`.
      items: rows of `aliexpress.ITEM.row_type()`, of these users' pages or of lost ones.
    """

    users: np.ndarray
    items: np.ndarray


class SyntheticLog(ImpressionLog):
    """The demo log; it is drawn as it is read."""

    domains = COUNTRIES
    columns = COLUMNS

    def __init__(self, options: SyntheticImpressionOptions) -> None:
        """Draws nothing yet."""
        super().__init__(BadLines("", 0))
        self._options = options

    def chunks(self, scratch: Path) -> Iterator[Chunk]:
        """Joins the two files of every country and part in memory."""
        del scratch
        for country in self.domains:
            for part in PARTS:
                for users, items in raw_blocks(self._options, country, part):
                    matches = match(users["key"], items["key"])
                    count_unmatched(self.left_out, country, part, matches)
                    yield Chunk(country, part, impressions(users, items, matches))


def read(inputs: Sequence[str], options: SyntheticImpressionOptions) -> SyntheticLog:
    """Opens the demo log.

    Raises:
      DataError: there are inputs.
    """
    require_no_inputs(inputs, READER.name)
    return SyntheticLog(options)


READER = Reader("synthetic", SyntheticImpressionOptions, read)


def raw_blocks(options: SyntheticImpressionOptions, country: str, part: str) -> Iterator[RawBlock]:
    """Draws the files of a country and part; a seed always gives the same."""
    world = _World(options)
    place = COUNTRIES.index(country) * len(PARTS) + PARTS.index(part)
    rng = np.random.default_rng([options.seed, 1 + place])
    pages = options.pages(country, part)
    for start in range(0, pages, _PAGES_AT_ONCE):
        ids = np.arange(start, min(pages, start + _PAGES_AT_ONCE)) * 3 + 7
        yield world.draw(rng, ids, country == "target")


class _World:
    """What both countries share: the preference, the mixtures, and where the target shifts to."""

    def __init__(self, options: SyntheticImpressionOptions) -> None:
        self._options = options
        rng = np.random.default_rng([options.seed, 0])
        self._mixtures = [_signed(rng, (_LATENT, len(side.numerical))) for side in (USER, ITEM)]
        self._disturbances = [
            _signed(rng, (_DISTURBANCES, _LATENT)) @ mixture
            + _signed(rng, (_DISTURBANCES, mixture.shape[1]))
            for mixture in self._mixtures
        ]
        self._effects = [_signed(rng, size) for size in FIELD_SIZES]
        self._liking = 0.5 + 0.5 * rng.random(_LATENT)
        self._latent_shift = _signed(rng, (2, _LATENT))
        self._units = [_signed(rng, len(side.numerical)) for side in (USER, ITEM)]
        self._zeros = [_signed(rng, len(side.numerical)) for side in (USER, ITEM)]
        self._click_at = self._buy_at = 0.0
        ids = np.arange(_CALIBRATION_PAGES)
        _, click, buy = self._draw_scores(rng, ids, False)
        self._click_at = np.quantile(click, 1 - options.click_share)
        bought = buy[click > self._click_at]
        self._buy_at = np.quantile(bought, 1 - options.conversion_share)

    def draw(self, rng: np.random.Generator, ids: np.ndarray, is_target: bool) -> RawBlock:
        """Draws the pages with these search ids, int64 [pages]."""
        block, click, buy = self._draw_scores(rng, ids, is_target)
        clicked = click > self._click_at
        block.items["label"] = clicked + (clicked & (buy > self._buy_at)).astype(np.uint8)
        return block._replace(users=block.users[rng.random(len(ids)) >= _LOST_USERS])

    def _draw_scores(
        self, rng: np.random.Generator, ids: np.ndarray, is_target: bool
    ) -> tuple[RawBlock, np.ndarray, np.ndarray]:
        """Rows without labels, and float64 [items]: what speaks for a click, and a purchase."""
        most = 2 * self._options.items_per_page
        counts = (rng.random(len(ids)) * (most + 1)).astype(np.int64)
        page = np.repeat(np.arange(len(ids)), counts)
        shift = self._options.shift if is_target else 0.0
        latents = [
            _bell(rng, (rows, _LATENT)) + 0.5 * shift * self._latent_shift[side]
            for side, rows in enumerate((len(ids), len(page)))
        ]
        tables = []
        for number, (side, keys) in enumerate(((USER, ids), (ITEM, ids[page]))):
            rows = np.zeros(len(keys), side.row_type())
            rows["key"] = keys
            first = number * len(USER.categorical)
            for field in range(len(side.categorical)):
                rows["categorical"][:, field] = _category(
                    rng, len(keys), FIELD_SIZES[first + field], shift
                )
            mixed = latents[number] @ self._mixtures[number]
            mixed += 0.5 * _bell(rng, mixed.shape)
            disturbance = _bell(rng, (len(keys), _DISTURBANCES)) @ self._disturbances[number]
            mixed += shift * disturbance
            seen = mixed * (1 + 0.5 * shift * self._units[number]) + shift * self._zeros[number]
            rows["numerical"] = np.round(seen, _DECIMALS)
            tables.append(rows)
        block = RawBlock(*tables)
        taste, quality = latents[0][page], latents[1]
        click = quality @ self._liking + 0.5 * (taste * quality).sum(axis=1)
        for field, effect in enumerate(self._effects):
            own = field - len(USER.categorical)
            value = (
                block.users["categorical"][page, field]
                if own < 0
                else block.items["categorical"][:, own]
            )
            click += 0.3 * effect[value]
        buy = taste[:, 0] + 0.5 * click
        noise = _NOISE * _bell(rng, (2, len(page)))
        return block, click + noise[0], buy + noise[1]


def _signed(rng: np.random.Generator, shape: int | tuple[int, ...]) -> np.ndarray:
    """Uniform draws from [-1, 1)."""
    return 2 * rng.random(shape) - 1


def _bell(rng: np.random.Generator, shape: int | tuple[int, ...]) -> np.ndarray:
    """Draws with mean 0 and variance 1, as sums of three uniform ones."""
    return _signed(rng, shape) + _signed(rng, shape) + _signed(rng, shape)


def _category(rng: np.random.Generator, rows: int, size: int, shift: float) -> np.ndarray:
    """Values 0 .. size-1, int64 [rows]; the lower ones more frequent with a shift."""
    drawn = rng.random(rows)
    lowered = drawn * rng.random(rows)
    return (size * np.where(rng.random(rows) < 0.5 * shift, lowered, drawn)).astype(np.int64)
