"""A prepared data set on disk: its metadata, and its records' files."""

import contextlib
import dataclasses
import functools
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

from data_pipelines.coding import vocabulary
from data_pipelines.coding.vocabulary import ItemTable
from data_pipelines.errors import DataError, shown
from data_pipelines.prepared import file_checksums
from data_pipelines.prepared.state_files import read_object
from data_pipelines.views.user_records import SPLIT, Records

METADATA_FILE = "prepared.json"
ITEMS_FILE = "items.parquet"
USERS_FILE = "users.txt"
FORMAT_VERSION = 2
# What the metadata of every data set hold.
_ENTRIES = {"log": str, "domains": list, "fingerprint": str, "records": dict, "summary": list}
_CONVERT_AGAIN = "run launchers/convert.py again, with --overwrite"
# Of a folder within the data set.
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*")
# All that TFDS is to make of a data set's features.json, which names classes by their modules.
_FEATURE_CLASSES = {
    "tensorflow_datasets.core.features.features_dict.FeaturesDict",
    "tensorflow_datasets.core.features.tensor_feature.Tensor",
}
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
    if not path.exists():
        raise DataError(
            f"{data_dir}: not a prepared data set ({METADATA_FILE} is missing, as in one whose "
            "conversion did not finish); run launchers/convert.py again."
        )
    metadata = read_object(path, _CONVERT_AGAIN)
    version = metadata.get("format_version")
    if type(version) is not int:
        raise DataError(f"{path}: damaged (its format_version); {_CONVERT_AGAIN}.")
    if version != FORMAT_VERSION:
        raise DataError(
            f"{path}: format_version is {version}, this program reads {FORMAT_VERSION}; run "
            "launchers/convert.py again, with --overwrite."
        )
    for name, kind in _ENTRIES.items():
        if not isinstance(metadata.get(name), kind):
            raise DataError(f"{path}: damaged (its {name}); {_CONVERT_AGAIN}.")
    records = metadata["records"]
    for name in ("name", "version"):
        if not _PLAIN_NAME.fullmatch(str(records.get(name))):
            raise DataError(f"{path}: damaged (the {name} of its records); {_CONVERT_AGAIN}.")
    return PreparedData(data_dir, metadata)


def open_whole(data_dir: str | Path, log: str) -> "PreparedData":
    """Opens a data set to train on and checks its files.

    Raises:
      DataError: see `open_prepared`; a file is damaged; or it is not of this kind of log.
    """
    prepared = open_prepared(data_dir)
    prepared.check_files()
    if prepared.log != log:
        raise DataError(f"{data_dir}: a data set of {prepared.log}, but the system reads {log}.")
    return prepared


