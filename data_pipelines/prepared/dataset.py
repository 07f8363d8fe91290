"""A prepared data set as models see it: metadata, vocabularies and batches."""

import contextlib
import dataclasses
import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from data_pipelines.coding import vocabulary
from data_pipelines.coding.vocabulary import Vocabulary
from data_pipelines.errors import DataError
from data_pipelines.views import STORED_VIEWS
from data_pipelines.views.split_read import SplitRead

METADATA_FILE = "prepared.json"
VOCABULARY_FOLDER = "vocabularies"
FORMAT_VERSION = 1
# A TFRecord file holds 16 bytes besides each record: its length and two checksums.
_FRAME_BYTES = 16


def open_prepared(data_dir: str | Path) -> "PreparedData":
    """Opens what `launchers/convert.py` wrote.

    Raises:
      DataError: there is no such folder, or it is not a whole prepared data set of this version.
    """
    data_dir = Path(data_dir)
    if not data_dir.is_dir():
        raise DataError(f"{data_dir}: no such folder; prepare it with launchers/convert.py.")
    path = data_dir / METADATA_FILE
    try:
        metadata = json.loads(path.read_text(encoding="utf-8"))
        version = metadata["format_version"]
    except FileNotFoundError as error:
        raise DataError(
            f"{data_dir}: not a prepared data set ({METADATA_FILE} is missing, as in one whose "
            "conversion did not finish); run launchers/convert.py again."
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: damaged; run launchers/convert.py again.") from error
    if version != FORMAT_VERSION:
        raise DataError(
            f"{path}: format_version is {version}, this program reads {FORMAT_VERSION}; run "
            "launchers/convert.py again."
        )
    return PreparedData(data_dir, metadata)


@dataclasses.dataclass(frozen=True)
class PreparedData:
    """One prepared data set; made by `open_prepared`.

    Attributes:
      data_dir: its folder.
      metadata: what `prepared.json` holds: domains, options, sizes, views.
    """

    data_dir: Path
    metadata: Mapping[str, Any]

    @property
    def fingerprint(self) -> str:
        """Hex sha256 of the coded interactions, the vocabularies and how examples were cut."""
        return self.metadata["fingerprint"]

    @property
    def max_length(self) -> int:
        """T, the number of items in a context; 0 for impressions, which have none."""
        return self.metadata["options"].get("examples", {"max_length": 0})["max_length"]

    @property
    def views(self) -> tuple[str, ...]:
        """Names of the views that the data set holds."""
        return tuple(self.metadata["views"])

    @functools.cached_property
    def users(self) -> tuple[str, ...]:
        """Raw user ids; user u is users[u - 1]."""
        return vocabulary.read_tokens(self.data_dir / VOCABULARY_FOLDER / "users.txt")

    def user_names(self, users: Sequence[int]) -> list[str]:
        """Returns the raw ids of users by their ids, from 1."""
        return [self.users[user - 1] for user in users]

    @functools.cached_property
    def _vocabularies(self) -> dict[str, Vocabulary]:
        directory = self.data_dir / VOCABULARY_FOLDER
        return {space: Vocabulary.load(directory, space) for space in self.metadata["spaces"]}

    def vocabulary(self, space: str) -> Vocabulary:
        """Returns the vocabulary of item space `source`, `target` or `joint`.

        Raises:
          DataError: the data set has no such space.
        """
        self._check_space(space)
        return self._vocabularies[space]

    def vocabulary_path(self, space: str) -> Path:
        """Returns the text file in which line i (from 0) is the token of id i + 1."""
        self._check_space(space)
        return self.data_dir / VOCABULARY_FOLDER / f"{space}.txt"

    @property
    def field_sizes(self) -> tuple[int, ...]:
        """Of each categorical column of impressions, the number n of its values 0 .. n-1."""
        return tuple(self._view("impression")["field_sizes"])

    @property
    def categorical_columns(self) -> tuple[str, ...]:
        """Names of the categorical columns of impressions."""
        return tuple(self._view("impression")["categorical"])

    @property
    def numerical_columns(self) -> tuple[str, ...]:
        """Names of the numerical columns of impressions."""
        return tuple(self._view("impression")["numerical"])

    def num_examples(self, view: str, split: str, **options: Any) -> int:
        """Returns the number of examples; 0 if the split is empty.

        Args:
          view: a name from `views`.
          split: "train", "validation" or "test".
          **options: fields of the view's `Batching`, which may choose among several.
        """
        return self._split(view, self._stored_split(view, split, options))["examples"]

    def num_shards(self, view: str, split: str, **options: Any) -> int:
        """Returns the number of files of a split that is not empty; see `num_examples`."""
        return len(self._split_info(view, self._stored_split(view, split, options)).filepaths)

    def batches(
        self,
        view: str,
        split: str,
        *,
        batch_size: int,
        seed: int,
        epoch: int = 0,
        rows: tuple[int, int] | None = None,
        shuffled: bool | None = None,
        for_training: bool | None = None,
        **options: Any,
    ) -> tf.data.Dataset:
        """Reads one epoch of one split.

        Args:
          view: a name from `views`; its module's docstring gives the batch's entries.
          split: "train", "validation" or "test".
          batch_size: B, also of the last batch.
          seed: with `epoch`, decides everything random.
          epoch: from 0.
          rows: [first, last) of each batch that this process reads, so that processes can share
            batches whose contents do not depend on their number; all by default.
          shuffled: whether the examples come in another order in each epoch rather than in that of
            the records; by default those of "train" do.
          for_training: whether batches hold what training reads, such as negatives, rather than
            what evaluation reads; by default those of "train" do.
          **options: fields of the view's `Batching`.

        Raises:
          DataError: the data set has no such view, the split is empty, a file is missing or
            truncated, an option is unknown or wrong, or the data cannot give what it asks for.
        """
        stored = self._stored_split(view, split, options)
        counts = self._split(view, stored)
        if not counts["examples"]:
            raise DataError(
                f"{self.data_dir}: split {stored} of view {view} is empty; check how the "
                "conversion splits the data."
            )
        if batch_size < 1:
            raise DataError(f"batch_size must be at least 1. Received: {batch_size}.")
        described = self._view(view)
        is_train = split == "train"
        read = SplitRead(
            view=view,
            split=split,
            shuffled=is_train if shuffled is None else shuffled,
            for_training=is_train if for_training is None else for_training,
            batch_size=batch_size,
            rows=rows or (0, batch_size),
            max_length=self.max_length,
            vocabularies=self._vocabularies,
            longest=counts["longest"],
            empty=counts["empty"],
            seed=seed,
            examples=counts["examples"],
            columns=(len(described.get("categorical", ())), len(described.get("numerical", ()))),
        )
        files = self._checked_files(view, stored)
        return STORED_VIEWS[view].batches(files, read, _batching(view, options), epoch)

    def corrupt_shard(self) -> str | None:
        """Reads every record of every view; returns the first shard that is damaged, or None."""
        for view in self.views:
            for split in self.metadata["views"][view]["splits"]:
                if shard := self._corrupt_shard_of(view, split):
                    return shard
        return None

    @contextlib.contextmanager
    def naming_corrupt_shards(self) -> Iterator[None]:
        """A context in which a record whose checksum is wrong becomes a DataError with its file."""
        try:
            yield
        except tf.errors.DataLossError as error:
            shard = self.corrupt_shard()
            if shard is None:  # Another file than ours.
                raise
            raise DataError(_damaged(shard)) from error

    def _check_space(self, space: str) -> None:
        spaces = self.metadata["spaces"]
        if space not in spaces:
            raise DataError(
                f"{self.data_dir}: has no item space {space!r}, only {', '.join(spaces)}; set "
                "--split.target when converting."
            )

    def _view(self, view: str) -> Mapping[str, Any]:
        if view not in self.views:
            raise DataError(
                f"{self.data_dir}: has no view {view}, only {', '.join(self.views)}; convert the "
                f"data with --view={','.join((*self.views, view))}."
            )
        return self.metadata["views"][view]

    def _stored_split(self, view: str, split: str, options: Mapping[str, Any]) -> str:
        self._view(view)
        return STORED_VIEWS[view].stored_split(split, _batching(view, options))

    def _split(self, view: str, stored: str) -> Mapping[str, Any]:
        nothing = {"examples": 0, "longest": {}, "empty": {}}
        return self._view(view)["splits"].get(stored, nothing)

    def _corrupt_shard_of(self, view: str, split: str) -> str | None:
        info = self._split_info(view, split)
        for path, expected in zip(map(str, info.filepaths), info.shard_lengths, strict=True):
            try:
                found = sum(len(batch) for batch in tf.data.TFRecordDataset(path).batch(4096))
            except tf.errors.OpError:
                return path
            if found != expected:  # Truncated between two records.
                return path
        return None

    def _checked_files(self, view: str, split: str) -> list[str]:
        """Returns the paths of a split's shards, none of which is missing or truncated."""
        info = self._split_info(view, split)
        files = [Path(path) for path in info.filepaths]
        for path in files:
            if not path.is_file():
                raise DataError(f"{path}: the shard is missing; convert the data again.")
        expected = info.num_bytes + _FRAME_BYTES * info.num_examples
        if sum(path.stat().st_size for path in files) != expected:
            raise DataError(_damaged(self._corrupt_shard_of(view, split) or str(files[0].parent)))
        return [str(path) for path in files]

    def _split_info(self, view: str, split: str) -> Any:
        # Imported here because it takes a second, which other uses of a prepared data set save.
        import tensorflow_datasets as tfds

        folder = self.data_dir / view / self.metadata["views"][view]["version"]
        try:
            return tfds.builder_from_directory(folder).info.splits[split]
        except (OSError, KeyError, ValueError) as error:
            raise DataError(f"{folder}: damaged ({error}); convert the data again.") from error


def _damaged(path: str) -> str:
    return f"{path}: damaged or truncated; convert the data again."


def _batching(view: str, options: Mapping[str, Any]) -> Any:
    kind = STORED_VIEWS[view].batching
    valid = [field.name for field in dataclasses.fields(kind)]
    for name in options:
        if name not in valid:
            raise DataError(
                f"view {view} has no batching option {name!r}, only: {', '.join(valid) or 'none'}."
            )
    try:
        return kind(**options)
    except ValueError as error:
        raise DataError(f"view {view}: {error}") from error
