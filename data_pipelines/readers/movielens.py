"""Reader `movielens`: a folder with MovieLens of any size, as GroupLens or as RecBole gives it.

- `u.data`, `u.item` (100K): tabs, `user item rating time`; `id|title|…|` and 19 genre marks
- `ratings.dat`, `movies.dat` (1M, 10M): `user::item::rating::time`; `id::title::Genre|Genre`
- `ratings.csv`, `movies.csv` (20M, 25M, 32M, latest): csv with a header,
  `userId,movieId,rating,timestamp`; `movieId,title,genres`, with bars between
- `NAME.inter`, `NAME.item` (RecBole): tabs, header `name:type`; genres, with blanks between, in
  the column `class`, `genre` or `genres`

GroupLens' files of 100K to 10M are Latin-1, the others UTF-8.

With domain_by=category (the default) an item's domain is the first genre of its list that is
among `--read.domains`; interactions with other items are left out and counted. With
domain_by=file the input is DOMAIN=FOLDER and all items are one domain.
"""

import dataclasses
import pathlib
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import pyarrow as pa

from data_pipelines.errors import DataError
from data_pipelines.logs import BadLines, InteractionLog
from data_pipelines.readers.assembly import LogAssembly, line_locator, read_bad_lines
from data_pipelines.readers.csv_text import exactly, read_columns
from data_pipelines.readers.options import DomainByOptions, input_domains, parse_inputs
from data_pipelines.readers.reader import Reader
from data_pipelines.readers.text_files import Lines, read_lines, split_columns

# The 19 marks of u.item, in the order of u.genre.
GENRES_100K = (
    "unknown",
    "Action",
    "Adventure",
    "Animation",
    "Children's",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Fantasy",
    "Film-Noir",
    "Horror",
    "Musical",
    "Mystery",
    "Romance",
    "Sci-Fi",
    "Thriller",
    "War",
    "Western",
)

_ORIGINALS = {"u.data": ("u.item", "\t", "|"), "ratings.dat": ("movies.dat", "::", "::")}
_INTER = {"user_id": "user_id", "item_id": "item_id", "rating": "rating", "timestamp": "timestamp"}


@dataclasses.dataclass(frozen=True)
class MovieLensOptions(DomainByOptions):
    """How MovieLens folders are understood.

    Attributes:
      domains: with domain_by=category, the genres that are the domains; items of none of them are
        left out. With domain_by=file, the order of the names in --input; empty for theirs.
      domain_by: where an interaction's domain stands: category (the first genre of the item's list
        that is among the domains) or file (inputs are DOMAIN=FOLDER).
      category: an item's category: genres (its whole list, as in Comedy|Romance) or secondary (the
        first genre of the list that is not its domain; others if there is none).
    """

    domain_by: str = "category"
    category: str = "genres"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.category not in ("genres", "secondary"):
            raise DataError(f"category is {self.category!r}: it must be genres or secondary.")
        self._require_domain_by("movielens", "category", "file")


def read(inputs: Sequence[str], options: MovieLensOptions) -> InteractionLog:
    """Reads one or more MovieLens folders.

    Args:
      inputs: folders; or DOMAIN=FOLDER with domain_by=file.
      options: `--read.*`.

    Raises:
      DataError: names the file, line and field, or the flag.
    """
    domain_by = options.domain_by
    entries = parse_inputs(inputs, named=domain_by == "file")
    if domain_by == "file":
        names = input_domains(entries, options)
    elif options.domains:
        names = tuple(options.domains)
    else:
        raise DataError("--read.domains is missing: name the genres that are the domains.")

    assembly = LogAssembly(names, read_bad_lines(options))
    for entry in entries:
        if entry.part:
            raise DataError(f"--input={entry.path}: a MovieLens folder takes no @PART.")
        rows, locate, ratings_path, genres = _read_folder(entry.path, assembly.bad_lines)
        rows["category"] = rows["item_id"].map(genres)
        rows, locate = assembly.reject(
            rows,
            rows["category"].isna().to_numpy(bool),
            locate,
            "item_id",
            "is not in the folder's list of items.",
        )
        if domain_by == "file":
            rows = rows.assign(domain=entry.domain)
        else:
            _require_known_genres(names, genres, ratings_path)
            rows, locate = assembly.by_category(rows, "|", locate, names)
        if options.category == "secondary":
            rows = rows.assign(category=_secondary(rows["category"], rows["domain"]))
        assembly.add(rows, locate)
    return assembly.log(comparable_times=True)


READER = Reader("movielens", MovieLensOptions, read)


def _secondary(genres: pd.Series, domains: pd.Series) -> list[str]:
    """The first genre of each row's list that is not its domain."""
    pairs = list(zip(genres, domains, strict=True))
    found = {
        (listed, domain): next(
            (genre for genre in listed.split("|") if genre and genre != domain), "others"
        )
        for listed, domain in set(pairs)
    }
    return [found[pair] for pair in pairs]


def _require_known_genres(names: Sequence[str], genres: pd.Series, path: pathlib.Path) -> None:
    known = {genre for text in genres.unique() for genre in text.split("|") if genre}
    for name in names:
        if name not in known:
            raise DataError(
                f"--read.domains: no item beside {path} has genre {name!r}; "
                f"there are {', '.join(sorted(known))}."
            )


