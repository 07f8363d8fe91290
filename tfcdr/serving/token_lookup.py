"""Raw item ids <-> integer ids inside the exported graph, from a vocabulary file."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from tfcdr.errors import RunError


class TokenLookup(tf.Module):
    """The tokens of one item space; line i (from 0) of the file is the token of id i + 1.

    The file travels as an asset of the SavedModel. Id 0 stands for "no such item" and for
    padding; its token is "".
    """

    def __init__(self, vocabulary: Path) -> None:
        """Reads the vocabulary.

        Raises:
          RunError: the file cannot be read as one distinct token per line.
        """
        super().__init__()
        whole_line, line_number = (
            tf.lookup.TextFileIndex.WHOLE_LINE,
            tf.lookup.TextFileIndex.LINE_NUMBER,
        )
        text, number = (tf.string, whole_line), (tf.int64, line_number)
        try:
            self._lines = _table(vocabulary, key=text, value=number, default=-1)
            self._tokens = _table(vocabulary, key=number, value=text, default="")
        except tf.errors.OpError as error:
            raise RunError(f"{vocabulary}: not a vocabulary file ({error.message}).") from error

    @property
    def size(self) -> int:
        """Number of items; their ids are 1..size."""
        return int(self._tokens.size())

    def ids(self, tokens: tf.Tensor) -> tf.Tensor:
        """Looks up string tokens of any shape: int32 ids, 0 for unknown ones."""
        return tf.cast(self._lines.lookup(tokens), tf.int32) + 1

    def tokens(self, ids: tf.Tensor) -> tf.Tensor:
        """Looks up int ids of any shape: string tokens, "" for id 0."""
        return self._tokens.lookup(tf.cast(ids, tf.int64) - 1)


class NameLookup(tf.Module):
    """Ids by names, of which an id may have several, or none.

    Line j (from 0) of the file is the name of id `ids`[j]. Id 0 stands for a name that is not
    there, such as the padding "".
    """

    def __init__(self, names: Path, ids: np.ndarray) -> None:
        """Reads the names.

        Raises:
          RunError: the file cannot be read as one distinct name per line.
        """
        super().__init__()
        text, number = (
            (tf.string, tf.lookup.TextFileIndex.WHOLE_LINE),
            (tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER),
        )
        try:
            self._lines = _table(names, key=text, value=number, default=-1)
        except tf.errors.OpError as error:
            raise RunError(f"{names}: not a vocabulary file ({error.message}).") from error
        # Line -1, of no name, is the first entry.
        self._ids = tf.Variable(np.append(0, ids).astype(np.int32), trainable=False, name="ids")

    def ids(self, names: tf.Tensor) -> tf.Tensor:
        """Looks up string names of any shape: int32 ids, 0 for unknown ones."""
        return tf.gather(self._ids, self._lines.lookup(names) + 1)


def write_vocabulary(path: Path, tokens: Sequence[str]) -> Path:
    """Writes one token per line, as `TokenLookup` reads it, and returns the path."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(f"{token}\n" for token in tokens)
    return path


def _table(
    vocabulary: Path,
    key: tuple[tf.DType, int],
    value: tuple[tf.DType, int],
    default: int | str,
) -> tf.lookup.StaticHashTable:
    initializer = tf.lookup.TextFileInitializer(str(vocabulary), *key, *value)
    return tf.lookup.StaticHashTable(initializer, default)
