"""Raw item ids as integers from 1, saved as text beside the records.

An *item space* is the set of items that one model input knows: `source` (all source domains
together) and `target`. In each, id 0 is padding, ids 1..n are the items by falling count of
training interactions, and two more ids are reserved for tokens that are no items.

A model that reads and ranks items of one table uses a third space, `joint`: the target's ids as
they are, then the source's.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from data_pipelines.errors import DataError

PADDING_ID = 0


@dataclasses.dataclass(frozen=True, eq=False)
class Vocabulary:
    """The tokens of one item space; the token at index i has id i + 1.

    Attributes:
      tokens: raw ids, most frequent first, ties in the order of the tokens. In a space of several
        domains a token is `domain:item_id`, otherwise it is the item id.
      counts: int64 [n], how many training interactions each token has (0 for items that occur
        only in validation or test); non-increasing, but in space `joint`.
    """

    tokens: tuple[str, ...]
    counts: np.ndarray

    def __post_init__(self) -> None:
        if len(self.tokens) != len(self.counts):
            raise ValueError(f"{len(self.tokens)} tokens but {len(self.counts)} counts.")

    @property
    def size(self) -> int:
        """Number of items n; their ids are 1..n."""
        return len(self.tokens)

    @property
    def cls_id(self) -> int:
        """Id of the token that closes (or encloses) a history."""
        return self.size + 1

    @property
    def mask_id(self) -> int:
        """Id of the token that hides an item."""
        return self.size + 2

    @property
    def rows(self) -> int:
        """Rows of an embedding table that holds padding, the items, CLS and MASK."""
        return self.size + 3

    def save(self, directory: Path, space: str) -> None:
        """Writes `<space>.txt` (a token per line; line i from 0 is id i + 1) and its counts."""
        write_tokens(directory / f"{space}.txt", self.tokens)
        write_tokens(
            directory / f"{space}.counts.txt", [str(count) for count in self.counts.tolist()]
        )

    @classmethod
    def load(cls, directory: Path, space: str) -> "Vocabulary":
        """Reads what `save` wrote.

        Raises:
          DataError: a file is missing or the two do not fit together.
        """
        tokens = read_tokens(directory / f"{space}.txt")
        path = directory / f"{space}.counts.txt"
        try:
            counts = np.array(read_tokens(path), dtype=np.int64)
            return cls(tokens, counts)
        except ValueError as error:
            raise DataError(f"{path}: not the counts of {space}.txt ({error}).") from error


def ranked(tokens: Sequence[str] | np.ndarray, counts: np.ndarray) -> tuple[Vocabulary, np.ndarray]:
    """Orders tokens by falling count (ties by token) and numbers them from 1.

    Args:
      tokens: n distinct raw ids in any order.
      counts: int64 [n], training interactions of each.

    Returns:
      The vocabulary, and int64 [n], the id of each token as it was given.
    """
    tokens = np.asarray(tokens, dtype=object)
    by_token = np.argsort(tokens, kind="stable")
    order = by_token[np.argsort(-counts[by_token], kind="stable")]
    ids = np.empty(len(tokens), dtype=np.int64)
    ids[order] = np.arange(1, len(tokens) + 1)
    return Vocabulary(tuple(tokens[order].tolist()), counts[order].astype(np.int64)), ids


def joint(
    target: Vocabulary, source: Vocabulary | None, target_domain: str, sources: Sequence[str]
) -> Vocabulary:
    """Puts the target's items before the source's; `source` item s has id target.size + s.

    Tokens are item ids if there is one domain, else `domain:item_id`. Counts fall within each of
    the two groups only.
    """
    if source is None:
        return target
    # A space of several domains has their names in its tokens already.
    prefix = f"{sources[0]}:" if len(sources) == 1 else ""
    tokens = [f"{target_domain}:{token}" for token in target.tokens]
    tokens += [prefix + token for token in source.tokens]
    return Vocabulary(tuple(tokens), np.concatenate([target.counts, source.counts]))


def read_tokens(path: Path) -> tuple[str, ...]:
    """Reads a file of one token per line.

    Raises:
      DataError: the file is missing.
    """
    try:
        with path.open(encoding="utf-8", newline="\n") as file:
            text = file.read()
    except FileNotFoundError as error:
        raise DataError(f"{path}: the file is missing; convert the data again.") from error
    # Not splitlines(): an id may hold characters, such as a form feed, that it takes for line ends.
    return tuple(text.split("\n")[:-1])


def write_tokens(path: Path, tokens: Sequence[str]) -> None:
    """Writes one token per line, as `read_tokens` and TensorFlow's lookup tables read it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(f"{token}\n" for token in tokens)
