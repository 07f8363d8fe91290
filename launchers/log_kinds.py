"""What launchers ask of a kind of raw log.

A kind is one module, which defines its flags when it is imported, and one line in
`data_flags.KINDS`.
"""

import abc
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple


class Conversion(NamedTuple):
    """What the flags for every kind of log say about a conversion.

    Attributes:
      reader: a name of the kind's readers.
      inputs: the entries of `--input`, under `--raw_dir`.
      data_dir: the folder to make.
      engine: what converts, "local" or "beam".
      beam_options: Beam's own options; none for another engine.
      overwrite: replaces a prepared data set that is there.
      num_shards: files of records, of each split; 0 chooses by size.
      provenance: how the log is read and split, for the metadata.
      progress: shows bars.
    """

    reader: str
    inputs: Sequence[str]
    data_dir: Path
    engine: str
    beam_options: Sequence[str]
    overwrite: bool
    num_shards: int
    provenance: Mapping[str, Any]
    progress: bool


class LogKind(abc.ABC):
    """A kind of raw log: its readers, its flags, how it becomes a data set.

    Attributes:
      name: what the log is made of, in the plural.
      readers: names of its readers.
      groups: prefixes of its flags.
    """

    name: str
    readers: tuple[str, ...]
    groups: tuple[str, ...]

    @abc.abstractmethod
    def refuse_flags(self, log: str) -> None:
        """Raises FlagError if a flag of this kind is given; `log` is the name of another kind."""

    @abc.abstractmethod
    def reading_flags(self, reader: str) -> list[str]:
        """Returns the names of the flags that one of its readers takes."""

    @abc.abstractmethod
    def options(self, reader: str) -> dict[str, Any]:
        """Returns a dataclass for each prefix of flags that a conversion by this reader takes.

        Raises:
          FlagError: a flag has a bad value, or no meaning for the reader.
        """

    @abc.abstractmethod
    def build(self, conversion: Conversion) -> dict[str, Any]:
        """Writes a data set as the flags of the kind and the conversion say.

        Returns:
          The metadata, as in `prepared.json`.

        Raises:
          FlagError: a flag has a bad value, or no meaning for the kind.
          DataError: bad input or an unwilling folder; nothing has been written.
        """