@dataclasses.dataclass(frozen=True)
class PreparedData:
    """One prepared data set; made by `open_prepared`.

    Attributes:
      data_dir: its folder.
      metadata: what `prepared.json` holds: domains, options, sizes, records.
    """

    data_dir: Path
    metadata: Mapping[str, Any]

    @property
    def log(self) -> str:
        """The kind of log that it was made of, "interactions" or "impressions"."""
        return self.metadata["log"]

    @property
    def domains(self) -> tuple[str, ...]:
        """Names of its domains."""
        return tuple(self.metadata["domains"])

    @property
    def fingerprint(self) -> str:
        """Hex sha256 of all that it holds."""
        return self.metadata["fingerprint"]

    @functools.cached_property
    def users(self) -> tuple[str, ...]:
        """Raw user ids; user u is users[u - 1]."""
        users = vocabulary.read_tokens(self.data_dir / USERS_FILE)
        self._check_number(USERS_FILE, "users", len(users))
        return users

    @functools.cached_property
    def items(self) -> ItemTable:
        """The item table of a log of interactions."""
        items = ItemTable.load(self.data_dir / ITEMS_FILE, self.domains)
        self._check_number(ITEMS_FILE, "items", items.size)
        return items

    @functools.cached_property
    def records(self) -> Records:
        """The users' records of a log of interactions, for all that read them.

        Raises:
          DataError: see `files`.
        """
        files, starts = self.files(SPLIT), self.items.starts
        return Records(files, starts, self.metadata["ratings"], self.metadata["negatives"])

    def check_files(self) -> None:
        """Compares every file with what the conversion wrote; of records, their size.

        Raises:
          DataError: one is missing, damaged or changed.
        """
        file_checksums.check(self.data_dir, self.metadata.get("files", {}))

    def files(self, split: str) -> list[str]:
        """Returns the paths of the files of one of `record_splits`.

        Raises:
          DataError: one is missing or truncated.
        """
        info = self._split_info(split)
        paths = [Path(path) for path in info.filepaths]
        for path in paths:
            if not path.is_file():
                raise DataError(f"{path}: the shard is missing; convert the data again.")
        expected = info.num_bytes + _FRAME_BYTES * info.num_examples
        if sum(path.stat().st_size for path in paths) != expected:
            raise DataError(_damaged(self._corrupt_shard_of(split) or str(paths[0].parent)))
        return [str(path) for path in paths]

    @property
    def record_splits(self) -> tuple[str, ...]:
        """Names under which records are stored."""
        return tuple(self.metadata["records"]["splits"])

    def corrupt_shard(self) -> str | None:
        """Reads every record; returns the first shard that is damaged, or None."""
        for split in self.record_splits:
            if shard := self._corrupt_shard_of(split):
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

    def _check_number(self, file: str, entry: str, number: int) -> None:
        """Raises DataError if a file has another number of lines than the metadata say."""
        if number != self.metadata[entry]:
            raise DataError(_damaged(str(self.data_dir / file)))

    def _corrupt_shard_of(self, split: str) -> str | None:
        info = self._split_info(split)
        for path, expected in zip(map(str, info.filepaths), info.shard_lengths, strict=True):
            try:
                found = sum(len(batch) for batch in tf.data.TFRecordDataset(path).batch(4096))
            except tf.errors.OpError:
                return path
            if found != expected:  # Truncated between two records.
                return path
        return None

    def _split_info(self, split: str) -> Any:
        # Imported here because it takes a second, which other uses of a prepared data set save.
        import tensorflow_datasets as tfds

        records = self.metadata["records"]
        folder = self.data_dir / records["name"] / records["version"]
        features = folder / "features.json"
        for name in _class_names(read_object(features, _CONVERT_AGAIN)):
            if name not in _FEATURE_CLASSES:
                raise DataError(
                    f"{features}: names the class {shown(name)}, as no conversion does, and is not "
                    f"read; {_CONVERT_AGAIN}."
                )
        try:
            return tfds.builder_from_directory(folder).info.splits[split]
        except Exception as error:  # TFDS has many for a damaged file, protobuf's among them.
            raise DataError(f"{folder}: damaged ({error}); {_CONVERT_AGAIN}.") from error


def _class_names(value: Any) -> Iterator[Any]:
    """Yields all that features.json names as classes to be imported."""
    if isinstance(value, Mapping):
        for key, entry in value.items():
            if key in ("pythonClassName", "type", "proto_cls"):
                yield entry
            yield from _class_names(entry)
    elif isinstance(value, list):
        for entry in value:
            yield from _class_names(entry)


def batching(view: str, kind: type, options: Mapping[str, Any]) -> Any:
    """Makes a view's `Batching` of the options of a request.

    Raises:
      DataError: one is unknown or has a bad value.
    """
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


def check_reading(what: str, examples: int, batch_size: int) -> None:
    """Raises DataError if there is nothing to read, or no batch to put it in."""
    if not examples:
        raise DataError(f"{what} is empty (n = 0); check how the conversion splits the data.")
    if batch_size < 1:
        raise DataError(f"batch_size must be at least 1. Received: {batch_size}.")


def fingerprint(*parts: Any) -> str:
    """Returns the hex sha256 of what JSON can hold."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _damaged(path: str) -> str:
    return f"{path}: damaged or truncated; convert the data again."
