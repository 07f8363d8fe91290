"""What items are called before a person: texts from a table of items, the raw id where it has none.

The table is one of

- csv or tsv with a header; also RecBole's `NAME.item`, whose header reads `name:type`
- `u.item` (MovieLens-100K): columns `item_id`, `title`, `release_date`
- `movies.dat` (MovieLens-1M): columns `item_id`, `title`, `genres`
"""

import dataclasses
import pathlib
import re
from collections.abc import Mapping, Sequence

import pandas as pd
import pyarrow as pa

from data_pipelines.errors import DataError
from data_pipelines.logs import BadLines
from data_pipelines.prepared.reading import Source
from data_pipelines.readers.csv_text import read_columns
from data_pipelines.readers.text_files import read_lines, require_file, split_columns

# GroupLens' files: separator, number of fields, names of the first columns.
_HEADERLESS = {
    "u.item": ("|", 24, ("item_id", "title", "release_date")),
    "movies.dat": ("::", 3, ("item_id", "title", "genres")),
}


@dataclasses.dataclass(frozen=True)
class TitleOptions:
    """Where the texts stand that show items to a person.

    Attributes:
      path: a table of items: csv or tsv with a header, RecBole's .item, MovieLens' u.item or
        movies.dat. Relative to --raw_dir. Empty: items are shown by their raw ids.
      item_column: name of the column with the raw item id, as it stands in the log.
      text: what is shown of an item, with columns in braces, as in "{movie_title}
        ({release_year})"; empty for the first column that is not the item's.
    """

    path: str = ""
    item_column: str = "item_id"
    text: str = ""

    def __post_init__(self) -> None:
        if not self.item_column:
            raise DataError("item_column is empty: name the column with the raw item id.")
        if self.text and not _columns_in(self.text):
            raise DataError(
                f"text {self.text!r} names no column: write one in braces, as in '{{title}}'."
            )


def read_titles(path: str | pathlib.Path, options: TitleOptions) -> dict[str, str]:
    """Reads the texts of items.

    Args:
      path: the table.
      options: what to read of it.

    Returns:
      Raw item id -> text. An item whose columns are all empty is left out.

    Raises:
      DataError: the file is missing, is not text, lacks a column, or has two texts for an item.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise DataError(f"--titles.path={path}: no such file.")
    require_file(path)
    table = _read_headerless(path) if path.name in _HEADERLESS else _read_table(path, options)
    wanted = _wanted(list(table), path, options)
    ids = table[options.item_column]
    # Every second part is a column's name.
    parts = re.split(r"{([^{}]*)}", options.text) if options.text else ["", wanted[-1], ""]
    texts = pd.Series(parts[0], index=table.index, dtype="str")
    for name, literal in zip(parts[1::2], parts[2::2], strict=True):
        texts = texts + table[name] + literal
    telling = table[[name for name in parts[1::2] if name != options.item_column]]
    filled = telling.apply(lambda column: column.str.strip() != "").any(axis=1)
    titles = pd.DataFrame({"item": ids, "text": texts.str.strip()})[filled].drop_duplicates()
    if titles["item"].duplicated().any():
        first, second = titles[titles["item"].duplicated(keep=False)].iloc[:2].itertuples()
        raise DataError(
            f"{path}: {options.item_column} {first.item!r} has two texts, {first.text!r} and "
            f"{second.text!r}; keep one."
        )
    return dict(zip(titles["item"], titles["text"], strict=True))


class ShownNames:
    """Names of a data set's items and users.

    The raw id of an item in a space of several domains is `domain:item_id`; its text is then
    followed by the domain.
    """

    def __init__(self, source: Source, titles: Mapping[str, str]) -> None:
        """Takes what was read and raw item id -> text; a key may also be `domain:item_id`."""
        self._source = source
        self._titles = titles
        self._domains = frozenset(source.prepared.domains)

    def item(self, space: str, item: int) -> str:
        """Returns an item's text, or its raw id if it has none."""
        token = self._source.vocabulary(space).tokens[item - 1]
        if token in self._titles:
            return self._titles[token]
        domain, _, raw = token.partition(":")
        if domain in self._domains and raw in self._titles:
            return f"{self._titles[raw]} [{domain}]"
        return token

    def user(self, user: int) -> str:
        """Returns a user's raw id."""
        return self._source.user_names([user])[0]


def _columns_in(text: str) -> list[str]:
    return re.findall(r"{([^{}]*)}", text)


def _wanted(columns: Sequence[str], path: pathlib.Path, options: TitleOptions) -> list[str]:
    """Returns the item's column, then those of the text.

    Raises:
      DataError: one is not there.
    """
    flags = {options.item_column: "item_column", **dict.fromkeys(_columns_in(options.text), "text")}
    for name, flag in flags.items():
        if name not in columns:
            raise DataError(
                f"{path}: no column {name!r}; the file has {', '.join(columns)}. Name the right "
                f"one with --titles.{flag}."
            )
    if options.text:
        return list(flags)
    others = [name for name in columns if name != options.item_column]
    if not others:
        raise DataError(f"{path}: has no column besides {options.item_column!r}.")
    return [options.item_column, others[0]]


def _read_table(path: pathlib.Path, options: TitleOptions) -> pd.DataFrame:
    """Reads the columns that are wanted of a file with a header, as texts."""
    chosen: dict[str, str] = {}

    def names(header: list[str]) -> list[str]:
        plain = {_without_type(name): name for name in reversed(header)}
        wanted = _wanted([_without_type(name) for name in header], path, options)
        chosen.update({plain[name]: name for name in wanted})
        return list(chosen)

    with path.open(encoding="utf-8", errors="replace") as file:
        separator = "\t" if "\t" in file.readline() else ","
    rows, _ = read_columns(path, names, separator, BadLines("", 0))
    return rows.rename(columns=chosen)


def _without_type(name: str) -> str:
    """A column of RecBole's files is called `name:type`."""
    return re.sub(r":(token|token_seq|float|float_seq)$", "", name)


def _read_headerless(path: pathlib.Path) -> pd.DataFrame:
    separator, width, names = _HEADERLESS[path.name]
    lines = read_lines(path, "latin-1")
    columns, _ = split_columns(path, lines, (width,), separator, BadLines("", 0))
    used = zip(names, columns, strict=False)
    return pd.DataFrame({name: pd.Series(_texts(column), dtype="str") for name, column in used})


def _texts(column: pa.Array) -> pd.Series:
    return column.to_pandas()