def _read_folder(
    folder: pathlib.Path, bad_lines: BadLines
) -> tuple[pd.DataFrame, Callable[[int], str], pathlib.Path, pd.Series]:
    """Ratings, their `locate`, their file, and item id -> genres joined by "|"."""
    if not folder.is_dir():
        raise DataError(f"{folder}: movielens reads a folder, and there is none of this name.")
    for ratings_name, (items_name, ratings_separator, items_separator) in _ORIGINALS.items():
        path = folder / ratings_name
        if path.exists():
            columns, numbers = split_columns(
                path, read_lines(path, "latin-1"), (4,), ratings_separator, bad_lines
            )
            names = ("user_id", "item_id", "rating", "timestamp")
            rows = _frame(dict(zip(names, columns, strict=True)))
            genres = _original_genres(folder / items_name, items_separator)
            return rows, line_locator(path, numbers), path, genres
    if (folder / "ratings.csv").exists():
        return _read_csv_folder(folder, bad_lines)
    found = sorted(folder.glob("*.inter"))
    if len(found) != 1:
        raise DataError(
            f"{folder}: needs u.data, ratings.dat, ratings.csv or exactly one .inter file."
        )
    named, numbers = _read_atomic(found[0], bad_lines)
    for name in _INTER:
        if name not in named and name != "rating":
            raise DataError(
                f"{found[0]}, line 1: no column {name!r}; the file has {', '.join(named)}."
            )
    rows = _frame({name: named[name] for name in _INTER if name in named})
    genres = _atomic_genres(found[0].with_suffix(".item"))
    return rows, line_locator(found[0], numbers), found[0], genres


def _read_csv_folder(
    folder: pathlib.Path, bad_lines: BadLines
) -> tuple[pd.DataFrame, Callable[[int], str], pathlib.Path, pd.Series]:
    ratings, movies = folder / "ratings.csv", folder / "movies.csv"
    names = {"userId": "user_id", "movieId": "item_id", "rating": "rating"}
    names["timestamp"] = "timestamp"
    rows, locate = _csv_columns(ratings, tuple(names), bad_lines)
    listed, _ = _csv_columns(movies, ("movieId", "genres"), BadLines("", 0))
    # Of 20M and later, as a movie without genres is marked.
    genres = listed["genres"].replace("(no genres listed)", "")
    return (
        rows.rename(columns=names),
        locate,
        ratings,
        _one_row_each(movies, listed["movieId"], genres),
    )


def _csv_columns(
    path: pathlib.Path, wanted: Sequence[str], bad_lines: BadLines
) -> tuple[pd.DataFrame, Callable[[int], str]]:
    return read_columns(path, exactly(path, wanted, "the file has"), ",", bad_lines)


def _original_genres(path: pathlib.Path, separator: str) -> pd.Series:
    none_may_be_bad = BadLines("", 0)
    widths = (3,) if separator == "::" else (24,)
    columns, _ = split_columns(
        path, read_lines(path, "latin-1"), widths, separator, none_may_be_bad
    )
    if separator == "::":
        genres = _texts(columns[2])
    else:
        marks = np.stack([_texts(column) == "1" for column in columns[5:]], axis=1)
        genres = ["|".join(np.array(GENRES_100K, object)[row]) for row in marks]
    return _one_row_each(path, _texts(columns[0]), genres)


def _atomic_genres(path: pathlib.Path) -> pd.Series:
    columns, _ = _read_atomic(path, BadLines("", 0))
    name = next((name for name in ("class", "genre", "genres") if name in columns), None)
    if name is None or "item_id" not in columns:
        raise DataError(f"{path}, line 1: needs the columns item_id and class, genre or genres.")
    genres = _texts(columns[name]).str.replace(" ", "|", regex=False)
    return _one_row_each(path, _texts(columns["item_id"]), genres)


def _one_row_each(path: pathlib.Path, items: pd.Series, genres: Sequence[str]) -> pd.Series:
    table = pd.Series(np.asarray(genres, object), index=items, dtype="str")
    if not table.index.is_unique:
        twice = table.index[table.index.duplicated()][0]
        raise DataError(f"{path}: item_id {twice!r} comes twice; remove one of its lines.")
    return table


def _read_atomic(path: pathlib.Path, bad_lines: BadLines) -> tuple[dict[str, pa.Array], np.ndarray]:
    """A RecBole file's columns by their names without the type; and their line numbers."""
    lines = read_lines(path)
    header = [name.split(":")[0].strip() for name in lines.texts[0].as_py().split("\t")]
    body = Lines(lines.texts[1:], lines.numbers[1:])
    if not len(body.numbers):
        raise DataError(f"{path}: the file has a header and nothing else.")
    columns, numbers = split_columns(path, body, (len(header),), "\t", bad_lines)
    return dict(zip(header, columns, strict=True)), numbers


def _texts(column: pa.Array) -> pd.Series:
    return pd.Series(column.to_pandas(), dtype="str")


def _frame(columns: dict[str, pa.Array]) -> pd.DataFrame:
    return pd.DataFrame({name: _texts(column) for name, column in columns.items()})
